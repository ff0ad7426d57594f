"""What simple-websocket lacks: whole frames from two threads, a client that may not read, a polite end.

Its own thread reads a socket and answers pings; the thread that serves the socket sends everything else.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

INBOX = 200  # messages that wait for their answer before no more are read
LOOK_SECONDS = 0.05  # from one look at a full inbox to the next
CHUNK = 65536
VANISHED_MILLISECONDS = 40_000  # without a word from the client's host, heartbeats being unanswered


class Wire:
    """The socket under a WebSocket, in the place of the one that simple-websocket has.

    :param inbox: what has been read and waits for its answer
    :param idle: is called before a send that waits for the client to read
    :param ended: is called when nothing is read any more
    """

    def __init__(
        self, sock: socket.socket, inbox: list[Any], idle: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._inbox = inbox
        self._idle = idle
        self._ended = ended
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self.blocked = False  # whether a send waits for the client to read
        self.deadline = float("inf")  # of time.monotonic(): when whoever watches has to call abort()
        with suppress(AttributeError, OSError):  # Linux only, and TCP only
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_MILLISECONDS)

    def within(self, seconds: float) -> None:
        """Let what is done next take so long at most."""
        self.deadline = time.monotonic() + seconds

    def send(self, data: bytes) -> None:
        """Send all of it before another thread sends anything."""
        with self._sending:
            rest = memoryview(data)[self._send_at_once(data) :]
            if rest:
                self.blocked = True
                self._idle()
                try:
                    self._sock.sendall(rest)
                finally:
                    self.blocked = False

    def recv(self, size: int) -> bytes:
        """Receive, when there is room for it."""
        while len(self._inbox) >= INBOX and not self._closing.wait(LOOK_SECONDS):
            pass
        if self._closing.is_set():
            self._inbox.clear()
        return self._sock.recv(size)

    def ending(self) -> None:
        """Read on, and keep nothing of it: the client's own good-bye comes last."""
        self._closing.set()

    def close(self) -> None:
        """End what is sent, then read until the client has ended, too: an unread rest would undo the end."""
        self._ended()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            while self._sock.recv(CHUNK):
                pass
        self._sock.close()

    def abort(self) -> None:
        """End everything now, from any thread: whoever sends or reads fails."""
        self._closing.set()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _send_at_once(self, data: bytes) -> int:
        """Send what needs no waiting, and return how much that was; TLS does not tell."""
        if isinstance(self._sock, ssl.SSLSocket):
            return 0
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
