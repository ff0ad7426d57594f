"""Many sockets in one process that only count what they are told, as raw as can be."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

OPENING = 64  # handshakes at once
SETTLE = 30.0  # seconds that the last frames may take
CLOSE, PING, SHORT, HEAD = 8, 9, 126, 4  # opcodes, the mark of a 16-bit length, bytes of a header


class Client(asyncio.Protocol):
    """A socket that follows everything, and counts."""

    def __init__(self, crowd: Crowd, request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._buffer = b""
        self._upgraded = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.last_id = 0
        self.farewell = ""

    def connection_made(self, transport: Any) -> None:
        """Ask for the upgrade."""
        self.transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Count a lost connection."""
        self._crowd.lost += 1
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(self.farewell or "cut off"))

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what came."""
        now = time.time()
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if not self._upgraded:
            at = buffer.find(b"\r\n\r\n") + HEAD
            if at < HEAD:
                self._buffer = buffer
                return
            self._upgraded = True
        while len(buffer) >= at + HEAD:
            length, begin = buffer[at + 1] & 0x7F, at + 2
            if length == SHORT:
                length, begin = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
            if len(buffer) < begin + length:
                break
            self._frame(buffer[at] & 0x0F, buffer[begin : begin + length], now)
            at = begin + length
        self._buffer = buffer[at:]

    def _frame(self, opcode: int, payload: bytes, now: float) -> None:
        if opcode == CLOSE:
            self.farewell = f"{int.from_bytes(payload[:2])} {payload[2:].decode()}"
            return
        if opcode == PING:
            mask = bytes(4)
            self.transport.write(bytes([0x8A, 0x80 | len(payload)]) + mask + payload)
            return
        event_id, made_at = self._crowd.parse(payload)
        if event_id:
            self._crowd.count(self.last_id, event_id, now - made_at)
            self.last_id = event_id
        elif not self.opened.done():
            self.opened.set_result(None)


class Crowd:
    """All clients, and what they got."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._token = token
        self._parsed: dict[bytes, tuple[int, float]] = {}
        self.clients: list[Client] = []
        self.begin()
        self.lost = 0

    def begin(self) -> None:
        """Count anew."""
        self.latencies: list[float] = []
        self.disorder = 0
        self.frames = 0

    def parse(self, payload: bytes) -> tuple[int, float]:
        """Return an event's id and when it was made; each payload is read once for all clients."""
        found = self._parsed.get(payload)
        if found is None:
            message = json.loads(payload)
            found = (message["id"], message["data"]["at"]) if "id" in message else (0, 0.0)
            self._parsed[payload] = found
        return found

    def count(self, before: int, event_id: int, latency: float) -> None:
        """Count an event that a client got."""
        self.frames += 1
        self.disorder += event_id <= before
        self.latencies.append(latency)

    async def grow(self, number: int) -> None:
        """Open sockets until there are so many."""
        gate = asyncio.Semaphore(OPENING)

        async def one() -> None:
            async with gate:
                self.clients.append(await self.open())

        await asyncio.gather(*(one() for _ in range(number - len(self.clients))))

    async def open(self, query: str = "") -> Client:
        """Open one socket and wait for its greeting."""
        lines = [
            f"GET /svops/ws{query} HTTP/1.1",
            f"Host: {self._address[0]}:{self._address[1]}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            f"Authorization: Bearer {self._token}",
        ]
        request = "\r\n".join([*lines, "", ""]).encode()
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(self, request), *self._address)
        await client.opened
        return client

    async def wait_for(self, frames: int) -> None:
        """Wait until so many frames have come, or for long enough."""
        deadline = time.monotonic() + SETTLE
        while self.frames < frames and time.monotonic() < deadline:  # noqa: ASYNC110  # counting is cheaper
            await asyncio.sleep(0.01)
