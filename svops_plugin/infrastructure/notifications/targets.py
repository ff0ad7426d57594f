"""Looking at the address of a notification before it is kept."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from svops_plugin.domain.errors import InvalidInput
from svops_plugin.domain.notifications import CHANNELS, SLACK, WEBHOOK
from svops_plugin.infrastructure.notifications.guard import Reach, resolve

MASK = "****"
FIELD = "webhook_url"
# Parameters by which Apprise would read files of this machine.
READS_FILES = frozenset({"attach", "cert", "key", "keyfile", "pgpkey", "pgpprv", "pgppub", "template"})
# Those by which an address would say how long an attempt lasts, and make several of one.
PATIENCE = frozenset({"cto", "retry", "rto"})
NOT_ALLOWED = READS_FILES | PATIENCE


class CheckedTargets:
    """Refuses what cannot be an address of the channel; see ``application.notification_ports.Targets``."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def check(self, channel: str, url: str) -> str:
        """Return the address masked.

        :raises InvalidInput: naming ``webhook_url``
        """
        try:
            parts = urlsplit(url)
            host, scheme = parts.hostname or "", parts.scheme.lower()
            is_web = scheme in {"http", "https"}
            if is_web:  # elsewhere a colon may be part of a token, as Telegram's
                _ = parts.port
        except ValueError as broken:
            raise InvalidInput.field(FIELD, "it is no address.") from broken
        if scheme not in CHANNELS[channel]:
            known = ", ".join(f"{one}://" for one in sorted(CHANNELS[channel]))
            raise InvalidInput.field(FIELD, f"an address of channel {channel} begins with one of {known}.")
        if is_web:
            self._check_web(scheme, host)
            if channel not in {WEBHOOK, SLACK}:
                _check_apprise(channel, url)
            return f"{scheme}://{host}/{MASK}"
        if _is_literal(host) and not self._reach.allows("127.0.0.1" if host == "localhost" else host):
            raise _out_of_reach(host)
        _check_apprise(channel, url)
        return f"{scheme}://{MASK}"

    def _check_web(self, scheme: str, host: str) -> None:
        if not host:
            raise InvalidInput.field(FIELD, "it names no host.")
        try:
            host.encode("idna")  # as whoever looks the name up does
        except UnicodeError as broken:
            raise InvalidInput.field(FIELD, f"{host} is no name of a host.") from broken
        for address in resolve(host):
            if not self._reach.allows(address):
                raise _out_of_reach(address if address == host else f"{host} ({address})")
        if scheme == "http" and not self._reach.names_private(host):
            raise InvalidInput.field(FIELD, "https is expected; http goes to private targets only.")


def _is_literal(host: str) -> bool:
    return host == "localhost" or ":" in host or ("." in host and host.replace(".", "").isdigit())


def _out_of_reach(host: str) -> InvalidInput:
    return InvalidInput.field(
        FIELD, f"{host} is not public; [svops] notification_private_targets can name its network."
    )


def _check_apprise(channel: str, url: str) -> None:
    """Refuse what Apprise does not understand, or takes for another service, or would tell to several.

    Of several, those that were told would be told again for as long as one of them cannot be.
    """
    from svops_plugin.infrastructure.notifications.apprise_sender import plugin_of

    if unwanted := sorted(_parameters(url) & NOT_ALLOWED):
        raise InvalidInput.field(FIELD, f"the parameter {unwanted[0]} is not allowed.")
    plugin = plugin_of(url)
    if plugin is None or not _schemes(plugin) & CHANNELS[channel]:
        raise InvalidInput.field(FIELD, f"it is no address of {channel}; see Apprise's documentation.")
    if len(plugin) > 1:
        raise InvalidInput.field(FIELD, f"it names {len(plugin)} recipients: one config each, please.")
    if _tells_every_room(plugin):
        raise InvalidInput.field(FIELD, "it names no room: one config for each room, please.")


def _parameters(url: str) -> set[str]:
    """Return the names of an address's parameters as Apprise reads them: behind a '#' and a ';', too."""
    names = [pair.partition("=")[0] for pair in re.split("[&;]", url.partition("?")[2])]
    return {unquote(name[:1] + name[1:].replace("+", " ")).strip().lower() for name in names}


def _tells_every_room(plugin: Any) -> bool:
    """Tell whether it is Matrix's with no room, which looks for all that its user has joined."""
    return plugin.secure_protocol == "matrixs" and plugin.mode == "off" and not (plugin.rooms or plugin.users)


def _schemes(plugin: object) -> set[str]:
    found: set[str] = set()
    for name in ("protocol", "secure_protocol"):
        value = getattr(plugin, name, None) or ()
        found |= {value} if isinstance(value, str) else set(value)
    return found
