"""Connections that are kept alive and ask an HTTP server again as soon as they are answered.

They are raw sockets that only look for the end of an answer, to take as little of the machine as they can.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

CONNECTIONS = 16
Request = Callable[[], bytes]


class Client(asyncio.Protocol):
    """A connection that asks again as soon as it is answered."""

    def __init__(self, ask: Request, crowd: Crowd) -> None:
        self._ask = ask
        self._crowd = crowd
        self._buffer = b""
        self._end = 0

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count an end that nobody asked for."""
        self._crowd.leave(exc)

    def data_received(self, data: bytes) -> None:
        """Look whether the answer is whole."""
        self._buffer += data
        if not self._end:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            self._end = head + 4 + content_length(self._buffer[:head])
        if len(self._buffer) < self._end:
            return
        self._crowd.count(time.perf_counter() - self._began, self._buffer)
        self._send()

    def _send(self) -> None:
        if self._crowd.is_done():
            self._transport.close()
            return
        self._buffer, self._end, self._began = b"", 0, time.perf_counter()
        self._transport.write(self._ask())


def content_length(head: bytes) -> int:
    """Return how many bytes come behind the head of an answer."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"This answer does not tell its length: {head!r}")


class Crowd:
    """The connections of one measurement, and what they saw.

    :param seconds: for which to ask; or
    :param number: how often to ask
    """

    def __init__(self, *, seconds: float | None = None, number: int | None = None) -> None:
        self._deadline = None if seconds is None else time.perf_counter() + seconds
        self._left = number
        self._there = 0
        self._over = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.errors: list[bytes] = []

    def is_done(self) -> bool:
        """Tell whether nobody should ask any more; if not, take one of what is left."""
        if self._left is not None:
            self._left -= 1
            return self._left < 0
        return self._deadline is not None and time.perf_counter() >= self._deadline

    def count(self, seconds: float, answer: bytes) -> None:
        """Count an answer."""
        if answer.startswith(b"HTTP/1.1 20"):
            self.latencies.append(seconds)
        else:
            self.errors.append(answer)

    def leave(self, error: Exception | None) -> None:
        """Take note that a connection has ended."""
        self._there -= 1
        if error is not None and not self._over.done():
            self._over.set_exception(error)
        elif self._there == 0 and not self._over.done():
            self._over.set_result(None)

    async def ask(self, address: tuple[str, int], request: Request) -> None:
        """Ask over all connections until it is done."""
        loop = asyncio.get_running_loop()
        self._there = CONNECTIONS
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Client(request, self), *address)
        await self._over
