"""What can go wrong between the farm and its database, and whose fault it is.

    StorageError
    ├── Unknown                 the thing named does not exist; nothing was written
    │   ├── UnknownBuilder  UnknownFamily  UnknownSeries  UnknownDistribution  UnknownArchive  UnknownSource
    │   ├── UnknownBuild  UnknownJob  UnknownAttempt  UnknownFile  UnknownComponent
    │   ├── UnknownPerson  UnknownTeam  UnknownToken
    │   └── UnknownCertificate
    ├── Exists                  the name is taken; nothing was written
    │   └── BuilderExists  ArchiveExists  BuildExists  FileExists
    ├── BadValue                a value that can't be: which, where, what is allowed
    ├── TokenRefused            a person's token is none, unknown, revoked or expired
    ├── EnrolmentRefused        a slave's one-time token is none, was used, or has expired
    ├── AuthorityUnusable       the file of the farm's authority can't be read or is not what it should be
    ├── WrongState              what was asked for makes no sense of a build in this state; nothing was written
    │   ├── ImpossibleMove      a build can't go from this state to that one; carries the build's story
    │   └── NotQueued  NotRunning  StillRunning
    ├── DatabaseRefuses         the database's own user may not do that: a matter of GRANT
    ├── DatabaseUnreachable     the database is away or can't work: try again later, blame nobody
    ├── SchemaOutdated          the database was made by another version: `buildd-master db migrate`
    └── AnotherMaster           another master holds this database

The first sentence of each message names the thing; the last says what to do, where there is something to do.
A caller that gets one of these has changed nothing: repositories fail before they write, or as one statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from storage.records import BuildState, Event
from storage.transitions import way_out


class StorageError(Exception):
    """Base of everything that this room raises on purpose."""


class Unknown(StorageError):
    """Something was named that does not exist."""

    what = "thing"
    hint = ""

    def __init__(self, name: object, *, known: Iterable[object] = ()) -> None:
        """Name the missing thing.

        Args:
            name: as the caller gave it.
            known: names that exist, told to the reader where they are few.
        """
        there = ", ".join(str(one) for one in known)
        self.name = str(name)
        super().__init__(
            f"no {self.what} {self.name!r} here"
            + (f" (there are: {there})" if there else "")
            + (f"; {self.hint}" if self.hint else "")
        )


class UnknownBuilder(Unknown):
    """No such row in `builder`."""

    what = "builder"
    hint = "`buildd-master builder list` shows all"


class UnknownFamily(Unknown):
    """No such row in `processor_family`."""

    what = "processor family"


class UnknownArchitecture(UnknownFamily):
    """No processor family has the architecture tag."""

    what = "architecture"


class UnknownSeries(Unknown):
    """No such distribution, series, or architecture of a series."""

    what = "series"
    hint = "`buildd-master series list` shows all"


class UnknownDistribution(UnknownSeries):
    """No such row in `distribution`."""

    what = "distribution"


class UnknownArchive(Unknown):
    """No such row in `archive`."""

    what = "archive"
    hint = "`buildd-master archive list` shows all"


class UnknownCertificate(Unknown):
    """No certificate of that serial or holder is in force."""

    what = "certificate in force for"
    hint = "`buildd-master ca list` shows all"


class UnknownComponent(Unknown):
    """No such row in `component`."""

    what = "component"


class UnknownSource(Unknown):
    """No such source package release."""

    what = "source package release"
    hint = "`buildd-master archive publications DISTRIBUTION/ARCHIVE` lists what is published"


class UnknownBuild(Unknown):
    """No such row in `build`."""

    what = "build"
    hint = "`buildd-master build list` shows the latest"


class UnknownJob(Unknown):
    """No such row in `buildqueue`: never made, or its build has ended."""

    what = "job"
    hint = "`buildd-master queue` shows all"


class UnknownAttempt(Unknown):
    """No such row in `attempt`."""

    what = "attempt"


class UnknownFile(Unknown):
    """No such alias or content in the librarian's tables."""

    what = "file in the librarian"


class UnknownPerson(Unknown):
    """No such row in `person`."""

    what = "person"
    hint = "`buildd-master person list` shows all"


class UnknownTeam(Unknown):
    """No such row in `team`."""

    what = "team"


class UnknownToken(Unknown):
    """No such row in `api_token`."""

    what = "token"
    hint = "`buildd-master token list` shows all"


class Exists(StorageError):
    """The name is taken."""


