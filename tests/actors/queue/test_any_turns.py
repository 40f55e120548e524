"""Whatever builders report and operators say, in any order, every invariant holds after every turn (architecture §9)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from actors.core.attempts.verdict import VerdictRules
from actors.messages import (
    AdoptionWanted,
    BuilderGone,
    BuilderTroubled,
    GatheringStarted,
    JobRefused,
    ProbePassed,
    Ready,
    ResultStored,
    RuntimeChanged,
    Started,
)
from cli.jobs.explaining import unexplained
from storage.check import check
from storage.errors import StorageError
from storage.files.librarian import Librarian
from storage.records import Attempt, BuildState, NotOkKind, Outcome, Pocket, PublishingStatus, RuntimeState
from tests.fix_desk import Desk, finished

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

BUILDERS = {"bob": True, "kim": True, "zoe": True, "eve": False}  #: name → trusted
FINAL = [state for state in BuildState if state.final and state is not BuildState.FULLYBUILT]
STEPS = 40

#: what an attempt comes to: more failures than a farm should have
OUTCOMES = [*Outcome, *(3 * [Outcome.BUILDERFAIL, Outcome.LOST, Outcome.PACKAGEFAIL, Outcome.CHROOTFAIL])]


@dataclass
class Life:
    """A farm's life: what may happen in it, drawn by chance."""

    desk: Desk
    librarian: Librarian
    chance: random.Random
    jobs: int = 0

    # --- what builders say ---

    def ready(self) -> None:
        self.desk.take(Ready(self.builder, 1, 1))

    def all_ready(self) -> None:
        self.desk.take(*(Ready(name, 1, 1) for name in BUILDERS))

    def started(self) -> None:
        if attempt := self.attempt:
            self.desk.take(Started(attempt.builder, 1, attempt.id))

    def gathering(self) -> None:
        if attempt := self.attempt:
            self.desk.take(GatheringStarted(attempt.builder, 1, attempt.id))

    def ended(self) -> None:
        if attempt := self.attempt:
            self.desk.take(self.end(attempt, self.chance.choice(OUTCOMES)))

    def all_ended(self) -> None:
        outcome = self.chance.choice([None, *OUTCOMES])
        self.desk.take(
            *(self.end(one, outcome or self.chance.choice(OUTCOMES)) for one in self.desk.farm.queue.open_attempts())
        )

    def worked(self) -> None:
        """Attempts come to their ends one after the other, and the next begin."""
        self.queued()
        self.queued()
        self.all_ready()
        self.all_ended()
        self.all_ready()

    def ended_before(self) -> None:
        """An end comes once more, or too late."""
        rows = self.desk.farm.sql("SELECT id, builder FROM attempt WHERE outcome IS NOT NULL ORDER BY ended, id")
        if rows:
            which, builder = self.chance.choice(rows)
            self.desk.take(finished(which, Outcome.LOST, builder))

    def refused(self) -> None:
        if attempt := self.attempt:
            self.desk.take(JobRefused(attempt.builder, 1, attempt.id, "it does not fit"))

    def adopted(self) -> None:
        if attempt := self.attempt:
            self.desk.take(AdoptionWanted(self.builder, 1, 2, attempt.id))

    def troubled(self) -> None:
        self.desk.take(BuilderTroubled(self.builder, 1, self.chance.choice([*NotOkKind]), "a try"))

    def probed(self) -> None:
        self.desk.take(ProbePassed(self.builder, 1))

    def crashed(self) -> None:
        self.desk.take(BuilderGone(self.builder, 1, "crashed"))

    def changed(self) -> None:
        state = self.chance.choice([*RuntimeState])
        self.desk.take(RuntimeChanged(self.builder, 1, state, state is not RuntimeState.DISCONNECTED))

    # --- what operators do ---

    def queued(self) -> None:
        self.jobs += 1
        self.desk.farm.job(f"job{self.jobs}", self.chance.choice(["primary", "primary", "cprov/ppa"]))

    def verb(self) -> None:
        builds, build, builder = self.desk.farm.builds, self.build, self.builder
        self.operate(
            lambda: builds.cancel(build),
            lambda: builds.retry(build),
            lambda: builds.give_back(build, exclude_seconds=3600.0),
            lambda: builds.rescore(build, self.chance.choice([None, 7])),
            lambda: builds.assign(build, self.chance.choice([None, builder])),
            lambda: builds.set_state(build, self.chance.choice([BuildState.NEEDSBUILD, *FINAL])),
            lambda: self.desk.farm.queue.remove(builds.job(build).id),
        )

    def builder_verb(self) -> None:
        builders, name = self.desk.farm.builders, self.builder
        self.operate(
            lambda: builders.set_ok(name, ok=True),
            lambda: builders.set_ok(name, ok=False, notes="a try"),
            lambda: builders.change(name, manual=not builders.get(name).manual),
            lambda: builders.change(name, trusted=not builders.get(name).trusted),
            lambda: builders.quarantine(name, 600.0, "a try"),
            lambda: builders.release(name),
        )

    def farm_verb(self) -> None:
        farm = self.desk.farm
        arch = farm.series.named("ubuntu/hoary/i386")
        chroot = farm.library.add(self.librarian.add_bytes(self.chance.randbytes(4)), "chroot.tar.zst").id
        self.operate(
            lambda: farm.farm_states.pause("a try"),
            farm.farm_states.resume,
            lambda: farm.chroots.use(arch.id, Pocket.RELEASE),
            lambda: farm.chroots.set(arch.id, Pocket.RELEASE, chroot),
        )

    def withdrawn(self) -> None:
        row = self.desk.farm.builds.get(self.build)
        archive = self.desk.farm.archives.get("ubuntu", row.archive).id
        places = [one.id for one in self.desk.farm.publications.all(archive, row.source)]
        status = self.chance.choice([PublishingStatus.DELETED, PublishingStatus.PUBLISHED])
        self.operate(lambda: self.desk.farm.publications.set_status(places, status))

    def mended(self) -> None:
        """Operators and time set everything right again, as they do in the end."""
        farm = self.desk.farm
        arch = farm.series.named("ubuntu/hoary/i386")
        with farm.acting("ann"):
            farm.farm_states.resume()
            farm.chroots.use(arch.id, Pocket.RELEASE)
            for one in farm.builders.all():
                farm.builders.change(one.name, trusted=BUILDERS[one.name], manual=False)
                farm.builders.set_ok(one.name, ok=True)
                farm.builders.release(one.name)
        self.time_passed()

    # --- what time does ---

    def time_passed(self) -> None:
        """Every quarantine, cooling down and exclusion is over."""
        sql = self.desk.farm.sql
        sql("UPDATE builder_runtime SET quarantined_until = now() WHERE quarantined_until > now()")
        sql("UPDATE buildqueue SET cooling_until = now() WHERE cooling_until > now()")
        sql("UPDATE attempt SET excluded_until = now() WHERE excluded_until > now()")
        self.desk.at += 3600.0
        self.desk.take()
        self.desk.books.tick(self.desk.at, datetime.now(UTC))

    def deadline_missed(self) -> None:
        if attempt := self.attempt:
            self.desk.farm.sql("UPDATE attempt SET deadline = now() WHERE id = %s", attempt.id)
            self.desk.books.miss_deadlines(0.0, self.desk.at)

    def restarted(self) -> None:
        self.desk.open()

    def swept(self) -> None:
        self.desk.books.sweep(self.desk.at)
        self.desk.books.check_dependencies(self.desk.at)

    # --- by chance ---

    def happen(self) -> str:
        """Let something happen, and the farm take note; say what it was."""
        what: Callable[[], None] = self.chance.choice(
            [
                *(6 * [self.worked]),
                *(3 * [self.queued, self.all_ready, self.ended, self.mended]),
                *(self.ready, self.started, self.gathering, self.all_ended, self.ended_before, self.refused),
                *(self.adopted, self.troubled, self.probed, self.crashed, self.changed),
                *(self.verb, self.verb, self.builder_verb, self.farm_verb, self.withdrawn),
                *(self.time_passed, self.time_passed, self.deadline_missed, self.restarted, self.swept),
            ]
        )
        if self.jobs or what == self.queued:
            what()
            self.desk.take()
        return what.__name__

    def operate(self, *verbs: Callable[[], Any]) -> None:
        """Do one of these; what can't be is refused, and changes nothing."""
        try:
            with self.desk.farm.acting("ann"):
                self.chance.choice(verbs)()
        except StorageError:
            pass

    def end(self, attempt: Attempt, outcome: Outcome) -> Any:
        deb = ResultStored(f"{attempt.id}.deb", self.librarian.add_bytes(attempt.id.bytes))
        results = (deb,) if outcome is Outcome.OK else ()
        missing = ("libfoo-dev (>= 2)",) if outcome is Outcome.DEPFAIL else ()
        return replace(finished(attempt.id, outcome, attempt.builder), results=results, dependencies=missing)

    @property
    def builder(self) -> str:
        return self.chance.choice([*BUILDERS])

    @property
    def build(self) -> int:
        return self.chance.randint(1, self.jobs)

    @property
    def attempt(self) -> Attempt | None:
        found = sorted(self.desk.farm.queue.open_attempts(), key=lambda one: one.build)
        return self.chance.choice(found) if found else None


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_the_check_finds_nothing(desk: Desk, librarian: Librarian, seed: int) -> None:
    chance = random.Random(seed)
    for name in [*BUILDERS][1 : chance.randint(2, len(BUILDERS))]:
        desk.farm.builder(name, trusted=BUILDERS[name])
    desk.books.books.rules = VerdictRules(failures=3, quick_failures=2, results=3)  # so that all comes in a short life
    desk.take()
    life, story = Life(desk, librarian, chance), []
    for _ in range(STEPS):
        story.append(life.happen())
        assert check(desk.farm.conn, librarian, unexplained) == (), (seed, story)
