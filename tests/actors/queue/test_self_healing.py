"""What the queue actor heals by itself: crashes, probes, restarts and completed builds in any order, and a person between."""

from __future__ import annotations

import itertools
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.messages import Assign, BuilderGone, BuilderTroubled, ProbePassed, Ready
from storage.records import NotOkBy, NotOkKind, Outcome
from tests.fix_desk import Desk, finished

STEPS = (
    "its actor crashes",
    "news of an earlier crash come",
    "unreachable",
    "misfit",
    "probe",
    "a build is completed",
    "the queue actor restarts",
    "a person: not ok",
    "a person: ok",
)
numbers = itertools.count(1)  # of sources


class Bob:
    """One builder, its actor's lives, and the attempt it has in hand."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.generation = 1
        self.attempt: UUID | None = None

    def step(self, step: str) -> None:
        desk, life = self.desk, self.generation
        match step:
            case "its actor crashes":
                desk.take(BuilderGone("bob", life, "KeyError: 'x'"))
                self.generation += 1
            case "news of an earlier crash come":
                desk.take(BuilderGone("bob", max(1, life - 1), "KeyError: 'y'"))
            case "unreachable" | "misfit":
                desk.take(BuilderTroubled("bob", life, NotOkKind(step), "refused"))
            case "probe":
                letters = desk.take(ProbePassed("bob", life), Ready("bob", life, 1))
                assigns = [letter.message for letter in letters if isinstance(letter.message, Assign)]
                if assigns:
                    self.attempt = assigns[0].order.attempt
            case "a build is completed":
                if self.attempt is not None:
                    desk.take(finished(self.attempt, Outcome.PACKAGEFAIL))
                    self.attempt = None
                desk.farm.job(f"foo{next(numbers)}")
            case "the queue actor restarts":
                desk.open()
            case _:
                ok = step == "a person: ok"
                desk.farm.builders.set_ok("bob", ok=ok, notes="being moved to another rack")
                desk.take()


@settings(max_examples=settings().max_examples // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), min_size=3, max_size=12))
def test_a_persons_mark_stands_until_a_person_clears_it_and_the_machines_own_until_a_probe_passes(
    desk: Desk, story: list[str]
) -> None:
    bob = Bob(desk)
    bob.generation = desk.books.books.generation.get("bob", 0) + 1  # a life after those of the example before
    bob.step("a person: ok")
    marked = False
    for step in story:
        bob.step(step)
        marked = (marked or step == "a person: not ok") and step != "a person: ok"
        row = desk.farm.builders.get("bob")
        if marked:
            assert (row.builderok, row.notok_by, row.failnotes) == (
                False,
                NotOkBy.PERSON,
                "being moved to another rack",
            )
        elif step in {"its actor crashes", "news of an earlier crash come", "unreachable", "misfit"}:
            assert (row.builderok, row.notok_by) == (False, NotOkBy.MACHINE)
        elif step == "probe":
            assert row.builderok
