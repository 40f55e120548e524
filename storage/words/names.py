"""Names and other words people give the farm: what they may look like, and what they name.

Pure; used by the repositories and their in-memory twins.  The database checks the same again, for plain SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from storage.errors import BadValue, SlaveTaken, UnknownArchitecture, UnknownArchive, UnknownFamily, UnknownSeries
from storage.records import (
    Archive,
    ArchivePurpose,
    Build,
    DistroArchSeries,
    NamedFile,
    NewSource,
    ProcessorFamily,
    Urgency,
)

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9+._-]{0,63}")
_SOURCE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_VERSION: Final = re.compile(r"(?=.{1,255}\Z)([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+:~-]*")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_FILENAME: Final = re.compile(r"(?!\.{1,2}\Z)[^/\x00-\x1f\x7f]{1,255}")
_ACTORS: Final = frozenset({"supervisor", "queue", "console"})
_APT_LINE = re.compile(r"deb(-src)? (\[[^]\[\x00-\x1f\x7f]*\] )?[a-z+]+:[^\s@]+ \S+( \S+)*")
_URLS = "buildd://HOST:PORT, or http://HOST:PORT of a launchpad-buildd slave"
_APT_LINES, _APT_LETTERS = 64, 1000
_LAST_PORT: Final = 65535
_MOST_SCORE: Final = 1_000_000


def check_word(what: str, word: str) -> None:
    """Refuse a name that can't be part of a path or URL.

    Args:
        what: what it names, for the message.
        word: the name.

    Raises:
        BadValue: says what is allowed.
    """
    if not _WORD.fullmatch(word):
        raise BadValue(
            f"{what} {word!r} can't be: 1 to 64 of a-z, 0-9, plus, dot, dash and underscore, a letter or digit first"
        )


def check_tags(tags: Iterable[str]) -> None:
    """Refuse a resource tag that can't be.

    Raises:
        BadValue: names it, and says what is allowed.
    """
    for tag in tags:
        check_word("tag", tag)


def check_builder_name(name: str) -> None:
    """Refuse a name that can't be a builder's: its actor is called so, beside the supervisor and others.

    Raises:
        BadValue: says what is allowed, or that it is taken.
    """
    check_word("builder", name)
    if name in _ACTORS or name.startswith("nursery-"):
        raise BadValue(f"builder {name!r} can't be: an actor of the farm has this name; choose another")


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


def slave_url(url: str) -> str:
    """Return the address of a slave in the one way to write it, as `buildd://127.0.0.1:8221`, or `http://…` of another kind.

    Raises:
        BadValue: says what is wrong with it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadValue(f"{url!r} is no slave's URL: {error}; write {_URLS}") from error
    wrong = {
        "the scheme must be buildd, or http": parts.scheme not in {"buildd", "http"},
        "the host is missing": not parts.hostname or re.search(r"[\s\\]", url) is not None,
        "name and password do not belong there": "@" in parts.netloc,
        "the port is missing": port is None or not 0 < port <= _LAST_PORT,
        "nothing may follow the port": parts.path not in {"", "/"} or bool(parts.query or parts.fragment),
    }
    for reason, holds in wrong.items():
        if holds:
            raise BadValue(f"{url!r} is no slave's URL: {reason}; write {_URLS}")
    return url.rstrip("/").lower().replace("://localhost:", "://127.0.0.1:")


def check_slave_free(name: str, url: str, owner: str | None) -> None:
    """Refuse a slave that another builder has: both would take its session, and its builds, from each other.

    Args:
        name: the builder that wants it.
        url: as `slave_url` returns it.
        owner: the builder that has it, if one does.

    Raises:
        SlaveTaken: says whose it is.
    """
    if owner is not None and owner != name:
        raise SlaveTaken(f"the slave {url} is the builder {owner!r} already: one slave is one builder")


