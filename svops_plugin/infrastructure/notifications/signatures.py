"""Secrets and signatures: the Standard Webhooks scheme, and GitHub's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from svops_plugin.application.notification_ports import Received
from svops_plugin.domain.errors import NotAuthenticated
from svops_plugin.domain.notifications import Signature

LONGEST_ID = 200
INVALID = "The signature is not valid for this webhook."


class WebhookSignatures:
    """See ``application.notification_ports.Signatures``."""

    def new_secret(self) -> str:
        """Return a secret of 256 random bits, in the words of Standard Webhooks."""
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

    def verify(self, signature: Signature, secret: str, received: Received) -> str:
        """Return what a message is known by, the same whenever it is sent again.

        GitHub signs neither an id nor a time: there a message is known by its body.

        :raises NotAuthenticated: if the signature is not the secret's, or older or newer than five minutes
        """
        if signature is Signature.GITHUB:
            expected = "sha256=" + hmac.digest(secret.encode(), received.body, "sha256").hex()
            shown = received.headers.get("x-hub-signature-256", "")
            if not hmac.compare_digest(expected.encode(), shown.encode()):
                raise NotAuthenticated(INVALID)
            return hashlib.sha256(received.body).hexdigest()
        try:
            Webhook(secret).verify(received.body, dict(received.headers))
        except (json.JSONDecodeError, RecursionError):
            pass  # the signature was right, and what the body is shows later
        except (WebhookVerificationError, ValueError) as refusal:  # headers that are not in their form, too
            known = str(refusal) if "timestamp" in str(refusal) else INVALID
            raise NotAuthenticated(known) from refusal
        message_id = received.headers["webhook-id"]
        if len(message_id) > LONGEST_ID:
            raise NotAuthenticated(f"A webhook-id has {LONGEST_ID} characters at the most.")
        return message_id


def signed_headers(secret: str, message_id: str, body: str) -> dict[str, str]:
    """Return the headers that show whom a message is from, and when it was sent."""
    now = datetime.now(timezone.utc)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }
