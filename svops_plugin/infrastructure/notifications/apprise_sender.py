"""Sending through Apprise, one service at a time and never from a configuration of its own."""

from __future__ import annotations

import logging
import threading
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

from svops_plugin.application.notification_ports import NotDelivered, Outgoing
from svops_plugin.domain.notifications import EMAIL
from svops_plugin.infrastructure.notifications.guard import is_sending
from svops_plugin.infrastructure.notifications.layout import as_html, as_text

BETWEEN = 10  # characters: what a service that knows no titles may put between the title and the body
_asset = AppriseAsset(app_id="SVOps", app_desc="SVOps", app_url="", secure_logging=True)


class _Said(threading.local):
    """What Apprise last complained of in this thread: it returns no reasons, it logs them."""

    words: str | None = None


_said = _Said()


def _overhear(record: logging.LogRecord) -> bool:
    """Keep the complaints of a thread that is sending for its delivery, rather than in the log."""
    if not is_sending():
        return True
    if record.levelno >= logging.WARNING:
        _said.words = record.getMessage()
    return False


logging.getLogger("apprise").addFilter(_overhear)


def plugin_of(url: str) -> Any | None:
    """Return what Apprise has for an address; none if it does not understand it."""
    return Apprise.instantiate(url, asset=_asset, suppress_exceptions=True)


def send(outgoing: Outgoing) -> None:
    """Send a notification.

    :raises NotDelivered: if Apprise or the service would not have it
    """
    plugin = plugin_of(outgoing.url)
    if plugin is None:
        raise NotDelivered("Apprise does not understand the address.", final=True)
    mail = outgoing.channel == EMAIL
    notice, message_id = outgoing.notice, outgoing.message_id
    longest = plugin.body_maxlen - len(notice.title) - BETWEEN
    body = as_html(notice, message_id) if mail else as_text(notice, message_id, longest)
    _said.words = None
    try:
        sent = plugin.notify(
            title=notice.title,
            body=body,
            body_format=NotifyFormat.HTML if mail else NotifyFormat.TEXT,
            notify_type=NotifyType.FAILURE if notice.failed else NotifyType.INFO,
        )
    except Exception as failure:
        raise NotDelivered(f"Apprise failed: {type(failure).__name__}.") from failure
    if not sent:
        raise NotDelivered((_said.words or "The service did not take it.")[:500])
