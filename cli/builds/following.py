"""Waiting for builds: told by the database's notifications, never by asking it again and again.

A notification says that rows changed; only then are they read.  The live log is a file, looked at a few times a second
while a build runs.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from rich.text import Text

from cli.builds.log_reading import LiveLog, kept_log
from cli.builds.screen import Screen
from cli.changes import Change, changes
from cli.farm import Farm
from cli.jobs.explaining import why_waiting
from cli.terminal.output import duration, size, state
from storage.builds import Builds
from storage.files.library import Library
from storage.records import Attempt, Build, BuildState

_LOOK_SECONDS = 0.2  #: between looks at a growing log, and at the clock of a terminal
_REASON_SECONDS = 1.0  #: a build that waits longer is told why, and no oftener than this

_BAR = 20  #: characters of a progress bar

_WHY_TABLES = frozenset({"builder", "buildqueue", "chroot", "archive", "farm"})  #: they decide why a build waits


def wait_until_ended(farm: Farm, ids: Sequence[int], *, log: bool, quiet: bool) -> tuple[Build, ...]:
    """Wait until all builds have ended, showing what happens to them.

    Args:
        farm: open.
        ids: of the builds.
        log: print the log, if there is one build only.
        quiet: stdout is kept for something else.

    Raises:
        NotReachable: the database went away.
    """
    with changes(farm) as told, Screen(quiet=quiet) as screen:
        watches = [_BuildWatch(farm, build, screen, log=log and len(ids) == 1) for build in ids]
        while True:
            ended = [watch.look() for watch in watches]
            if all(ended):
                break
            seen = told.wait(min((watch.patience(live=screen.live) for watch in watches), default=None))
            for watch in watches:
                watch.tell(seen)
        for watch in watches:
            watch.finish()
    return tuple(watch.build for watch in watches)


class _BuildWatch:
    """One build that is waited for."""

    def __init__(self, farm: Farm, build: int, screen: Screen, *, log: bool) -> None:
        self._farm, self._id, self._screen, self._log = farm, build, screen, log
        self._attempt: Attempt | None = None
        self._reader: LiveLog | None = None
        self._rest = b""  #: the beginning of a line of the log
        self._said: tuple[BuildState, str | None] | None = None
        self._reason = ""
        self._reason_due: float | None = None  #: monotonic
        self._since = time.monotonic()  #: when the state was first seen
        self.build: Build
        self._read()

    def tell(self, seen: Sequence[Change]) -> None:
        """Read again what changed."""
        if any(change.concerns("build", self._id) for change in seen):
            self._read()
        if self._reason_due is None and any(change.table in _WHY_TABLES for change in seen):
            self._reason_due = time.monotonic() + _REASON_SECONDS

    def look(self) -> bool:
        """Show the log's growth, and what goes on now; return whether the build has ended."""
        if self.build.state.final:
            self._screen.now(self._id, "")
            return True
        if self._log and self._reader is not None:
            self._show(self._reader.more())
        waits = self.build.state is BuildState.NEEDSBUILD
        if waits and self._reason_due is not None and time.monotonic() >= self._reason_due:
            self._reason_due = None
            reason = why_waiting(self._farm, self._id)
            if reason and reason != self._reason:
                self._screen.news(_line(self.build, Text(f"waits: {reason}")))
                self._reason = reason
        self._screen.now(self._id, self._words())
        return False

    def patience(self, *, live: bool) -> float:
        """Return for how many seconds nothing need be looked at, unless the farm says something."""
        if self.build.state.final:
            return 3600.0
        if live or (self._log and self._reader is not None):
            return _LOOK_SECONDS
        return 3600.0 if self._reason_due is None else max(0.0, self._reason_due - time.monotonic())

    def finish(self) -> None:
        """Show the rest of the log."""
        self._screen.now(self._id, "")
        if self._log and self._attempt is not None:
            self._show_rest(self._attempt)

    def _read(self) -> None:
        builds = Builds(self._farm.connection)
        self.build = build = builds.get(self._id)
        attempts = builds.attempts(self._id)
        if attempts and (self._attempt is None or attempts[-1].id != self._attempt.id):
            self._next_attempt(attempts[-1], len(attempts))
        if self._said == (build.state, build.builder):
            return
        self._said = (build.state, build.builder)
        self._since = time.monotonic()
        if build.state is BuildState.NEEDSBUILD:
            self._reason, self._reason_due = "", self._since + _REASON_SECONDS
        if build.state is BuildState.NEEDSBUILD and not attempts:
            return  # whoever waits was told so when it was queued
        if not build.state.final:
            at = f" on {build.builder}" if build.builder else ""
            self._screen.news(_line(build, Text.assemble(state(build.state), at)))

    def _next_attempt(self, attempt: Attempt, number: int) -> None:
        if self._attempt is not None:
            if self._log:
                self._show_rest(self._attempt)
            self._screen.news(_line(self.build, Text(f"is tried again (attempt {number})")))
        if self._reader is not None:
            self._reader.close()
        self._attempt, self._rest = attempt, b""
        self._reader = LiveLog(log_path(self._farm, attempt.id))

    def _show(self, octets: bytes) -> None:
        whole, newline, self._rest = (self._rest + octets).rpartition(b"\n")
        if newline:
            self._screen.log(whole + newline)

    def _show_rest(self, attempt: Attempt) -> None:
        """Show what was not shown of a log; from the librarian, if its file was gone before we came."""
        while self._reader is not None and (octets := self._reader.more()):
            self._show(octets)
        if self._reader is None or not self._reader.opened:
            attempts = Builds(self._farm.connection).attempts(self._id)
            alias = next((one.log for one in attempts if one.id == attempt.id), None)
            if alias is not None:
                self._show(kept_log(self._farm.librarian, Library(self._farm.connection).alias(alias)))
        if self._rest:
            self._show(b"\n")

    def _words(self) -> str:
        build = self.build
        spent = duration(time.monotonic() - self._since)
        if build.state is BuildState.NEEDSBUILD:
            return f"{build.source} waits · {spent}"
        pushed = _pushed(self._farm, self._attempt)
        return f"{build.source} {build.state.lower()} on {build.builder} · {pushed or spent}"


def log_path(farm: Farm, attempt: UUID) -> Path:
    """Return where the live log of an attempt is."""
    return farm.settings.logs_directory / f"{attempt}.log"


def _pushed(farm: Farm, attempt: Attempt | None) -> str:
    """Return how far the push of files to the slave is, if one goes on."""
    if attempt is None:
        return ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(log_path(farm, attempt.id).with_suffix(".push").read_text(encoding="utf-8"))
        done, total = int(told["sent"]), int(told["size"])
        bar = "━" * (_BAR * done // max(total, 1))
        return f"pushing {str(told['name'])[:40]} {bar:─<{_BAR}} {size(done)} of {size(total)}"
    return ""


def _line(build: Build, words: Text) -> Text:
    return Text.assemble((f"build {build.id} ", "bold"), f"{build.source} {build.version} {build.architecture} ", words)
