"""The Dockerfile, where there is something to build it with, and the image that it begins with can be had."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from svops_plugin.presentation.cli.deployment import new_secrets
from tests.distributed import compose

ENGINES = [engine for engine in ("podman", "docker") if shutil.which(engine)]
TAG = "svops-airflow:test"
PATIENCE = 600.0


def succeeds(*command: str) -> bool:
    """Tell whether a command ends well, and before long; what it says is nobody's business."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def engine_with(image: str) -> str | None:
    """Return a container engine that has an image, or gets it."""
    for means in (("image", "inspect"), ("pull", "--quiet")):
        for engine in ENGINES:
            if succeeds(engine, *means, image):
                return engine
    return None


@pytest.mark.timeout(1800)  # images are large
def test_the_image_is_built_and_has_svops() -> None:
    arguments = compose.services(new_secrets())["scheduler"]["build"]["args"]
    engine = engine_with(arguments["AIRFLOW_IMAGE"])
    if engine is None:
        pytest.skip(f"neither podman nor docker has {arguments['AIRFLOW_IMAGE']} here, nor can pull it")
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    subprocess.run([engine, "build", "--tag", TAG, *given, str(compose.ROOT)], check=True)

    def run(*command: str) -> str:
        arguments = [engine, "run", "--rm", "--entrypoint", command[0], TAG, *command[1:]]
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout

    assert [line.partition("=")[0] for line in run("svops", "secrets").splitlines()] == list(new_secrets())
    plugins = json.loads(run("airflow", "plugins", "--output", "json").splitlines()[-1])
    assert "svops" in {plugin["name"] for plugin in plugins}
    assert "svops_controller.py" in run("ls", "/opt/airflow/dags")
    assert run("id", "--user", "--name").strip() == "airflow"
