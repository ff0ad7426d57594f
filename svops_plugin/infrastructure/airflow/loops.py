"""What Airflow says in coroutines, for threads that serve requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Loop:
    """An event loop that ends with the thread that has it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, wanted: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(wanted)

    def __del__(self) -> None:
        self._loop.close()


_of_thread = threading.local()


def completed(wanted: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine comes to.

    Each thread keeps a loop. asgiref's ``async_to_sync`` starts a thread and a loop for every call, which was
    a third of what a short request took.
    """
    if not hasattr(_of_thread, "own"):
        _of_thread.own = _Loop()
    own: _Loop = _of_thread.own
    return own.run(wanted)
