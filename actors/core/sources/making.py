"""Which builds a source asks for, in one series and in many (dispatch-rules §3).

Pure: the rows are given, and so is dpkg's table of architectures.  `actors.core.sources.places` says which archive and
series are meant, `actors.core.sources.publishing` what is superseded there; the shell over all three is the room
`publishing`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from storage.records import BuildState, DistroArchSeries

ALL: Final = "all"  #: the hint for architecture-independent packages
_SHOWN: Final = 8  #: words of a list that people are shown


class ArchitectureTable(Protocol):
    """What dpkg knows of architectures; python-debian's `DpkgArchTable` is one."""

    def matches_architecture(self, architecture: str, alias: str) -> bool:
        """Return whether `alias`, a tag or wildcard as `linux-any`, means the tag `architecture`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for can't be; nothing is to be written."""

    text: str  #: for people: what, where, what to do


@dataclass(frozen=True, slots=True)
class Target:
    """One build to be made."""

    distroarchseries: DistroArchSeries
    arch_indep: bool  #: arch-indep packages are built as well


class LeftOut(StrEnum):
    """Why a source is not built for an architecture, in the order in which it is asked; after `amd64 …`."""

    NOT_MEANT = "not meant by the source"
    NOT_ASKED = "not asked for"
    NO_PPAS = "not for PPAs"
    NO_CHROOT = "without a chroot"


@dataclass(frozen=True, slots=True)
class SeriesBuilds:
    """What a source asks for in one series."""

    distribution: str
    series: str
    targets: tuple[Target, ...]
    left_out: tuple[tuple[str, LeftOut], ...]  #: architecture tag, why
    indep_left_out: tuple[str, LeftOut] | None = None  #: the nominated tag, if the source's arch-indep packages are

    def __str__(self) -> str:
        """Return the field's notation, as `debian/bookworm`."""
        return f"{self.distribution}/{self.series}"

    @property
    def why_not(self) -> str:
        """What was left out, as `amd64, i386 without a chroot; armhf not asked for`."""
        tags = ((why, [tag for tag, reason in self.left_out if reason is why]) for why in LeftOut)
        return "; ".join(f"{in_short(of_it, ', ')} {why}" for why, of_it in tags if of_it)


def builds_in(
    series: Sequence[DistroArchSeries],
    hints: Sequence[str],
    ready: Container[str],
    table: ArchitectureTable,
    *,
    ppa: bool,
    only: Container[str] | None = None,
) -> SeriesBuilds:
    """Return the builds that a source asks for in one series.

    Arch-indep packages (`all`) are built on the nominated architecture only, together with what is built there anyway.

    Args:
        series: all architectures of it; at least one.
        hints: the source's architecture hint list.
        ready: which of them have a chroot, as `debian/bookworm/amd64`.
        table: dpkg's.
        ppa: the archive is one: only architectures that support PPAs.
        only: architecture tags that were asked for; None: all.
    """
    wanted = frozenset(hints)
    targets, left_out, indep = [], [], None
    for one in series:
        arch_indep = ALL in wanted and one.nominated_archindep
        if not arch_indep and not any(means(hint, one.architecture, table) for hint in wanted):
            why = LeftOut.NOT_MEANT
        elif only is not None and one.architecture not in only:
            why = LeftOut.NOT_ASKED
        elif ppa and not one.ppas:
            why = LeftOut.NO_PPAS
        elif str(one) not in ready:
            why = LeftOut.NO_CHROOT
        else:
            targets.append(Target(one, arch_indep))
            continue
        left_out.append((one.architecture, why))
        if arch_indep:
            indep = left_out[-1]
    return SeriesBuilds(series[0].distribution, series[0].series, tuple(targets), tuple(left_out), indep)


def means(hint: str, architecture: str, table: ArchitectureTable) -> bool:
    """Return whether a hint means an architecture tag; `all` means none."""
    return hint != ALL and table.matches_architecture(architecture, hint)


def check_builds(source: str, hints: Sequence[str], found: Sequence[SeriesBuilds], *, every: bool) -> Refused | None:
    """Return why these can't be the builds of a source; None: they can.

    Each series that somebody named must get a build; of `all` series one is enough.

    Args:
        source: its name.
        hints: its architecture hint list.
        found: as `builds_in` returns it, one for each series.
        every: the series were not named, but all of them asked for.
    """
    empty = [one for one in found if not one.targets]
    if not empty or (every and len(empty) < len(found)):
        return None
    where = in_short([f"{one} ({one.why_not})" for one in empty], "; ", most=3)
    indep = "; arch-indep packages are built on the nominated architecture only" if ALL in hints else ""
    return Refused(f"{source} is for {in_short(hints)}: it has nothing to build in {where}{indep}")


def remarks(source: str, found: Iterable[SeriesBuilds]) -> tuple[str, ...]:
    """Return a line for what somebody may have expected to be built, and is not."""
    nothing: dict[str, list[str]] = {}
    indep: dict[str, list[str]] = {}
    for one in found:
        if not one.targets:
            nothing.setdefault(one.why_not, []).append(str(one))
        elif one.indep_left_out is not None and one.indep_left_out[1] is not LeftOut.NOT_ASKED:
            tag, why = one.indep_left_out
            indep.setdefault(f"{tag}, nominated for them, is {why}", []).append(str(one))
    return (
        *(f"{source} has nothing to build in {in_short(where, ', ')}: {why}" for why, where in nothing.items()),
        *(f"its arch-indep packages are not built in {in_short(where, ', ')}: {why}" for why, where in indep.items()),
    )


class Step(StrEnum):
    """What is done for a target."""

    MAKE = "make"  #: a new build
    MAKE_AGAIN = "make again"  #: another build of what was built
    QUEUE = "queue"  #: the build that there is has a job, or gets one
    KEEP = "keep"  #: it was built


def step(there: BuildState | None, *, again: bool) -> Step:
    """Return what is done for a target: a build of the same source, archive and architecture is not made again.

    Args:
        there: state of the build that there is; None: there is none.
        again: a person asks for what was built to be built once more.
    """
    match there:
        case None:
            return Step.MAKE
        case BuildState.FULLYBUILT:
            return Step.MAKE_AGAIN if again else Step.KEEP
        case _:
            return Step.QUEUE


def in_short(words: Sequence[str], between: str = " ", most: int = _SHOWN) -> str:
    """Return a list for people, however long it is."""
    shown = between.join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"
