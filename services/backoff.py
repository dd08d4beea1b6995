"""How long to wait before the next try."""

import random
from datetime import timedelta


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
