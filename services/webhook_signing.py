"""The signatures of webhooks, in the form of Standard Webhooks (https://www.standardwebhooks.com).

A delivery is signed with every secret, so that receivers may change to a new one whenever they like while both are
set.
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from standardwebhooks import Webhook

from services.kept_secrets import kept_secret
from services.settings import Settings

KEY_FILE: Final = "webhook.key"
_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


class Signer:
    """Signs deliveries.

    Args:
        secrets: each as `whsec_` and base64; the newest first, for receivers that look at one signature only.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [Webhook(secret) for secret in secrets]

    def headers(self, delivery_id: UUID, body: str) -> dict[str, str]:
        """Return the headers of a try that is made now."""
        at = datetime.now(UTC)
        signatures = [key.sign(str(delivery_id), at, body) for key in self._keys]
        return {
            "webhook-id": str(delivery_id),
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def open_signer(settings: Settings, *, embedded: bool) -> Signer | None:
    """Return what signs webhooks, or None where webhooks are switched off.

    Args:
        settings: the configuration.
        embedded: whether the database lies in the home. Then all processes share the home, and a secret that is
            made there is the same for all of them; elsewhere it has to be configured.
    """
    if settings.webhook_secrets:
        return Signer([secret.get_secret_value() for secret in settings.webhook_secrets])
    if embedded:
        return Signer([kept_secret(settings.home / KEY_FILE, _make)])
    return None


def _make() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
