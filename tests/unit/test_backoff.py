"""The wait before the next try."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.backoff import delay

SECOND = timedelta(seconds=1)
FOR_EVER = timedelta(days=365)
WAITS = st.timedeltas(timedelta(), timedelta(days=30))
TRIES = st.integers(1, 10_000)


def drawn(tries: int, *, base: timedelta, most: timedelta) -> list[timedelta]:
    """Draw a wait often: Hypothesis begins every example with the same random number."""
    return [delay(tries, base=base, most=most) for _ in range(20)]


@given(tries=st.integers(1, 20))
def test_the_wait_doubles_with_every_try_and_half_of_it_is_drawn(tries: int) -> None:
    full = SECOND * 2 ** (tries - 1)
    for wait in drawn(tries, base=SECOND, most=FOR_EVER):
        assert full / 2 <= wait <= full


@given(tries=TRIES, base=WAITS, most=WAITS)
def test_no_number_of_tries_makes_the_wait_longer_than_the_most(
    tries: int, base: timedelta, most: timedelta
) -> None:
    for wait in drawn(tries, base=base, most=most):
        assert timedelta() <= wait <= most


@given(tries=st.integers(40, 10_000))
def test_the_wait_stays_near_the_most_once_it_is_there(tries: int) -> None:
    assert min(drawn(tries, base=SECOND, most=SECOND * 60)) >= SECOND * 30


def test_what_failed_together_does_not_come_back_together() -> None:
    waits = {delay(3, base=SECOND, most=FOR_EVER) for _ in range(50)}
    assert len(waits) > 40
    assert max(waits) - min(waits) > SECOND / 2  # of the two seconds that are drawn from


@given(tries=TRIES)
def test_without_a_base_nobody_waits(tries: int) -> None:
    assert delay(tries, base=timedelta(), most=FOR_EVER) == timedelta()
