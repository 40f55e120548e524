"""All who look at a simulated farm, as those who live there know them: told what no row can tell, and what people read."""

from __future__ import annotations

from collections.abc import Callable

from simulation.environment.ground import Ground
from simulation.observers.ledger import Ledger
from simulation.observers.story import Line, Story
from simulation.observers.validator import Validator
from simulation.scenario.plan import PlannedJob


class Witnesses:
    """The ledger; the story, if somebody reads it; the validator, if somebody looks."""

    def __init__(self, ground: Ground, *, validate: bool, write: Callable[[Line], object] | None) -> None:
        """Begin to look.

        Args:
            ground: what is looked at.
            validate: look at the invariants.
            write: takes the lines of the story; None: it is not told.
        """
        self.ledger = Ledger(ground.rows, ground.agenda, ground.contents, ground.plan.hours)
        self.story = None if write is None else Story(ground.rows, ground.agenda, write)
        self.validator = Validator(ground, self.ledger) if validate else None
        self._contents = ground.contents

    def note(self, what: str, **fields: object) -> None:
        """Write a line of the story."""
        if self.story is not None:
            self.story.tell(what, **fields)

    def began(self, builder: str, attempt: str, job: PlannedJob, *, trusted: bool) -> None:
        """A slave begins to build."""
        self.ledger.began(job.source)
        if self.validator is not None:
            self.validator.began(builder, attempt, trusted=trusted)
        self.note("began", builder=builder, attempt=attempt, source=f"{job.source} {job.version}")

    def stopped(self, builder: str, attempt: str, job: PlannedJob, how: str) -> None:
        """A slave builds it no more."""
        self.ledger.stopped(job.source)
        self.note("ended", builder=builder, attempt=attempt, outcome=how)

    def made(self, sha256: str) -> None:
        """A slave has a result."""
        if self.story is not None:
            made = self._contents.made[sha256]
            self.story.tell("made", sha256=sha256, source=made.source, attempt=made.attempt)

    def cleaned(self, builder: str, attempt: str) -> None:
        """A slave drops what is left of a build."""
        if self.validator is not None:
            self.validator.cleaned(builder, attempt)
        self.note("cleaned", builder=builder, attempt=attempt)
