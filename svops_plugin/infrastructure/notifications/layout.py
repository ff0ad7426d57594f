"""How a notice is laid out for a channel. Whatever comes from outside is inert there."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from svops_plugin.application.notification_ports import Notice

CALLS = re.compile(r"@(?=everyone|here|channel|all\b)", re.IGNORECASE)
SLACK_SECTION = 3000  # characters
LABEL_STYLE = "padding:2px 16px 2px 0;color:#555"
TITLE_STYLE = "margin:0 0 12px;font:600 18px sans-serif"
RED, GREEN = "#b00020", "#1b7f3b"


def as_text(notice: Notice, message_id: str, longest: int) -> str:
    """Return lines of plain text, below a title that stands elsewhere; nobody is called by name.

    :param longest: how many characters the service takes; facts give way, so that it cuts off no link
    """
    facts = [(label, _quiet(said)) for label, said in notice.facts]
    below = [_quiet(f"{label}: {url}") for label, url in notice.links] + [f"Delivery: {message_id}"]
    taken = sum(len(label) + len(": \n") for label, _ in facts) + len("\n".join(below))
    lines = [f"{label}: {said}" for label, said in _shortened(facts, longest - taken)]
    return "\n".join(lines + below)


def as_html(notice: Notice, message_id: str) -> str:
    """Return a table for mail, which knows no style sheets."""
    rows = "".join(
        f'<tr><th align="left" valign="top" style="{LABEL_STYLE}">{html.escape(label)}</th>'
        f"<td>{html.escape(said)}</td></tr>"
        for label, said in notice.facts
    )
    links = " &middot; ".join(
        f'<a href="{html.escape(url)}">{html.escape(label)}</a>' for label, url in notice.links
    )
    colour = RED if notice.failed else GREEN
    return (
        f'<h2 style="{TITLE_STYLE};color:{colour}">{html.escape(notice.title)}</h2>'
        f'<table style="border-collapse:collapse;font:14px sans-serif">{rows}</table>'
        f'<p style="font:14px sans-serif">{links}</p>'
        f'<p style="font:12px sans-serif;color:#777">Delivery {html.escape(message_id)}</p>'
    )


def as_slack(notice: Notice, message_id: str) -> dict[str, Any]:
    """Return a message of blocks, with a text for where blocks are not shown."""
    mark = ":red_circle:" if notice.failed else ":large_green_circle:"
    facts = "\n".join(f"*{_slack(label)}* {_slack(said)}" for label, said in notice.facts)
    links = " | ".join(f"<{_slack(url)}|{_slack(label)}>" for label, url in notice.links)
    blocks = [_section(f"{mark} *{_slack(notice.title)}*"), _section(facts), _section(links)]
    footer = {"type": "context", "elements": [{"type": "mrkdwn", "text": f"Delivery {message_id}"}]}
    return {
        "text": f"{mark} {_slack(notice.title)}",
        "blocks": [*(block for block in blocks if block["text"]["text"]), footer],
    }


def _quiet(words: str) -> str:
    """Return words in which nobody is called by name."""
    return CALLS.sub("@\u200b", words)


def _shortened(facts: Sequence[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """Return facts that say no more than so many characters in all, as far as can be: the longest less."""
    most = max((len(said) for _, said in facts), default=0)
    while most > 1 and sum(min(len(said), most) for _, said in facts) > room:
        most -= 1
    return [(label, said if len(said) <= most else f"{said[: most - 1]}…") for label, said in facts]


def _section(words: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": words[:SLACK_SECTION]}}


def _slack(words: str) -> str:
    """Return words in which Slack finds no link and nobody to call."""
    return html.escape(words, quote=False)
