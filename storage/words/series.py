"""Processor families, architectures and series: what they may be called, and what they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from storage.errors import BadValue, UnknownArchitecture, UnknownFamily, UnknownSeries
from storage.records import DistroArchSeries, ProcessorFamily
from storage.words.names import check_word

_APT_LINE = re.compile(r"deb(-src)? (\[[^]\[\x00-\x1f\x7f]*\] )?[a-z+]+:[^\s@]+ \S+( \S+)*")
_APT_LINES, _APT_LETTERS = 64, 1000


def check_apt_sources(lines: Sequence[str]) -> None:
    """Refuse what are no lines of a `sources.list`, and passwords in them: all who read the events would read these.

    Raises:
        BadValue: names the line.
    """
    if len(lines) > _APT_LINES:
        raise BadValue(f"{len(lines)} lines of apt sources: at most {_APT_LINES}")
    for line in lines:
        if "@" in line.partition("://")[2].partition("/")[0]:
            raise BadValue(
                "an apt source can't hold a name and a password: all who read the farm's events would read it"
            )
        if not _APT_LINE.fullmatch(line) or len(line) > _APT_LETTERS:
            raise BadValue(f"{line!r} is no apt source: write it as `deb http://HOST/debian bookworm main`")


def check_family(name: str, architectures: Sequence[str], families: Iterable[ProcessorFamily]) -> None:
    """Refuse a processor family that can't be, beside the `families` that are.

    Raises:
        BadValue: a name can't be, no tags, or a tag is another family's.
    """
    check_word("processor family", name)
    if not architectures:
        raise BadValue(f"processor family {name!r} needs at least one architecture tag, as `amd64`")
    for tag in architectures:
        check_word("architecture tag", tag)
    for family in families:
        taken = set(family.architectures) & set(architectures)
        if taken and family.name != name:
            raise BadValue(f"architecture tag {min(taken)!r} is of the processor family {family.name!r} already")


def family_of(architecture: str, families: Sequence[ProcessorFamily]) -> str:
    """Return the family that an architecture tag belongs to.

    Raises:
        UnknownArchitecture: none has it.
    """
    for family in families:
        if architecture in family.architectures:
            return family.name
    raise UnknownArchitecture(architecture, known=(tag for family in families for tag in family.architectures))


def check_architectures(architectures: Mapping[str, str], families: Iterable[ProcessorFamily]) -> None:
    """Refuse architecture tags that are not of the family they are said to be of.

    Raises:
        UnknownFamily: no such family.
        BadValue: the family has no such tag.
    """
    known = {family.name: family for family in families}
    for tag, family in architectures.items():
        if family not in known:
            raise UnknownFamily(family, known=known)
        if tag not in known[family].architectures:
            raise BadValue(
                f"architecture {tag!r} is none of the processor family {family!r}"
                f" (it has {', '.join(known[family].architectures)})"
            )


def check_nominated(series: str, nominated: str, architectures: Iterable[str]) -> None:
    """Refuse to nominate an architecture that the series does not have.

    Raises:
        BadValue: says what it has.
    """
    there = sorted(architectures)
    if nominated not in there:
        raise BadValue(
            f"{series} can't nominate {nominated!r} for arch-indep packages:"
            f" it has {', '.join(there) or 'no architecture'}"
        )


def chosen_architectures(
    series: str, tags: Sequence[str], there: Sequence[DistroArchSeries], every: Sequence[DistroArchSeries]
) -> tuple[DistroArchSeries, ...]:
    """Return the architectures of a series that are named; all, if none is.

    Args:
        series: its name, as `ubuntu/hoary`.
        tags: architecture tags.
        there: the architectures it has.
        every: those of all series.

    Raises:
        UnknownSeries: no such series, or it has no such architecture; says what there is.
    """
    if not there:
        raise UnknownSeries(series, known=sorted({f"{one.distribution}/{one.series}" for one in every}))
    for tag in tags:
        if tag not in {one.architecture for one in there}:
            raise UnknownSeries(f"{series}/{tag}", known=there)
    return tuple(one for one in there if not tags or one.architecture in tags)


def named_series(text: str, every: Sequence[DistroArchSeries]) -> DistroArchSeries:
    """Return what `ubuntu/hoary/i386` names.

    Raises:
        UnknownSeries: says what there is.
        BadValue: not three names with slashes.
    """
    try:
        _distribution, _series, _architecture = text.split("/")
    except ValueError as error:
        raise BadValue(f"{text!r} names no architecture of a series; write DISTRIBUTION/SERIES/ARCHITECTURE") from error
    for one in every:
        if str(one) == text:
            return one
    raise UnknownSeries(text, known=every)
