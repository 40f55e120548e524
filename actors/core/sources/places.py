"""Which archive and which series a submission means: names that people give against what the farm has.

Pure.  Which builds are made there is decided in `actors.core.sources.making`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from actors.core.dispatch.pockets import is_open
from actors.core.people.private import seen_archives
from actors.core.people.roles import Caller
from actors.core.sources.making import Refused, in_short
from storage.records import Archive, ArchivePurpose, Chroot, DistroArchSeries, Pocket

EVERY: Final = "all"  #: the word for all series that have a chroot
_NO_TAGS: Final = frozenset({"all", "any"})


@dataclass(frozen=True, slots=True)
class Wish:
    """Where a person wants a source to go."""

    archive: str  #: `primary`, `cprov/ppa`, or with its distribution before it
    series: tuple[str, ...] = ()  #: `bookworm`, `debian/bookworm`, or `all`; none: the only one there is
    architectures: tuple[str, ...] = ()  #: only these tags; none: all
    pocket: Pocket = Pocket.RELEASE


@dataclass(frozen=True, slots=True)
class Places:
    """Where a source goes."""

    archive: Archive
    pocket: Pocket
    series: tuple[tuple[DistroArchSeries, ...], ...]  #: of each series all architectures
    ready: frozenset[str]  #: those that have a chroot, as `debian/bookworm/amd64`
    only: frozenset[str] | None  #: architecture tags that were asked for; None: all
    every: bool  #: the series were not named, but all of them asked for
    remarks: tuple[str, ...] = ()  #: for people: which of all series are left out

    @property
    def ppa(self) -> bool:
        """Whether the archive is one."""
        return self.archive.purpose is ArchivePurpose.PPA

    @property
    def names(self) -> tuple[str, ...]:
        """The series, as `debian/bookworm`."""
        return tuple(map(_name, self.series))


Series = tuple[DistroArchSeries, ...]


def choose(
    wish: Wish,
    series: Iterable[DistroArchSeries],
    chroots: Iterable[Chroot],
    archives: Sequence[Archive],
    caller: Caller,
) -> Places | Refused:
    """Return where a source goes.

    Args:
        wish: what was asked for.
        series: all architectures of all series, by name.
        chroots: all.
        archives: all.
        caller: who asks: is told of archives only that they may know of.
    """
    ready = frozenset(one.distroarchseries for one in chroots if one.pocket in {wish.pocket, Pocket.RELEASE})
    every = _by_name(series)
    able = {name: one for name, one in every.items() if any(str(arch) in ready for arch in one)}
    if not able:
        return Refused("no series has a chroot: make one with `buildd-master chroot make`")
    meant = _meant(wish.archive, archives)
    if not meant:
        there = in_short([f"{one.distribution}/{one.name}" for one in seen_archives(caller, archives)], ", ")
        return Refused(f"no archive {wish.archive!r} here (there are: {there}); `buildd-master archive list` shows all")
    able = {name: one for name, one in able.items() if one[0].distribution in meant}
    if not able:
        return Refused(f"no series of {' or '.join(meant)} has a chroot: make one with `buildd-master chroot make`")
    chosen = _chosen(wish.series, able)
    if isinstance(chosen, Refused):
        return chosen
    distributions = sorted({one[0].distribution for one in chosen})
    if len(distributions) > 1:
        each = " or ".join(f"{one}/{EVERY}" if EVERY in wish.series else one for one in distributions)
        return Refused(f"the series of one submission are of one distribution: say --series with those of {each}")
    places = Places(
        archive=meant[distributions[0]],
        pocket=wish.pocket,
        series=tuple(chosen),
        ready=ready,
        only=frozenset(wish.architectures) or None,
        every=any(_every(word, able) for word in wish.series),
    )
    found = places if places.ppa else _open(places)
    if isinstance(found, Refused):
        return found
    return _check_architectures(wish.architectures, found.series, ready) or found


def _open(places: Places) -> Places | Refused:
    """Return the places without those of all series whose pocket is closed; named ones are refused if theirs is."""
    opened = tuple(one for one in places.series if is_open(one[0].status, places.pocket))
    closed = [one for one in places.series if one not in opened]
    if not closed:
        return places
    shown = in_short([f"{_name(one)} ({one[0].status})" for one in closed], ", ")
    text = f"the pocket {places.pocket} is closed to uploads in {shown}"
    if places.every and opened:
        return replace(places, series=opened, remarks=(text,))
    others = [str(pocket) for pocket in Pocket if all(is_open(one[0].status, pocket) for one in closed)]
    hint = f"say --pocket with {' or '.join(others)}, or change" if others else "change"
    return Refused(f"{text}: {hint} the status with `buildd-master series set`")


def _meant(word: str, archives: Sequence[Archive]) -> dict[str, Archive]:
    """Return the archives that a word may mean, by distribution; a name with its distribution goes before a PPA's owner."""
    found = [one for one in archives if word == f"{one.distribution}/{one.name}"]
    return {one.distribution: one for one in found or archives if found or word == one.name}


def _by_name(series: Iterable[DistroArchSeries]) -> dict[str, Series]:
    found: dict[str, list[DistroArchSeries]] = {}
    for one in series:
        found.setdefault(f"{one.distribution}/{one.series}", []).append(one)
    return {name: tuple(each) for name, each in found.items()}


def _name(series: Series) -> str:
    return f"{series[0].distribution}/{series[0].series}"


def _chosen(words: Sequence[str], able: dict[str, Series]) -> list[Series] | Refused:
    there = in_short(list(able), ", ")
    if not words:
        if len(able) > 1:
            return Refused(f"which series? say --series with one of: {there}; or --series {EVERY}")
        return list(able.values())
    if any(_every(word, able) for word in words) and len({*words}) > 1:
        return Refused(f"--series {EVERY} is every series that has a chroot: name none beside it")
    chosen: dict[str, Series] = {}
    for word in words:
        found = {name: one for name, one in able.items() if _fits(word, name, able)}
        if not found:
            return Refused(f"no series {word!r} with a chroot (there are: {there}): `buildd-master chroot make {word}`")
        if len(found) > 1 and not _every(word, able):
            return Refused(f"which series? say --series with one of: {in_short(list(found), ', ')}")
        chosen |= found
    return list(chosen.values())


def _every(word: str, able: dict[str, Series]) -> bool:
    """Return whether a word means all series; one that is really named so is named with its distribution."""
    return word == EVERY or (word.endswith(f"/{EVERY}") and word not in able)


def _fits(word: str, name: str, able: dict[str, Series]) -> bool:
    if _every(word, able):
        return word == EVERY or name.startswith(word.removesuffix(EVERY))
    return word in {name, name.partition("/")[2]}


def _check_architectures(tags: Sequence[str], chosen: Sequence[Series], ready: frozenset[str]) -> Refused | None:
    there = sorted({arch.architecture for one in chosen for arch in one if str(arch) in ready})
    for tag in tags:
        if tag in _NO_TAGS:
            return Refused(f"--arch {tag} names no architecture: without --arch, all are built that the source is for")
        if tag not in there:
            return Refused(f"no chroot for the architecture {tag!r} (there are: {in_short(there, ', ')})")
    return None
