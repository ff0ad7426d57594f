"""Coroutines in threads that serve requests."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from svops_plugin.infrastructure.airflow.loops import completed


async def own_loop() -> asyncio.AbstractEventLoop:
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def in_a_thread() -> list[asyncio.AbstractEventLoop]:
    """Ask twice in a thread of its own."""
    found: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: found.extend(completed(own_loop()) for _ in range(2)))
    thread.start()
    thread.join()
    return found


def test_a_thread_keeps_its_loop_which_ends_with_it() -> None:
    first, again = in_a_thread()
    assert first is again
    gc.collect()
    assert first.is_closed()


def test_threads_share_none() -> None:
    assert in_a_thread()[0] is not in_a_thread()[0]


def test_an_error_comes_through_and_the_next_call_works() -> None:
    async def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        completed(refuse())
    assert not completed(own_loop()).is_closed()
