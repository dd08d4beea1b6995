"""The log of a job's webhook, as clients see it."""

from datetime import datetime

import strawberry
from strawberry import ID

from services.models import WebhookDeliveryRecord, WebhookStatus

strawberry.enum(
    WebhookStatus,
    description="PENDING while tries are left; DELIVERED by an answer of 2xx; FAILED by a 410 or the last try.",
)


@strawberry.type(description="A try to tell a webhook.")
class WebhookTry:
    """Built from an entry of a delivery's log."""

    at: datetime
    took_ms: int
    status_code: int | None = strawberry.field(description="Of the answer; null where there was none.")
    error: str | None = strawberry.field(description="Why it failed; null where it did not.")


@strawberry.type(description="One thing to tell a webhook: up to ten tries over three days.")
class WebhookDelivery:
    """Built from a row of `webhook_deliveries`."""

    id: ID = strawberry.field(description="The header webhook-id, the same on every try.")
    seq: int = strawberry.field(description="The transition that made the job final.")
    status: WebhookStatus
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None
    tries: list[WebhookTry] = strawberry.field(description="Oldest first.")

    @classmethod
    def of(cls, record: WebhookDeliveryRecord) -> "WebhookDelivery":
        """Build the type from its row."""
        return cls(
            id=ID(str(record.id)),
            seq=record.seq,
            status=record.status,
            attempts=record.attempts,
            next_attempt_at=record.next_attempt_at,
            created_at=record.created_at,
            delivered_at=record.delivered_at,
            tries=[
                WebhookTry(
                    at=datetime.fromisoformat(found["at"]),
                    took_ms=found["took_ms"],
                    status_code=found["status_code"],
                    error=found["error"],
                )
                for found in record.tries
            ],
        )
