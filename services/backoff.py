"""How long to wait before the next try."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def delay(tries: int, *, base: timedelta, most: timedelta) -> timedelta:
    """Return an exponentially growing wait with jitter.

    The wait doubles with every try up to `most`; the upper half of it is drawn at random ("equal jitter",
    Marc Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog 2015), so that what failed together
    does not come back together.

    Args:
        tries: tries made so far, 1 or more.
        base: the wait after the first try.
        most: no wait is longer.
    """
    # Reckoned in seconds, where large numbers are no error as in a timedelta; 2.0**1024 would be one.
    full_s = min(base.total_seconds() * 2.0 ** min(tries - 1, 64), most.total_seconds())
    return timedelta(seconds=full_s / 2 + full_s / 2 * random.random())  # noqa: S311 - spreads load, guards nothing


def read_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the wait that a `Retry-After` asks for, in seconds or until a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    value = value.strip()
    try:
        if value.isascii() and value.isdigit():
            return timedelta(seconds=int(value[:9]))
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(until - now, timedelta())
