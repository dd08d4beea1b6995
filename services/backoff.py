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
    # The exponent is bounded because 2**10000 is not a timedelta.
    full = min(base * float(2 ** min(tries - 1, 32)), most)
    return full / 2 + full / 2 * random.random()  # noqa: S311 - spreads load, guards nothing
