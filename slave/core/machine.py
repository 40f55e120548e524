"""The slave's states: events in, orders out.  One file owns them.

The real daemon (`slave.daemon`) and the simulated slave (`simulation.slaves.buildd.slave`) both run this
machine; it never does I/O and never reads a clock.  Facts that only a shell can know (is the token right, which files
are missing, how much disk is free) come stamped on the events.  Rules: slave-protocol.md, "The slave's states".

Orders are to be obeyed in the order given: what must survive a power cut is in a `SaveState` before the `Send` that
tells the master of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from protocol.messages import (
    VERSION,
    Abort,
    Accepted,
    Build,
    Clean,
    Echo,
    EchoReply,
    EnsurePresent,
    Fetch,
    Heartbeat,
    Hello,
    LogFrom,
    NewCertificate,
    Phase,
    PutChunk,
    Query,
    RefusalCode,
    Refused,
    Rejected,
    RejectionCode,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from protocol.shapes import fit_text
from slave.core.build_args import BINARYPACKAGE, BadArgs, read_args
from slave.core.events import (
    BuildEnded,
    CloseSession,
    Event,
    HelloArrived,
    KeepCertificate,
    KillBuild,
    LogGrew,
    LookUp,
    MessageArrived,
    Order,
    PhaseEntered,
    PushLog,
    RemoveBuild,
    SaveState,
    Send,
    SendResult,
    SessionLost,
    StartBuild,
    StoreChunk,
)
from slave.core.record import Record
from slave.errors import ImpossibleMove

RESTARTED = "slave restarted during the build"
MOST_DEPENDENCIES = 100  #: relations in one `Status`
RELATION_BYTES = 2000  #: of one of them; a stranger wrote it
STORY_LENGTH = 200  #: moves kept for the story of an `ImpossibleMove`


class Move(StrEnum):
    """What changes the state."""

    BUILD = "build accepted"
    ABORT = "abort accepted"
    ENDED = "build ended"
    CLEAN = "clean accepted"
    RESTART = "slave restarted"


#: state → move → next state.  A request whose move is not here is rejected and changes nothing.
TRANSITIONS: dict[SlaveState, dict[Move, SlaveState]] = {
    SlaveState.IDLE: {Move.BUILD: SlaveState.BUILDING},
    SlaveState.BUILDING: {
        Move.ABORT: SlaveState.ABORTING,
        Move.ENDED: SlaveState.WAITING,
        Move.RESTART: SlaveState.WAITING,
    },
    SlaveState.ABORTING: {Move.ENDED: SlaveState.WAITING, Move.RESTART: SlaveState.WAITING},
    SlaveState.WAITING: {Move.CLEAN: SlaveState.IDLE},
}

#: the code that says why a `Build` does not fit the state
_BUILD_REFUSED = {
    SlaveState.BUILDING: RejectionCode.NOT_IDLE,
    SlaveState.ABORTING: RejectionCode.NOT_IDLE,
    SlaveState.WAITING: RejectionCode.NOT_CLEAN,
}


@dataclass(frozen=True, slots=True)
class Traits:
    """What this slave is; fixed for its life."""

    name: str
    architectures: tuple[str, ...]
    backend: str  #: `chroot`, `userns`, `host` or `simulated`
    build_types: tuple[str, ...] = (BINARYPACKAGE,)


@dataclass(slots=True)
class Machine:
    """The state of one slave.

    A restarted slave gives the `record` it saved, and the size of the log it still has.  What was running then was
    killed by the shell: `record` may have to be saved again, see `restarted`.
    """

    traits: Traits
    record: Record = field(default_factory=Record)
    log_size: int = 0  #: bytes of the held build's log
    restarted: bool = False  #: the record given was of a running build; `record` has changed, and the shell saves it
    phase: Phase | None = None
    session: int | None = None  #: the one live session
    _story: deque[str] = field(default_factory=lambda: deque(maxlen=STORY_LENGTH))

    def __post_init__(self) -> None:
        """Apply the restart rule to what was saved."""
        before = self.record
        if before.state in {SlaveState.BUILDING, SlaveState.ABORTING}:
            aborted = before.state is SlaveState.ABORTING
            self._move(
                Move.RESTART,
                outcome=WireOutcome.ABORTED if aborted else WireOutcome.BUILDERFAIL,
                text="aborted" if aborted else RESTARTED,
            )
            self.restarted = True

    @property
    def aborting(self) -> bool:
        """Whether the build is being killed because the master said so."""
        return self.record.state is SlaveState.ABORTING

    def handle(self, event: Event) -> tuple[Order, ...]:
        """Return the orders that `event` calls for, in the order to obey them.

        Raises:
            ImpossibleMove: the shell reported progress of a build that does not run.
        """
        match event:
            case HelloArrived():
                return self._hello(event)
            case MessageArrived():
                return self._message(event) if event.session == self.session else ()
            case SessionLost(session):
                if session == self.session:
                    self.session = None
                return ()
            case PhaseEntered(attempt, phase, at):
                self._expect_running(event, attempt)
                self.phase = phase
                return self._announce(at)
            case LogGrew(attempt, size):
                self._expect_running(event, attempt)
                self.log_size = size
                return ()
            case BuildEnded():
                return self._ended(event)
            case _:
                assert_never(event)

    def status(self, at: float) -> Status:
        """Return the state as the wire tells it; `at` in monotonic seconds."""
        record = self.record
        running = record.state in {SlaveState.BUILDING, SlaveState.ABORTING}
        return Status(
            state=record.state,
            attempt=record.attempt,
            phase=self.phase if record.state is SlaveState.BUILDING else None,
            outcome=record.outcome,
            text=record.text,
            files=record.files,
            dependencies=record.dependencies,
            duration=max(0.0, at - record.accepted_at) if running else record.duration,
            log_size=self.log_size,
        )

    # -- sessions ----------------------------------------------------------------------------------------------------
    def _hello(self, event: HelloArrived) -> tuple[Order, ...]:
        refused = self._refusal(event)
        if refused is not None:
            return (Send(event.session, refused), CloseSession(event.session, f"{refused.code}: {refused.text}"))
        orders: list[Order] = []
        if self.session is not None:
            orders.append(CloseSession(self.session, f"a session with the higher epoch {event.hello.epoch} began"))
        self.session = event.session
        self.record = replace(self.record, farm=event.hello.farm, epoch=event.hello.epoch)
        self._story.append(f"session {event.session} with epoch {event.hello.epoch}")
        welcome = Welcome(
            version=VERSION,
            slave=self.traits.name,
            architectures=self.traits.architectures,
            build_types=self.traits.build_types,
            backend=self.traits.backend,
            free_disk=event.free_disk,
            status=self.status(event.at),
        )
        return (*orders, SaveState(self.record), Send(event.session, welcome))

    def _refusal(self, event: HelloArrived) -> Refused | None:
        """Say why there is no session; a peer without the token learns nothing else of this slave."""
        hello = event.hello
        if VERSION not in hello.versions:
            theirs = ", ".join(str(version) for version in hello.versions) or "none"
            text = f"this slave speaks protocol version {VERSION}; the master speaks {theirs}"
            return Refused(RefusalCode.WRONG_VERSION, text)
        if event.fault:
            return Refused(RefusalCode.WRONG_CERTIFICATE, fit_text(f"this master {event.fault}"))
        if not event.token_right:
            return Refused(RefusalCode.WRONG_TOKEN, "the token is not the one in this slave's token file")
        if self.record.farm not in {None, hello.farm}:
            text = (
                f"this slave belongs to the farm {self.record.farm}, not to {hello.farm}; "
                "'buildd-slave enroll --again' on its machine releases it"
            )
            return Refused(RefusalCode.WRONG_FARM, text)
        if hello.epoch <= self.record.epoch:
            text = f"session epoch {hello.epoch} is not higher than {self.record.epoch}, which this slave has seen"
            return Refused(RefusalCode.STALE_EPOCH, text)
        return None

    # -- requests ----------------------------------------------------------------------------------------------------
    def _message(self, event: MessageArrived) -> tuple[Order, ...]:
        message, session = event.message, event.session
        match message:
            case Echo(number, data):
                return (Send(session, EchoReply(number, data)),)
            case EnsurePresent():
                return (LookUp(session, message),)
            case PutChunk():
                return (StoreChunk(session, message),)
            case Query():
                return self._announce(event.at)
            case LogFrom(attempt, offset):
                if attempt != self.record.attempt or not 0 <= offset <= self.log_size:
                    return self._announce(event.at)  # has no id to reject: the state says what there is
                return (PushLog(session, attempt, offset),)
            case Build():
                return self._build(event, message)
            case Fetch():
                return self._fetch(session, message)
            case Abort():
                return self._abort(event, message)
            case Clean():
                return self._clean(event, message)
            case NewCertificate(data):
                return (KeepCertificate(data),)
            case Hello() | Heartbeat():  # protocol.connection lets no second Hello through
                return ()
            case _:
                assert_never(message)

    def _build(self, event: MessageArrived, build: Build) -> tuple[Order, ...]:
        code, text = self._why_not_build(build)
        args = read_args(build, backend=self.traits.backend, architectures=self.traits.architectures)
        if code is None and isinstance(args, BadArgs):
            code, text = RejectionCode.BAD_ARGS, args.text
        if code is None and event.missing:
            names = {sha256: name for name, sha256 in build.files.items()} | {build.chroot: "the chroot"}
            lacking = sorted(f"{names.get(sha256, 'a file')} ({sha256})" for sha256 in event.missing)
            code, text = RejectionCode.MISSING_FILE, f"not in the cache: {', '.join(lacking)}"
        if code is not None or isinstance(args, BadArgs):
            return (Send(event.session, Rejected(build.id, code or RejectionCode.BAD_ARGS, fit_text(text))),)
        self.phase, self.log_size = None, 0
        self._move(Move.BUILD, attempt=build.attempt, accepted_at=event.at)
        return (
            SaveState(self.record),
            Send(event.session, Accepted(build.id)),
            Send(event.session, self.status(event.at)),
            StartBuild(build.attempt, build.chroot, tuple(sorted(build.files.items())), args),
        )

    def _why_not_build(self, build: Build) -> tuple[RejectionCode | None, str]:
        if not self._may(Move.BUILD):
            code = _BUILD_REFUSED[self.record.state]
            return code, f"this slave is {self.record.state} with attempt {self.record.attempt}"
        if build.build_type not in self.traits.build_types:
            known = ", ".join(self.traits.build_types)
            return RejectionCode.UNKNOWN_BUILD_TYPE, f"build type {build.build_type!r}: this slave knows {known}"
        return None, ""

    def _fetch(self, session: int, fetch: Fetch) -> tuple[Order, ...]:
        rejected = self._wrong_attempt(fetch.id, fetch.attempt, SlaveState.WAITING, RejectionCode.NOT_WAITING)
        if rejected is None:
            sizes = {file.name: file.size for file in self.record.files}
            if fetch.name not in sizes:
                rejected = Rejected(fetch.id, RejectionCode.NO_SUCH_FILE, f"{fetch.name!r} is no result")
            elif not 0 <= fetch.offset <= sizes[fetch.name]:
                text = f"{fetch.name} has {sizes[fetch.name]} bytes; offset {fetch.offset} is beyond"
                rejected = Rejected(fetch.id, RejectionCode.BAD_OFFSET, text)
        return (SendResult(session, fetch) if rejected is None else Send(session, rejected),)

    def _abort(self, event: MessageArrived, abort: Abort) -> tuple[Order, ...]:
        rejected = self._wrong_attempt(abort.id, abort.attempt, SlaveState.BUILDING, RejectionCode.NOT_BUILDING)
        if rejected is not None:
            return (Send(event.session, rejected),)
        self._move(Move.ABORT)
        return (
            SaveState(self.record),
            Send(event.session, Accepted(abort.id)),
            Send(event.session, self.status(event.at)),
            KillBuild(abort.attempt),
        )

    def _clean(self, event: MessageArrived, clean: Clean) -> tuple[Order, ...]:
        rejected = self._wrong_attempt(clean.id, clean.attempt, SlaveState.WAITING, RejectionCode.NOT_WAITING)
        if rejected is not None:
            return (Send(event.session, rejected),)
        self._move(
            Move.CLEAN, attempt=None, outcome=None, text="", files=(), dependencies=(), duration=0.0, accepted_at=0.0
        )
        self.log_size = 0
        return (
            RemoveBuild(clean.attempt),
            SaveState(self.record),
            Send(event.session, Accepted(clean.id)),
            Send(event.session, self.status(event.at)),
        )

    def _wrong_attempt(self, number: int, attempt: str, wanted: SlaveState, code: RejectionCode) -> Rejected | None:
        record = self.record
        if record.state is not wanted:
            return Rejected(number, code, f"this slave is {record.state}, not {wanted}")
        if attempt != record.attempt:
            text = f"this slave is {record.state} with attempt {record.attempt}, not {attempt}"
            return Rejected(number, RejectionCode.WRONG_ATTEMPT, text)
        return None

    # -- the build ---------------------------------------------------------------------------------------------------
    def _ended(self, event: BuildEnded) -> tuple[Order, ...]:
        self._expect_running(event, event.attempt)
        duration = max(0.0, event.at - self.record.accepted_at)
        if self.record.state is SlaveState.ABORTING:
            self._move(Move.ENDED, outcome=WireOutcome.ABORTED, text="aborted", duration=duration)
        else:
            self._move(
                Move.ENDED,
                outcome=event.outcome,
                text=fit_text(event.text),
                files=event.files if event.outcome is WireOutcome.OK else (),
                dependencies=_fitting(event.dependencies) if event.outcome is WireOutcome.DEPFAIL else (),
                duration=duration,
            )
        return (SaveState(self.record), *self._announce(event.at))

    def _announce(self, at: float) -> tuple[Order, ...]:
        return () if self.session is None else (Send(self.session, self.status(at)),)

    def _expect_running(self, event: Event, attempt: str) -> None:
        running = self.record.state in {SlaveState.BUILDING, SlaveState.ABORTING}
        if not running or attempt != self.record.attempt:
            raise ImpossibleMove(f"{event!r} while {self.record.state} {self.record.attempt}", tuple(self._story))

    def _may(self, move: Move) -> bool:
        return move in TRANSITIONS[self.record.state]

    def _move(self, move: Move, **changes: object) -> None:
        """Go to the next state; the only place where the state changes."""
        before = self.record.state
        if not self._may(move):
            raise ImpossibleMove(f"{move} while {before}", tuple(self._story))
        self.record = replace(self.record, state=TRANSITIONS[before][move], **changes)  # type: ignore[arg-type]
        self._story.append(f"{before} --{move}--> {self.record.state}, attempt {self.record.attempt}")


def _fitting(dependencies: tuple[str, ...]) -> tuple[str, ...]:
    """Return what fits a frame: whole relations only, of each as many alternatives as fit."""
    lines = (fit_text(relation) for relation in dependencies)
    short = (line if len(line.encode()) <= RELATION_BYTES else _first_alternatives(line) for line in lines)
    return tuple(line for line in short if line)[:MOST_DEPENDENCIES]


def _first_alternatives(relation: str) -> str:
    return relation.encode()[:RELATION_BYTES].decode(errors="ignore").rpartition(" | ")[0]
