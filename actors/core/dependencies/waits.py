"""What a build still waits for, given what is published (dispatch-rules §7).

Each dependency that a slave reported missing is one line.  A line is gone when something published satisfies it, or
when it says nothing for this build; when no line is left, the build is tried again.  A line that can't be read stays,
and only a person gets the build out.  A line that was satisfied already when the build missed it (the slave may read
another mirror than we believe) counts again later, and later still each time, so that no build goes round in circles
unseen.  Pure: `actors.queue.dependency_waits` reads the rows and writes down what comes out of here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from actors.core.dependencies.relations import ALL, Fits, Relation, offers, read, version_of
from protocol.shapes import fit_text
from storage.records import BinaryPackage, DependencyWait, EarlierPackage, PublishedPackage

MOST_REPORTED: Final = 1000  #: dependencies of one build that are kept; a native slave reports 100
_GROWTH: Final = 4  #: doubt lasts so many times longer with each attempt that ended so
_MOST_NAMED: Final = 5  #: packages named in the reason of an event
_THERE: Final = "there now"  #: how the reason ends of an event that packages led to


class Standing(StrEnum):
    """What a check says of one line."""

    ARRIVED = "arrived"  #: satisfied by what is published, or not needed here
    MISSING = "missing"
    DOUBTED = "doubted"  #: satisfied, but it was so already when the build missed it
    UNREADABLE = "unreadable"  #: only a person can queue the build again


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check says of one line."""

    line: str
    standing: Standing
    words: str  #: for people, after "libfoo (>= 2): "
    package: str = ""  #: what satisfies it, as `libfoo 2.1`
    until: datetime | None = None  #: a DOUBTED line counts again from then


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a check says of one build."""

    answers: tuple[Answer, ...]

    @property
    def remaining(self) -> tuple[str, ...]:
        """Return the lines that are still waited for."""
        return tuple(answer.line for answer in self.answers if answer.standing is not Standing.ARRIVED)

    @property
    def why(self) -> str:
        """Return what has arrived, in words; empty: nothing."""
        arrived = [answer for answer in self.answers if answer.standing is Standing.ARRIVED]
        packages = list(dict.fromkeys(answer.package for answer in arrived if answer.package))
        if not packages:
            return "its dependencies say nothing for its architecture" if arrived else ""
        named = ", ".join(packages[:_MOST_NAMED])
        if len(packages) > _MOST_NAMED:
            named += f" and {len(packages) - _MOST_NAMED} more"
        return f"{named} {'is' if len(packages) == 1 else 'are'} {_THERE}"


@dataclass(frozen=True, slots=True)
class Doubt:
    """How long a dependency does not count that was published already when a build missed it, in seconds."""

    first: float = 300.0
    limit: float = 86400.0

    def seconds(self, missed: int) -> float:
        """Return it for a build of which `missed` attempts ended so."""
        return min(self.first * float(_GROWTH ** max(0, min(missed, 20) - 1)), self.limit)


def names_what_came(why: str) -> bool:
    """Return whether an event's reason is the `Judgement.why` of packages that have arrived."""
    return why.endswith(f" {_THERE}")


class Shelf:
    """Published packages, by the names they go by."""

    def __init__(self, packages: Iterable[PublishedPackage]) -> None:
        """Sort `packages` in."""
        self._by_name: dict[str, list[PublishedPackage]] = defaultdict(list)
        for package in packages:
            for name in {name for name, _ in offers(package)}:
                self._by_name[name].append(package)

    def seen(self, name: str, wait: DependencyWait) -> Iterator[PublishedPackage]:
        """Yield what goes by `name` where a build looks, for whatever architecture."""
        for package in self._by_name.get(name, ()):
            if package.archive in wait.archives and package.series == wait.series:
                yield package


def reported(dependencies: Sequence[str]) -> tuple[str, ...]:
    """Return what is kept of a slave's report: whole lines of one relation each, no line twice, not without end.

    What can't be read is kept as it is, but printable and cut to what may be sent; a check tells that it is so.
    """
    lines: dict[str, None] = {}
    for said in dependencies:
        for line in _relations(fit_text(said)):
            lines[line] = None
            if len(lines) >= MOST_REPORTED:
                return tuple(lines)
    return tuple(lines)


