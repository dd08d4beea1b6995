"""How many changes a caller may make in a while: a token bucket for each, in Redis, the same for all processes.

It protects others from a caller's haste, no more: while Redis does not answer at once, everything is let through.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.batching import Batcher
from services.errors import TooManyMutations

_PATIENCE: Final = timedelta(milliseconds=100)
_PAUSE: Final = timedelta(seconds=1)
"""How long Redis is not asked again after it did not answer: each who asked would wait for nothing."""
_MOST_AT_ONCE: Final = 500
_UNCHECKED: Final = Counter(
    "lorekeeper_mutations_unchecked", "Mutations that were let through because Redis did not answer in time"
)
_REFUSED: Final = Counter("lorekeeper_mutations_refused", "Mutations that were refused with RATE_LIMITED")

_SCRIPT: Final = """
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local waits = {}
for i, key in ipairs(KEYS) do
  local wanted = tonumber(ARGV[i + 2])
  local bucket = redis.call('HMGET', key, 'left', 'at')
  local left = tonumber(bucket[1]) or burst
  local at = tonumber(bucket[2]) or now
  left = math.min(burst, left + math.max(0, now - at) * rate)
  local wait = 0
  local needed = math.min(wanted, burst)
  if left >= needed then left = left - wanted else wait = (needed - left) / rate end
  redis.call('HSET', key, 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((burst - left) / rate * 1000) + 1000)
  waits[i] = math.ceil(wait * 1000)
end
return waits
"""
"""For each bucket: fill it up to now, take what is wanted, or return the milliseconds until that will be there.

Whoever wants more than a bucket holds waits until it is full, and leaves a debt in it. By the clock of Redis, for
those of the processes differ. A bucket that would be full again is forgotten.
"""

log = structlog.get_logger(__name__)


class MutationRate:
    """The buckets. What is asked within one turn of the event loop is one request to Redis.

    Args:
        redis: where they are.
        per_s: how many mutations a caller may make a second, on average.
        burst: how many at once, after a rest.
    """

    def __init__(self, redis: Redis, *, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._script = redis.register_script(_SCRIPT)
        self._batcher = Batcher(self._ask, most=_MOST_AT_ONCE, linger=timedelta())
        self._resting_until = 0.0

    async def take(self, subject: str, number: int) -> None:
        """Let a caller make so many mutations now.

        Raises:
            TooManyMutations: they are too many for now; none is taken.
        """
        if monotonic() < self._resting_until:
            _UNCHECKED.inc(number)
            return
        try:
            wait = await self._batcher.put((subject, number))
        except (RedisError, OSError, TimeoutError) as error:
            if monotonic() >= self._resting_until:
                log.warning("mutation_rate.unchecked", error=repr(error))
            self._resting_until = monotonic() + _PAUSE.total_seconds()
            _UNCHECKED.inc(number)
            return
        if wait:
            _REFUSED.inc(number)
            raise TooManyMutations(
                f"More than {self._per_s:g} mutations a second, or {self._burst} at once.", retry_after=wait
            )

    async def _ask(self, wanted: Sequence[tuple[str, int]]) -> list[timedelta]:
        # The braces keep all keys on one node of a cluster, as one script must have them.
        keys = [f"lorekeeper:{{mutations}}:{subject}" for subject, _ in wanted]
        async with asyncio.timeout(_PATIENCE.total_seconds()):
            waits = await self._script(keys, [self._per_s, self._burst, *(number for _, number in wanted)])
        return [timedelta(milliseconds=wait) for wait in waits]
