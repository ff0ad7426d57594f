"""What schemathesis does around its requests: it signs in, means folders that exist, and counts the answers.

It runs as a program of its own. ``FUZZ_GIVEN`` names a file with ``tokens``, of which logging out spends one
where the host can take tokens back, and ``folders``, by the examples that stand for them in the API's
description; ``FUZZ_ANSWERS`` names the file that gets the counts, by operation and status.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

_given: dict[str, Any] = json.loads(Path(os.environ["FUZZ_GIVEN"]).read_text())
_tokens: list[str] = _given["tokens"]
_answers: Counter[str] = Counter()

if _tokens:

    @schemathesis.auth(refresh_interval=None)
    class Bearer:
        """Shows a token."""

        def get(self, _case: Any, _context: Any) -> str:
            return _tokens[-1]

        def set(self, case: Any, data: str, _context: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    if isinstance(case.body, dict):
        case.body = {
            name: _given["folders"].get(value, value) if isinstance(value, str) else value
            for name, value in case.body.items()
        }


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    name = case.operation.definition.raw["operationId"]
    _answers[f"{name} {response.status_code}"] += 1
    if name == "auth_logout" and response.status_code == 200 and _tokens:
        _tokens.pop()


@atexit.register
def write() -> None:
    Path(os.environ["FUZZ_ANSWERS"]).write_text(json.dumps(_answers))
