"""An end to each attempt, whatever a target and a library do meanwhile.

Libraries wait so long for each byte; a target that sends one now and then could be listened to for hours. All
that an attempt connects is noted here, and cut off when its time is over.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Deadline:
    """The time that one attempt has.

    :param seconds: how much that is
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, connecting: socket.socket) -> None:
        """Note a connection that is being made; its double stays good when TLS takes the socket over.

        :raises TimeoutError: if the time is over
        """
        with self._lock:
            if self.is_over:
                raise TimeoutError("The time of this attempt is over.")
            double = socket.fromfd(connecting.fileno(), connecting.family, connecting.type)
            self._sockets.append(double)

    def close(self) -> None:
        """Let go of everything."""
        self._timer.cancel()
        with self._lock:
            for double in self._sockets:
                double.close()
            self._sockets.clear()

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for double in self._sockets:
                with suppress(OSError):  # of one that is not connected any more, or not yet
                    double.shutdown(socket.SHUT_RDWR)
