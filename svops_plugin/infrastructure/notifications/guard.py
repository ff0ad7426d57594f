"""Which addresses notifications may be sent to, and how long: decided when the connection is made.

A name may resolve to another address than a moment ago, a target may redirect, and a library may resolve
names of its own; all of that ends in a socket that is connected to an address. That is where Python's audit
hook looks, in threads that are sending and in no others.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from svops_plugin.infrastructure.notifications.deadline import Deadline

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# What Python takes for public, and leads into networks that are not: site-local addresses, local NAT64, and
# addresses that stand for IPv4's in ways that nobody needs any more.
NOT_PUBLIC = tuple(map(ipaddress.IPv6Network, ("fec0::/10", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")))


class PrivateTarget(OSError):
    """A connection would have gone to an address that is not public."""


class _Sending(threading.local):
    """What a thread that is sending may connect to, none in all others; and what it was refused last."""

    reach: Reach | None = None
    deadline: Deadline
    refused: str | None = None


class Reach:
    """Public addresses, and those of the given networks.

    :param private: networks that are not public and may be reached all the same, as ``10.1.0.0/16``
    :raises ValueError: if one is no network
    """

    def __init__(self, private: Sequence[str] = ()) -> None:
        self._private: list[Network] = [ipaddress.ip_network(network, strict=False) for network in private]

    def allows(self, host: str) -> bool:
        """Tell whether an address may be connected to; anything that is no IP address may not."""
        try:
            address = _unwrapped(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            return False
        if any(address in network for network in self._private):
            return True
        if any(address in network for network in NOT_PUBLIC):
            return False
        return address.is_global and not address.is_multicast

    def names_private(self, host: str) -> bool:
        """Tell whether a host is one of the networks', now; only there does plain HTTP do."""
        addresses = resolve(host)
        return bool(addresses) and all(
            any(_unwrapped(ipaddress.ip_address(one)) in network for network in self._private)
            for one in addresses
        )

    @contextmanager
    def confined(self, seconds: float) -> Iterator[Deadline]:
        """Let this thread connect to nothing else as long as the block lasts, and cut it off after a time.

        :raises PrivateTarget: at the attempt, from whatever connects
        """
        _watch()
        deadline = Deadline(seconds)
        _sending.reach, _sending.deadline, _sending.refused = self, deadline, None
        try:
            yield deadline
        finally:
            _sending.reach = None
            deadline.close()


_sending = _Sending()


def is_sending() -> bool:
    """Tell whether this thread is in a block that is confined."""
    return _sending.reach is not None


def refused() -> str | None:
    """Return why this thread was kept from connecting since its block began; none if it was not."""
    return _sending.refused


def resolve(host: str) -> list[str]:
    """Return the addresses of a host; none if it has none now."""
    try:
        return sorted({str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, None)})
    except (OSError, UnicodeError):
        return []


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


@cache
def _watch() -> None:
    """Begin to look, once in a process; a hook cannot be taken away again."""
    sys.addaudithook(_look)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or _sending.reach is None:
        return
    address = arguments[1]
    host = str(address[0]) if isinstance(address, tuple) else str(address)
    if not _sending.reach.allows(host):
        _sending.refused = f"{host} is not public; [svops] notification_private_targets can name its network."
        raise PrivateTarget(_sending.refused)
    _sending.deadline.watch(arguments[0])
