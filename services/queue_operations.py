"""What operators do with queues: look at them, bring dead letters back, throw messages away."""

import asyncio

import structlog

from services.access import Caller
from services.errors import PurgeForbidden, QueueNotFound
from services.sqs import Queue, QueueDepth

log = structlog.get_logger(__name__)


class QueueOperations:
    """The operations on the queues of this installation.

    Args:
        queues: the queues that there are.
        allow_purge: whether messages may be thrown away. Jobs survive that (maintenance sends them again), but
            whoever purges by mistake causes a pause.
    """

    def __init__(self, queues: list[Queue], *, allow_purge: bool) -> None:
        self._queues = {queue.name: queue for queue in queues}
        self._allow_purge = allow_purge

    async def depths(self) -> list[QueueDepth]:
        """Return how much each queue holds, its dead letters included.

        Raises:
            QueueUnavailable: SQS does not answer.
        """
        return await asyncio.gather(*(queue.depth() for queue in self._queues.values()))

    async def redrive(self, name: str, most: int, caller: Caller) -> int:
        """Move dead letters back to their queue, up to so many; returns how many. The log says who did it.

        Raises:
            QueueNotFound: there is no such queue.
            QueueUnavailable: SQS does not answer.
        """
        queue = self._find(name)
        said = log.bind(queue=name, subject=caller.subject)
        # Before too: an answer that is lost leaves the letters moved.
        said.info("queue.redriving", most=most)
        moved = await queue.redrive(most)
        said.info("queue.redriven", moved=moved)
        return moved

    async def purge(self, name: str, caller: Caller) -> None:
        """Throw away every message of a queue. The log says who did it.

        Raises:
            PurgeForbidden: this installation does not allow it.
            QueueNotFound: there is no such queue.
            QueueUnavailable: SQS does not answer, or purged this queue less than a minute ago.
        """
        queue = self._find(name)
        if not self._allow_purge:
            raise PurgeForbidden("Purging is switched off (LOREKEEPER_ALLOW_PURGE).")
        said = log.bind(queue=name, subject=caller.subject)
        said.warning("queue.purging")
        await queue.purge()
        said.warning("queue.purged")

    def _find(self, name: str) -> Queue:
        queue = self._queues.get(name)
        if queue is None:
            raise QueueNotFound(f"There is no queue {name!r}.")
        return queue
