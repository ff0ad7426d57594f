"""Writes the sample datasets below a folder and lists them, in JSON, on standard output.

A program of its own: the numerical packages take their time, while the databases are being prepared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from svops_plugin.pipelines.samples import create


def main() -> None:
    """List them as the body of ``POST datasets`` wants them."""
    made = [
        {"name": one.name, "data_type": one.data_type, "path": str(one.path), "gt_path": str(one.gt_path)}
        for one in create(Path(sys.argv[1]))
    ]
    sys.stdout.write(json.dumps(made))


if __name__ == "__main__":
    main()
