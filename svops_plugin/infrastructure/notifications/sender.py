"""Sending notifications: webhooks and Slack by HTTP, everything else through Apprise."""

from __future__ import annotations

import json
import logging
import time
from email.utils import parsedate_to_datetime
from functools import cached_property
from urllib.parse import urlsplit

import httpx

from svops_plugin.application.notification_ports import NotDelivered, Outgoing
from svops_plugin.domain.notifications import SLACK, WEBHOOK
from svops_plugin.infrastructure.notifications.guard import Reach, is_sending, refused
from svops_plugin.infrastructure.notifications.layout import as_slack
from svops_plugin.infrastructure.notifications.signatures import signed_headers

SECONDS = 10.0  # to connect to an address, to send and to be answered, each
ALL_SECONDS = 30.0  # of an attempt: a name may have several addresses, and mail is a conversation
TALKATIVE = ("httpx", "httpcore.connection", "httpcore.http11", "urllib3.connectionpool")
GONE = 410


class ChannelSender:
    """Sends each notification in the way of its channel; see ``application.notification_ports.Sender``."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        for name in TALKATIVE:  # these write whole addresses into the log, which are secrets here
            logging.getLogger(name).addFilter(_is_harmless)

    @cached_property
    def _client(self) -> httpx.Client:
        """A client that follows no redirect, asks no proxy, and connects anew each time."""
        return httpx.Client(
            timeout=SECONDS,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"User-Agent": "SVOps"},
        )

    def send(self, outgoing: Outgoing) -> None:
        """Send one, and return when the target has it.

        :raises NotDelivered: otherwise
        """
        with self._reach.confined(ALL_SECONDS) as deadline:
            try:
                self._send(outgoing)
            except NotDelivered as failure:
                if reason := refused():
                    raise NotDelivered(reason, final=True) from failure
                if deadline.is_over:
                    raise NotDelivered(_late(ALL_SECONDS)) from failure
                raise

    def _send(self, outgoing: Outgoing) -> None:
        if outgoing.channel in {SLACK, WEBHOOK} and urlsplit(outgoing.url).scheme in {"http", "https"}:
            self._post(outgoing)
        else:
            from svops_plugin.infrastructure.notifications.apprise_sender import send

            send(outgoing)

    def _post(self, outgoing: Outgoing) -> None:
        headers = {"Content-Type": "application/json", "webhook-id": outgoing.message_id}
        body = outgoing.body
        if outgoing.channel == SLACK:
            body = json.dumps(as_slack(outgoing.notice, outgoing.message_id), ensure_ascii=False)
        elif outgoing.secret is not None:
            headers |= signed_headers(outgoing.secret, outgoing.message_id, body)
        try:
            with self._client.stream("POST", outgoing.url, content=body.encode(), headers=headers) as answer:
                _judge(answer)
        except httpx.TimeoutException as slow:
            raise NotDelivered(_late(SECONDS)) from slow
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise NotDelivered(f"It could not be reached: {failure or type(failure).__name__}") from failure


def _late(seconds: float) -> str:
    return f"It did not answer within {seconds:.0f} s."


def _judge(answer: httpx.Response) -> None:
    """Take any 2xx for a receipt; what else a target says is not read, however long it is."""
    if answer.is_success:
        return
    if answer.is_redirect:
        raise NotDelivered(f"It answered {answer.status_code}: redirects are not followed.")
    wait = _seconds(answer.headers.get("Retry-After", ""))
    raise NotDelivered(
        f"It answered {answer.status_code}.", retry_after=wait, final=answer.status_code == GONE
    )


def _seconds(retry_after: str) -> float | None:
    """Return how long to wait, from seconds or an HTTP date; none if it is neither, or of no calendar."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _is_harmless(_record: logging.LogRecord) -> bool:
    return not is_sending()
