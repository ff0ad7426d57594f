"""Sending the files that pipelines left."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from flask import Response, request, send_file
from marshmallow import fields

from svops_plugin.domain.entities import Artifact
from svops_plugin.domain.errors import Gone
from svops_plugin.pipelines.files import is_local
from svops_plugin.presentation.rest.schemas import InputSchema

FILE = "application/octet-stream"
MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
# Whatever a pipeline or its data put into a file runs nothing, loads nothing, and has an origin of its own.
POLICY = (
    "sandbox; default-src 'none'; img-src data:; media-src data:; font-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class ArtifactQuery(InputSchema):
    """How to send a file."""

    download = fields.Boolean(load_default=False)


def send_artifact(artifact: Artifact, path: Path, *, download: bool) -> Response:
    """Return the answer that carries a file, or the range of it that is asked for.

    :param download: whether a browser saves it rather than shows it
    :raises Gone: if it cannot be read
    """
    known = MEDIA_TYPE.fullmatch(artifact.media_type)
    try:
        answer = _send(
            path,
            mimetype=artifact.media_type if known else FILE,
            as_attachment=download,
            download_name=PurePosixPath(artifact.name).name or path.name,
        )
    except OSError as error:
        raise Gone(f"{artifact.path} cannot be read: {error.strerror or error}.") from error
    answer.cache_control.private = True
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


def _send(path: Path, **options: Any) -> Response:
    """Return the answer that sends a file, or an object as if it were one."""
    if is_local(path):
        return send_file(path, **options)
    stat = path.stat()
    answer = send_file(
        path.open("rb"),
        conditional=False,
        etag=f"{stat.st_mtime_ns:x}-{stat.st_size:x}",
        last_modified=stat.st_mtime_ns / 10**9,
        **options,
    )
    answer.content_length = stat.st_size
    answer.make_conditional(request.environ, accept_ranges=True, complete_length=stat.st_size)
    return answer
