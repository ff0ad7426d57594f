"""``svops samples create``; what it writes is looked at in tests/unit/pipelines/test_samples.py."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from svops_plugin.presentation.cli import main


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(main, ["samples", "create", str(tmp_path / "file" / "data")])
    assert done.exit_code == 1
    assert f"{tmp_path / 'file' / 'data'}" in done.output
    assert "cannot be written: Not a directory." in done.output