def names_awaited(waits: Iterable[DependencyWait]) -> set[str]:
    """Return the package names that decide about these builds."""
    relations = (read(line) for wait in waits for said in wait.dependencies for line in _relations(said))
    return {one.name for relation in relations if relation is not None for one in relation}


def judge(wait: DependencyWait, shelf: Shelf, doubt: Doubt, fits: Fits) -> Judgement:
    """Check every dependency of a build.

    Args:
        wait: the build.
        shelf: at least what goes by the `names_awaited` of it.
        doubt: for what was there already.
        fits: whether an architecture is meant by a wildcard.
    """
    lines = dict.fromkeys(line for said in wait.dependencies for line in _relations(said))
    return Judgement(tuple(_answer(line, wait, shelf, doubt, fits) for line in lines))


def superseded(
    there: Iterable[EarlierPackage], new: Sequence[BinaryPackage]
) -> tuple[tuple[int, ...], tuple[BinaryPackage, ...]]:
    """Say how what a build leaves changes what builds have left before it, in one archive and series.

    A package makes way for one of its name with the same or a higher version, for its architecture or for all; one that
    would make way for what is there already is not published at all.

    Returns:
        The ids of those that go, and those of `new` that are published.
    """
    there = tuple(there)
    published = tuple(one for one in new if not any(_yields(one, old, same=False) for old in there))
    gone = tuple(old.id for old in there if any(_yields(old, one, same=True) for one in published))
    return gone, published


def _yields(one: BinaryPackage | EarlierPackage, to: BinaryPackage | EarlierPackage, *, same: bool) -> bool:
    if one.name != to.name or to.architecture not in {one.architecture, ALL}:
        return False
    mine, others = version_of(one.version), version_of(to.version)
    if mine is None or others is None:
        return False
    return mine < others or (same and mine == others)


def _answer(line: str, wait: DependencyWait, shelf: Shelf, doubt: Doubt, fits: Fits) -> Answer:
    relation = read(line)
    if relation is None:
        return Answer(
            line, Standing.UNREADABLE, "can't be read as a dependency: only a person can queue the build again"
        )
    counting = tuple(one for one in relation if one.counts(wait.architecture, fits))
    if not counting:
        return Answer(line, Standing.ARRIVED, f"says nothing for {wait.architecture}")
    found = [
        package for one in counting for package in shelf.seen(one.name, wait) if one.is_by(package, wait.architecture)
    ]
    if not found:
        return Answer(line, Standing.MISSING, _what_there_is(counting, wait, shelf))
    newest = max(found, key=lambda package: (package.created, package.id))
    package = f"{newest.name} {newest.version}"
    if wait.tried is None or newest.created > wait.tried:
        return Answer(line, Standing.ARRIVED, f"{package} is there now", package)
    until = wait.since + timedelta(seconds=doubt.seconds(wait.missed))
    if wait.now >= until:
        return Answer(line, Standing.ARRIVED, f"{package} was there before, and is looked for again", package)
    words = f"{package} was published before the build began, and its slave did not find it"
    return Answer(line, Standing.DOUBTED, words, package, until)


def _what_there_is(relation: Relation, wait: DependencyWait, shelf: Shelf) -> str:
    """Return why nothing satisfies it: what goes by these names, or that nothing does."""
    there = {
        f"{package.name} {package.version} ({package.architecture})": None
        for one in relation
        for package in sorted(shelf.seen(one.name, wait), key=lambda package: -package.id)
    }
    if not there:
        return "not published"
    return f"published is only {', '.join(list(there)[:_MOST_NAMED])}"


def _relations(said: str) -> tuple[str, ...]:
    """Return the relations of one line, which commas part; a line that can't be read is left in one piece."""
    parts = tuple(part for part in (one.strip() for one in said.split(",")) if part)
    return parts if all(read(part) is not None for part in parts) else (said.strip(),)
