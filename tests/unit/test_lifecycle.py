"""The table of edges, by itself and as the README draws it."""

import re
from datetime import timedelta
from itertools import product
from typing import Final
from uuid import uuid4

import pytest

from services.job_store import claim_moves
from services.lifecycle import EDGES, FINAL, LIVE, WAITING, Edge, Event, Guard, JobStatus
from tests.readme import block

LINE: Final = re.compile(r"^\s*(\[\*\]|[A-Z]+) --> (\[\*\]|[A-Z]+)(?:: ([a-z]+))?\s*$")
CLAIMING: Final = [move.event for move in claim_moves([uuid4()], timedelta(seconds=30))]


def test_every_event_has_an_edge() -> None:
    assert set(EDGES) == set(Event)


def test_live_and_final_statuses_are_all_and_none_is_both() -> None:
    assert set(JobStatus) == LIVE | FINAL
    assert not LIVE & FINAL
    assert {JobStatus.PROCESSING} == LIVE - WAITING
    assert WAITING < LIVE
    assert {status for status in JobStatus if status.is_final} == FINAL


def test_every_status_is_reached_from_a_creation() -> None:
    creations = [edge for edge in EDGES.values() if not edge.sources]
    assert creations == [EDGES[Event.CREATE]]
    reached = {edge.target for edge in creations}
    for _ in JobStatus:
        reached |= {edge.target for edge in EDGES.values() if edge.sources & reached}
    assert reached == set(JobStatus)


def test_every_live_status_leads_to_every_final_one() -> None:
    for start in LIVE:
        reached = {start}
        for _ in JobStatus:
            reached |= {edge.target for event, edge in EDGES.items() if edge.sources & reached}
        assert reached >= FINAL, start


def test_a_final_status_is_left_by_a_renewal_alone() -> None:
    leaving = {event for event, edge in EDGES.items() if edge.sources & FINAL}
    assert leaving == {Event.RENEW}
    assert EDGES[Event.RENEW].sources <= FINAL


def test_a_succeeded_job_is_never_left() -> None:
    assert not any(JobStatus.SUCCEEDED in edge.sources for edge in EDGES.values())


@pytest.mark.parametrize("event", [Event.SUCCEED, Event.RETRY, Event.FAIL, Event.RELEASE])
def test_the_outcome_of_a_run_is_told_by_its_holder_alone(event: Event) -> None:
    assert Guard.HOLDER in EDGES[event].guards
    assert EDGES[event].sources == {JobStatus.PROCESSING}


def test_nobody_but_the_holder_ends_a_run_whose_lease_is_held() -> None:
    # A client may cancel at any time; everybody else waits for the lease to end.
    ending = {event for event, edge in EDGES.items() if JobStatus.PROCESSING in edge.sources}
    for event in ending - {Event.CANCEL}:
        assert EDGES[event].guards & {Guard.HOLDER, Guard.EXPIRED}, event


def test_no_edge_beyond_the_last_attempt_leads_to_another_one() -> None:
    for event in (Event.RETRY, Event.RECLAIM):
        assert Guard.ATTEMPTS_LEFT in EDGES[event].guards


def _applies(edge: Edge, status: JobStatus, *, expired: bool, due: bool, spent: bool) -> bool:
    holds = {
        Guard.EXPIRED: expired,
        Guard.DUE: due,
        Guard.ATTEMPTS_SPENT: spent,
        Guard.ATTEMPTS_LEFT: not spent,
        Guard.HOLDER: False,  # whoever claims holds nothing yet
    }
    return status in edge.sources and all(holds[guard] for guard in edge.guards)


@pytest.mark.parametrize("status", JobStatus)
def test_of_the_edges_that_a_claim_sends_at_most_one_applies(status: JobStatus) -> None:
    assert len(CLAIMING) > 1
    for expired, due, spent in product([False, True], repeat=3):
        applying = [
            event for event in CLAIMING if _applies(EDGES[event], status, expired=expired, due=due, spent=spent)
        ]
        assert len(applying) <= 1, applying
        # … and exactly one where there is something to do, so that no delivery is deferred for ever.
        if (status in WAITING and due) or (status is JobStatus.PROCESSING and expired):
            assert applying


def _drawn() -> list[tuple[str, str, str | None]]:
    arrows = [line for line in block("mermaid", "stateDiagram-v2").splitlines() if "-->" in line]
    found = [LINE.match(line) for line in arrows]
    unread = [line for line, match in zip(arrows, found, strict=True) if match is None]
    assert not unread, "not of the form `QUEUED --> PROCESSING: claim`"
    return [(match[1], match[2], match[3]) for match in found if match is not None]


def test_the_readme_draws_every_edge_and_no_other() -> None:
    drawn = [arrow for arrow in _drawn() if arrow[1] != "[*]"]
    wanted = {
        (source, edge.target.value, event.value.lower())
        for event, edge in EDGES.items()
        for source in ({source.value for source in edge.sources} or {"[*]"})
    }
    assert set(drawn) == wanted
    assert len(drawn) == len(wanted), "an edge is drawn twice"


def test_the_readme_ends_the_diagram_at_final_statuses_only() -> None:
    assert {source for source, target, _ in _drawn() if target == "[*]"} <= FINAL
