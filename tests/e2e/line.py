"""A line between a browser and a stack that can be cut, as when somebody pulls the plug."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Line:
    """Passes on whatever comes to its own port, until it is cut; mended, it does so again."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._cut = False
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection, and every one that comes."""
        self._cut = True
        for end in list(self._open):
            self._hang_up(end)

    def mend(self) -> None:
        """Let connections through again."""
        self._cut = False

    def close(self) -> None:
        """End it for good."""
        self._hang_up(self._listener)
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._open |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # the other direction has hung up
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            self._hang_up(end)

    def _hang_up(self, end: socket.socket) -> None:
        self._open.discard(end)
        with suppress(OSError):  # not connected any more
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def line(address: str) -> Iterator[Line]:
    """Give a line to a server of this machine."""
    host, _, port = address.removeprefix("http://").partition(":")
    made = Line((host, int(port)))
    try:
        yield made
    finally:
        made.close()
