"""The supervisor: no loop stays dead, none outlives its block."""

import asyncio
from contextlib import suppress

from services.errors import QueueUnavailable
from services.supervision import Supervisor
from tests.conftest import until


class Loop:
    """Ends as told at its first run, then goes on for ever."""

    def __init__(self, ending: BaseException | None = None) -> None:
        self.ending = ending
        self.runs = 0
        self.cancelled = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs == 1:
            if self.ending is not None:
                raise self.ending
            return
        await self.stay()

    async def stay(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_a_loop_that_raises_is_restarted_and_its_state_says_so() -> None:
    loop = Loop(ValueError("a secret that the health check must not tell"))
    async with Supervisor() as supervisor:
        supervisor.start("feed", loop.run)
        await until(lambda: supervisor.states["feed"].restarts == 1)
        state = supervisor.states["feed"]
        assert (state.running, state.last_error) == (False, "ValueError")
        await until(lambda: state.running, within_s=1)
        assert (loop.runs, state.restarts) == (2, 1)


async def test_a_loop_whose_service_is_away_is_restarted_and_tells_which() -> None:
    loop = Loop(QueueUnavailable("SQS does not answer."))
    async with Supervisor() as supervisor:
        supervisor.start("sweep", loop.run)
        await until(lambda: loop.runs == 2, within_s=1)
        assert supervisor.states["sweep"].last_error == "SQS does not answer."


async def test_a_loop_that_returns_is_restarted() -> None:
    loop = Loop()
    async with Supervisor() as supervisor:
        supervisor.start("streams", loop.run)
        await until(lambda: loop.runs == 2, within_s=1)
        state = supervisor.states["streams"]
        assert (state.running, state.restarts, state.last_error) == (True, 1, "returned")


async def test_a_loop_that_something_inside_cancelled_is_restarted() -> None:
    # As awaiting a future does that somebody else has cancelled.
    loop = Loop(asyncio.CancelledError())
    async with Supervisor() as supervisor:
        supervisor.start("feed", loop.run)
        await until(lambda: loop.runs == 2, within_s=1)
        assert supervisor.states["feed"].last_error == "CancelledError"


async def test_a_restart_is_not_immediate() -> None:
    loop = Loop(ValueError())
    async with Supervisor() as supervisor:
        supervisor.start("feed", loop.run)
        await until(lambda: supervisor.states["feed"].restarts == 1)
        await asyncio.sleep(0.05)
        assert loop.runs == 1


async def test_leaving_the_block_cancels_every_loop_and_waits_for_it() -> None:
    loops = [Loop(), Loop(ValueError())]
    running = Loop()
    async with Supervisor() as supervisor:
        supervisor.start("running", running.stay)
        for i, loop in enumerate(loops):
            supervisor.start(f"waiting for its restart {i}", loop.run)
        await asyncio.sleep(0.02)
        assert supervisor.states["running"].running
    assert running.cancelled == 1
    await asyncio.sleep(0.3)
    assert [loop.runs for loop in loops] == [1, 1]


async def test_a_loop_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    running = Loop()

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await running.stay()
        await running.stay()

    async with asyncio.timeout(3), Supervisor() as supervisor:
        supervisor.start("deaf", deaf)
        await asyncio.sleep(0)
    assert running.cancelled == 2


async def test_an_error_in_the_block_leaves_it_and_ends_the_loops() -> None:
    running = Loop()

    async def fail() -> None:
        async with Supervisor() as supervisor:
            supervisor.start("running", running.stay)
            await asyncio.sleep(0)
            raise KeyError("from the block")

    (outcome,) = await asyncio.gather(fail(), return_exceptions=True)
    assert isinstance(outcome, KeyError)
    assert running.cancelled == 1


async def test_one_failing_loop_leaves_the_others_alone() -> None:
    running = Loop()
    async with Supervisor() as supervisor:
        supervisor.start("failing", Loop(ValueError()).run)
        supervisor.start("running", running.stay)
        await until(lambda: supervisor.states["failing"].restarts == 1)
        state = supervisor.states["running"]
        assert (state.running, state.restarts, state.last_error) == (True, 0, None)