def archive_name(name: str, purpose: ArchivePurpose, owner: str | None) -> tuple[str, str | None]:
    """Return an archive's full name and owner: of a PPA `owner/name`, whichever way they were given.

    Raises:
        BadValue: a PPA without owner, or with two; a name that can't be.
    """
    before, slash, after = name.rpartition("/")
    if purpose == ArchivePurpose.PPA:
        if slash and owner is not None and owner != before:
            raise BadValue(f"archive {name!r} can't be {owner!r}'s: a PPA is named OWNER/NAME")
        owner = owner if owner is not None else before
        if not owner:
            raise BadValue(f"PPA {name!r} needs an owner: name it OWNER/NAME")
        name = f"{owner}/{after}"
    elif slash:
        raise BadValue(f"archive {name!r} can't be: only a PPA is named OWNER/NAME")
    check_word("archive", after)
    if owner is not None:
        check_word("owner", owner)
    return name, owner


def dsc_of(source: NewSource) -> NamedFile:
    """Return the `.dsc` among a source's files, after a look at everything else.

    Raises:
        BadValue: no `.dsc` or more than one; a name, version, hash or size that can't be; a filename twice.
    """
    if not _SOURCE.fullmatch(source.name):
        raise BadValue(f"source {source.name!r} can't be: 2 to 128 of a-z, 0-9, plus, dot and dash")
    check_version(source.name, source.version)
    if source.urgency not in {*Urgency}:
        raise BadValue(f"urgency {source.urgency!r} of {source.name} can't be: {', '.join(Urgency)}")
    if not source.architectures:
        raise BadValue(f"{source.name} {source.version} names no architecture to build for, not even `any` or `all`")
    check_files(f"{source.name} {source.version}", source.files)
    found = [file for file in source.files if file.filename.endswith(".dsc")]
    if len(found) != 1:
        raise BadValue(f"{source.name} {source.version} has {len(found)} .dsc files among its files, and needs one")
    return found[0]


def check_version(source: str, version: str) -> None:
    """Refuse a version that dpkg could not compare.

    Raises:
        BadValue: names it.
    """
    from debian.debian_support import Version  # noqa: PLC0415 - takes 60 ms, and most commands submit nothing

    if _VERSION.fullmatch(version):
        with suppress(ValueError):
            Version(version)
            return
    raise BadValue(f"version {version!r} of {source} is no Debian version")


def check_files(whose: str, files: Sequence[NamedFile]) -> None:
    """Refuse files that can't be stored.

    Raises:
        BadValue: names the file.
    """
    names = [file.filename for file in files]
    for file in files:
        check_filename(whose, file.filename)
        if names.count(file.filename) > 1:
            raise BadValue(f"{whose}: file {file.filename!r} is named twice")
        if not _HASH.fullmatch(file.sha256):
            raise BadValue(f"{whose}: {file.filename}: {file.sha256!r} is no SHA-256 (64 hexadecimal digits)")
        if file.size < 0:
            raise BadValue(f"{whose}: {file.filename}: {file.size} is no size")


def check_filename(whose: str, filename: str) -> None:
    """Refuse a filename that is not a single part of a path.

    Raises:
        BadValue: names it.
    """
    if not _FILENAME.fullmatch(filename):
        raise BadValue(f"{whose}: filename {filename!r} can't be: it must be a single part of a path")


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


def named_archive(distribution: str, name: str, every: Sequence[Archive]) -> Archive:
    """Return an archive by name.

    Raises:
        UnknownArchive: says what there is.
    """
    for one in every:
        if (one.distribution, one.name) == (distribution, name):
            return one
    raise UnknownArchive(f"{distribution}/{name}", known=(f"{one.distribution}/{one.name}" for one in every))


def build_exists(there: Build) -> str:
    """Return in words that a source has a build, and where it stands."""
    return (
        f"{there.source} {there.version} has a build for {there.distroarchseries} in {there.archive}:"
        f" build {there.id}, {there.state}; retry that one, or submit another version"
    )


def check_score(score: int | None) -> None:
    """Refuse a score out of range, manual or of an archive.

    Raises:
        BadValue: says the range.
    """
    if score is not None and abs(score) > _MOST_SCORE:
        raise BadValue(f"score {score} can't be: at most {_MOST_SCORE} either way")


def check_why(why: str) -> None:
    """Refuse an empty reason.

    Raises:
        BadValue: it says nothing.
    """
    if not why.strip():
        raise BadValue("say why: whoever looks at a job that waits will read it")


def given_back(why: str) -> str:
    """Return what is told of an attempt that an operator gave back."""
    return f"given back by an operator: {why}" if why else "given back by an operator"