class BuilderExists(Exists):
    """A builder of this name is registered."""


class SlaveTaken(Exists):
    """Another builder has this slave."""


class ArchiveExists(Exists):
    """The distribution has an archive of this name."""

    def __init__(self, distribution: str, name: str) -> None:
        """Name it, and how it is changed."""
        super().__init__(
            f"{distribution} has an archive {name!r} already; `buildd-master archive set {distribution}/{name}` changes it"
        )


class BuildExists(Exists):
    """The source has a build for this archive and distroarchseries (dispatch-rules §3: it is not made again)."""

    def __init__(self, text: str, build: int) -> None:
        """Remember which build stands in the way.

        Args:
            text: for people.
            build: id of the build that exists.
        """
        super().__init__(text)
        self.build = build


class FileExists(Exists):
    """The name stands for other content already."""


class BadValue(StorageError):
    """A value that can't be stored; the text says which, and what is allowed."""


class TokenRefused(StorageError):
    """A token shows nobody who its bearer is (any more); the text never repeats it."""


class EnrolmentRefused(StorageError):
    """A token opens nothing (any more); nothing was written."""


class AuthorityUnusable(StorageError):
    """The farm's authority can't sign; nothing was written."""


class WrongState(StorageError):
    """What was asked for makes no sense of a build in its state; the text says which, and what to do instead."""


class ImpossibleMove(WrongState):
    """A build can't go from its state to the one asked for (`storage.transitions`)."""

    def __init__(self, build: int, now: BuildState, wanted: BuildState, story: tuple[Event, ...] = ()) -> None:
        """Tell the move and what led here.

        Args:
            build: its id.
            now: the state it is in.
            wanted: the state asked for.
            story: every event of the build, oldest first.
        """
        self.build = build
        self.now = now
        self.wanted = wanted
        self.story = story
        told = "".join(f"\n  {event.at:%Y-%m-%d %H:%M:%S} {event.who}: {event.what} {event.after}" for event in story)
        super().__init__(f"build {build} is {now} and can't become {wanted}; {way_out(build, now, wanted)}{told}")


class ChrootInUse(WrongState):
    """Builds run in the chroot."""

    def __init__(self, builds: Sequence[int]) -> None:
        """Tell which."""
        shown = ", ".join(map(str, builds[:5]))
        more = f" and {len(builds) - 5} more" if len(builds) > 5 else ""  # noqa: PLR2004 - as above
        super().__init__(
            f"it is in use by running builds ({shown}{more}): wait for their end, or take them from their builders"
            f" by `buildd-master build give-back {builds[0]}`; nothing was changed"
        )


class SeriesInUse(WrongState):
    """Something in the farm is of the series."""

    def __init__(self, name: str, uses: Mapping[str, int]) -> None:
        """Tell what there is of it."""
        listed = ", ".join(f"{number} {what}" for what, number in uses.items() if number)
        super().__init__(
            f"series {name} has {listed}: it stays, as their history does;"
            f" `buildd-master series set {name} --status obsolete` closes it"
        )


class NotQueued(WrongState):
    """A build has no job: it has ended, or somebody took it out of the queue."""

    def __init__(self, build: int, state: BuildState) -> None:
        """Tell how to get it there."""
        way = f"build {build} is {state} and not in the queue"
        if state != BuildState.FULLYBUILT:
            way += f"; `buildd-master build retry {build}` puts it there"
        super().__init__(way)


class NotRunning(WrongState):
    """No builder has the build."""

    def __init__(self, build: int, state: BuildState) -> None:
        """Tell its state."""
        super().__init__(f"build {build} is {state}: no builder has it, so that there is nothing to take from one")


class StillRunning(WrongState):
    """A builder has the build."""

    def __init__(self, build: int, state: BuildState) -> None:
        """Tell how to take it from its builder."""
        super().__init__(
            f"build {build} is {state}: there is nothing to retry;"
            f" `buildd-master build give-back {build}` takes it from its builder"
        )


class DatabaseRefuses(StorageError):
    """PostgreSQL does not let the user that we are to it do that; nothing was written."""


class DatabaseUnreachable(StorageError):
    """The database is away, refuses us, or can't work now; nobody in the farm is to blame."""


class SchemaOutdated(StorageError):
    """The database lacks migrations that this version needs, or has ones it does not know."""


class AnotherMaster(StorageError):
    """The database belongs to another master that is running."""
