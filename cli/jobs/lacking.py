"""What a build in MANUALDEPWAIT waits for, for people: the answer of the check that queues it again.

`build show` and `explain` ask; what satisfies what is decided in `actors.core.dependencies.waits`, by the same look at
the same rows as the queue actor's (`actors.queue.dependency_waits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from actors.core.people.private import readable, seen_build
from cli.terminal.output import console, plain, say, state, when
from storage.dependency_waits import DependencyWaits
from storage.errors import UnknownBuild
from storage.records import Build, BuildState

if TYPE_CHECKING:
    from actors.core.dependencies.waits import Answer
    from cli.farm import Farm


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a build in MANUALDEPWAIT waits, as the caller sees it."""

    build: Build
    answers: tuple[Answer, ...]  #: to each of its dependencies; none: it says none, or the caller may not read them
    hidden: bool  #: the caller may not read them

    @property
    def words(self) -> str:
        """Return what it waits for, a line for each dependency."""
        if self.hidden:
            return "dependencies, which are private"
        if not self.answers:
            return f"a person: it says not what it lacks; `buildd-master build retry {self.build.id}` queues it again"
        return "\n".join(f"{answer.line}: {_words(answer)}" for answer in self.answers)

    @property
    def documents(self) -> list[object]:
        """Return the answers as `--json` shows them."""
        return [plain(answer) for answer in self.answers]


def lack_of(farm: Farm, build: Build) -> Lack | None:
    """Return why `build` waits; None: not for dependencies."""
    if build.state is not BuildState.MANUALDEPWAIT:
        return None
    if not readable(farm.caller, build):
        return Lack(seen_build(farm.caller, build), (), hidden=True)
    from actors.core.dependencies.waits import Doubt  # noqa: PLC0415 - parsers, which no other build needs
    from actors.queue.dependency_waits import judgements  # noqa: PLC0415
    from storage.binary_packages import BinaryPackages  # noqa: PLC0415

    timers = farm.settings.timers
    doubt = Doubt(timers.dependency_doubt, timers.dependency_doubt_limit)
    waits = DependencyWaits(farm.connection).waits([build.id])
    judged = judgements(BinaryPackages(farm.connection), waits, doubt)
    return Lack(build, judged[0].answers if judged else (), hidden=False)


def lack_behind(farm: Farm, number: int) -> Lack | None:
    """Return why the build waits that `number` means, of a job it had or its own; None: no such build waits so."""
    from storage.builds import Builds  # noqa: PLC0415 - for the few who ask for a job that is gone

    of_job = DependencyWaits(farm.connection).of_job(number)
    try:
        return lack_of(farm, Builds(farm.connection).get(number if of_job is None else of_job))
    except UnknownBuild:
        return None


def show_lack(lack: Lack) -> None:
    """Print why a build without a job waits."""
    one = lack.build
    console().print(
        Text.assemble(
            (f"build {one.id}", "bold"),
            f": {f'{one.source} {one.version}'.rstrip()} for {one.distroarchseries} {one.pocket} has no job, it is ",
            state(one.state),
        )
    )
    say("it is queued again when what it waits for is published:")
    for line in lack.words.splitlines():
        say(f"    {line}")


def _words(answer: Answer) -> str:
    return answer.words if answer.until is None else f"{answer.words}; counts again from {when(answer.until)}"
