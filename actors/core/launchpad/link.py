"""A launchpad-buildd slave that speaks as one of ours: the second dialect of the slave link, without its sockets.

    Wanted ─info()─▶ Stand, Greeted ─status()─▶ Say(Welcome); then every `Asked` becomes calls, every answer a `Say`

The builder's core above hears `Status`, `Log`, `FetchData` … and can't tell.  What the dialect has no word for is made
up here: a status is polled, a log and results are downloaded by offset, a file is not pushed but fetched by the slave.
The hazards, by their numbers on the dialect's page: (1) a request is looked at before it is sent, and ABORTING has an
end; (2) `build()` is sent to a slave that has just said IDLE, and the id is compared always; (3) after an abort comes
`clean()`; (4) IDLE is passed on as it is: lost; (5) files are counted before; (6), (7) `files`; (8) the
attempt is in the id.  The shell is `actors.builder.launchpad_link`; rules: dispatch-rules §8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import assert_never

from actors.core.launchpad.build import BuildId, build_id, have_built, objection, read_build_id
from actors.core.launchpad.events import (
    Asked,
    Failed,
    FileEnded,
    FilesLookedAt,
    Greeted,
    LinkEvent,
    LinkOrder,
    LookAtFiles,
    MakeCall,
    OwnFault,
    Part,
    PieceCame,
    Reminded,
    Replied,
    Say,
    Stand,
    Wanted,
)
from actors.core.launchpad.files import Downloads, Numbers
from actors.core.timers import Timers
from protocol.launchpad_buildd import (
    Answered,
    AskInfo,
    AskStatus,
    Begun,
    Call,
    Echoed,
    Fault,
    Fetched,
    HaveAborted,
    HaveCleaned,
    HaveFetched,
    Info,
    Obeyed,
    Reply,
    Said,
    SayEcho,
    SlaveStatus,
)
from protocol.messages import (
    VERSION,
    Abort,
    Accepted,
    Build,
    ChunkAck,
    Clean,
    Echo,
    EchoReply,
    EnsurePresent,
    Fetch,
    LogFrom,
    Phase,
    Present,
    Query,
    Rejected,
    RejectionCode,
    ResultFile,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from storage.files.credentials import FilesPlace
from storage.records import BuildOrder

BACKEND = "launchpad-buildd"  #: what such a slave calls its backend, as far as anybody asks
FETCH_BYTES_A_SECOND = 256 * 1024  #: a slave that fetches more slowly than this, and `Timers.transfer` more, gives up
RESTART = "restart the slave (`systemctl restart launchpad-buildd` on its machine); when it is IDLE it is used again"
_ELSEWHERE = "which this farm did not give it: point one master only at a slave, or"

_STATES = {
    SlaveStatus.IDLE: SlaveState.IDLE,
    SlaveStatus.BUILDING: SlaveState.BUILDING,
    SlaveStatus.ABORTING: SlaveState.ABORTING,
    SlaveStatus.WAITING: SlaveState.WAITING,
}


class _Link(StrEnum):
    """How far the connection has come."""

    DOWN = "down"
    KNOCKING = "knocking"  #: `info()` was called
    STANDING = "standing"  #: it was answered; nothing was asked for
    GREETING = "greeting"  #: `status()` was called
    OPEN = "open"


class _For(Enum):
    """What a call is for."""

    INFO = auto()
    STATUS = auto()
    ECHO = auto()
    FILE = auto()
    FILES_LOOK = auto()
    BUILD_LOOK = auto()  #: `status()` right before `build()`
    BUILD = auto()
    FAULT_LOOK = auto()  #: `status()` right after a `build()` that faulted: it may have begun all the same
    ABORT = auto()
    CLEAN = auto()


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call that is not answered yet."""

    purpose: _For
    id: int = 0  #: of the request that it serves
    sha256: str = ""
    text: str = ""
    order: BuildOrder | None = None
    again: bool = False  #: it is tried for the second time


class LaunchpadLink:
    """One slave; one connection at a time, as far as there is such a thing."""

    def __init__(self, timers: Timers, files: FilesPlace | None, why_no_files: str = "") -> None:
        """Begin with nothing.

        Args:
            timers: how long is waited for what.
            files: where slaves download; None: this master hands out no files.
            why_no_files: goes on after "this master hands out no files:".
        """
        self.timers = timers
        self._files = files
        self._why_no_files = why_no_files
        self._numbers = Numbers()
        self._state = _Link.DOWN
        self._farm, self._epoch = "", 0
        self._info: Info | None = None
        self._said: Said | None = None  # what the slave said last
        self._id: BuildId | None = None  # of the build that is ours: begun, or found, in this session
        self._in_hand = False  # the core follows it
        self._was_idle = False  # when it was last heard of, in this session
        self._refused: Status | None = None  # a build that never reached the slave, as the core is to see it
        self._downloads = Downloads(self._numbers)
        self._pending: dict[int, _Pending] = {}
        self._poll_at = 0.0
        self._aborting: tuple[str, float] | None = None  # a build's id, and since when; outlives connections
        self._at = 0.0
        self._out: list[LinkOrder] = []

    def handle(self, event: LinkEvent) -> tuple[LinkOrder, ...]:
        """Return the orders that `event` calls for, in the order to obey them."""
        self._at, self._out = event.at, []
        match event:
            case Wanted():
                self.drop()
                self._state = _Link.KNOCKING
                self._call(AskInfo(), _Pending(_For.INFO), self.timers.connect)
            case Greeted(_, epoch, farm):
                self._greeted(epoch, farm)
            case Asked():
                if self._state is _Link.OPEN:
                    self._in_hand |= isinstance(event.message, (Build, Abort, LogFrom, Fetch))
                    self._asked(event)
            case Replied(_, number, reply):
                self._replied(number, reply)
            case PieceCame(_, number, data):
                self._out += self._downloads.came(number, data)
            case FileEnded():
                self._file_ended(event)
            case Failed():
                self._failed(event)
            case FilesLookedAt(_, number, why):
                self._files_looked_at(number, why)
            case Reminded():
                self._look_at_the_time()
            case _:
                assert_never(event)
        return tuple(self._out)

    def drop(self) -> None:
        """Forget the connection: what is under way is no news any more."""
        self._state, self._info, self._said, self._id = _Link.DOWN, None, None, None
        self._in_hand, self._was_idle, self._refused = False, False, None
        self._pending.clear()
        self._downloads = Downloads(self._numbers)

    def deadline(self) -> float:
        """Return the monotonic second at which `Reminded` is wanted."""
        if self._state is not _Link.OPEN:
            return float("inf")
        due = float("inf") if self._waits_for(_For.STATUS) else self._poll_at
        return due if self._aborting is None else min(due, self._aborting[1] + self.timers.abort_forced)

    # --- the connection ---------------------------------------------------------------------------

    def _greeted(self, epoch: int, farm: str) -> None:
        if self._state is not _Link.STANDING:
            return
        self._farm, self._epoch = farm, epoch
        if self._files is None:
            self._part(f"can't be given any files: {self._why_no_files}", unfit=True)
            return
        self._state = _Link.GREETING
        self._ask_status()

    def _part(self, reason: str, *, lied: bool = False, unfit: bool = False) -> None:
        self.drop()
        self._out.append(Part(reason, lied, unfit))

    def _failed(self, event: Failed) -> None:
        pending = self._pending.get(event.number)
        if pending is None and not self._downloads.knows(event.number):
            return
        if pending is not None and pending.purpose is _For.FILE and event.late:
            del self._pending[event.number]
            text = "the slave did not come to an end of fetching it"
            self._look_at_files(replace(pending, purpose=_For.FILES_LOOK, text=text))
            return
        self._part(event.reason, lied=event.lied)

    def _look_at_the_time(self) -> None:
        if self._state is not _Link.OPEN:
            return
        if self._wedged():
            return
        if self._at >= self._poll_at:
            self._ask_status()

    def _wedged(self) -> bool:
        """End the connection to a slave that does not come out of ABORTING (hazard 1)."""
        if self._aborting is None or self._at < self._aborting[1] + self.timers.abort_forced:
            return False
        limit = self.timers.abort_forced
        self._part(f"has been ABORTING for more than {limit:g} seconds and will not end it: {RESTART}", unfit=True)
        return True

    # --- what the slave says of itself ------------------------------------------------------------

    def _ask_status(self) -> None:
        if not self._waits_for(_For.STATUS):
            self._call(AskStatus(), _Pending(_For.STATUS), self.timers.lost)

    def _polled(self, said: Said) -> None:
        """Take a status that was asked for; not before the answer to `build()`, for BUILDING may be how it is wedged."""
        if self._waits_for(_For.BUILD, _For.FAULT_LOOK):
            self._poll_later()
        else:
            self._status(said)

    def _status(self, said: Said) -> None:
        """Take what the slave says of itself: the first time as its welcome."""
        foreign = self._note(said)
        if self._wedged():
            return
        if foreign and (self._state is _Link.GREETING or not (self._in_hand or self._was_idle)):
            holds = f"is {said.status.name} with the build {said.build_id!r},"
            self._part(f"{holds} {_ELSEWHERE} let it end there and {RESTART}", unfit=True)
            return
        self._was_idle = said.status is SlaveStatus.IDLE
        status = self._as_status(said, foreign)
        if self._state is _Link.GREETING and self._info is not None:
            self._state, info = _Link.OPEN, self._info
            welcome = Welcome(VERSION, BACKEND, (info.architecture,), info.managers, BACKEND, 0, status)
            self._out.append(Say(welcome))
        else:
            for sha256 in {one.sha256 for one in self._pending.values() if one.purpose is _For.FILE}:
                self._out.append(Say(ChunkAck(sha256, 0)))  # it is still at it
            self._out.append(Say(status))
        self._poll_later()
        self._follow_log()

    def _note(self, said: Said) -> str:
        """Remember what was said; return the id of a build that is not ours."""
        self._said = said
        if said.status is not SlaveStatus.ABORTING:
            self._aborting = None
        elif self._aborting is None or self._aborting[0] != said.build_id:
            self._aborting = (said.build_id, self._at)
        if said.status is SlaveStatus.IDLE:
            if not self._waits_for(_For.BUILD, _For.BUILD_LOOK, _For.FAULT_LOOK):
                self._id, self._in_hand = None, False
                self._downloads.forget()
            return ""
        its = read_build_id(said.build_id, self._farm)
        if its is None or (self._id is not None and its != self._id):
            return said.build_id
        self._id = its
        if said.status is SlaveStatus.WAITING:
            self._out += self._downloads.measure(said, self.timers.transfer)
        return ""

    def _as_status(self, said: Said, foreign: str) -> Status:
        """Return it in the words of our own protocol."""
        if said.status is SlaveStatus.IDLE:
            return self._refused or Status(SlaveState.IDLE)
        attempt = foreign or ("" if self._id is None else self._id.attempt)
        if said.status is not SlaveStatus.WAITING or foreign:
            return Status(_STATES[said.status], attempt, outcome=said.outcome)
        if not self._downloads.measured:
            return Status(SlaveState.BUILDING, attempt, Phase.COLLECT)  # until it is known how much there is to fetch
        dependencies = tuple(part for one in said.dependencies.split(",") if (part := one.strip()))
        results = tuple(ResultFile(name, size, sha1) for name, sha1, size in self._downloads.results())
        files = results if said.outcome is WireOutcome.OK else ()
        log_size = self._downloads.log_size
        return Status(
            SlaveState.WAITING,
            attempt,
            outcome=said.outcome,
            files=files,
            dependencies=dependencies if said.outcome is WireOutcome.DEPFAIL else (),
            log_size=log_size,
        )

    def _poll_later(self) -> None:
        busy = self._said is not None and self._said.status in {SlaveStatus.BUILDING, SlaveStatus.ABORTING}
        busy = busy or self._waits_for(_For.FILE)
        self._poll_at = self._at + (self.timers.poll_building if busy else self.timers.poll_idle)

    # --- what the core asks -----------------------------------------------------------------------

    def _asked(self, event: Asked) -> None:
        match event.message:
            case Echo(id, data):
                self._call(SayEcho(data.hex()), _Pending(_For.ECHO, id, text=data.hex()), self.timers.connect)
            case EnsurePresent(id, sha256):
                self._ensure_present(id, sha256, event.order)
            case Build():
                self._build(event.message, event.order, event.dsc)
            case Query():
                self._ask_status()
            case Abort(id, attempt):
                self._abort(id, attempt)
            case Clean(id, attempt):
                self._clean(id, attempt)
            case LogFrom(attempt, offset):
                if self._holds(attempt):
                    self._guard(event.order)
                    self._downloads.follow(offset)
                    self._follow_log()
            case Fetch(id, attempt, name, offset):
                if self._may(id, attempt):
                    self._out += self._downloads.fetch(id, name, offset, self.timers.transfer)
            case _:
                pass  # heartbeats; what is pushed to slaves of ours only

    def _holds(self, attempt: str) -> bool:
        return self._id is not None and self._id.attempt == attempt

    def _ensure_present(self, number: int, sha256: str, order: BuildOrder | None) -> None:
        file = None if order is None else next((f for f in (order.chroot, *order.files) if f.sha256 == sha256), None)
        if order is None or file is None or self._files is None:
            self._reject(number, RejectionCode.MISSING_FILE, "it is no file of this attempt")
            return
        asked = ((key, one) for key, one in self._pending.items() if one.purpose is _For.FILE)
        known = next((key for key, one in asked if one.sha256 == sha256), None)
        if known is not None:  # asked for again, since it takes long
            self._pending[known] = replace(self._pending[known], id=number)
            return
        self._have_fetched(number, sha256, order)
        self._poll_at = min(self._poll_at, self._at + self.timers.poll_building)

    def _have_fetched(self, number: int, sha256: str, order: BuildOrder, *, again: bool = False) -> None:
        file = next((file for file in (order.chroot, *order.files) if file.sha256 == sha256), None)
        if file is None or self._files is None:
            return
        url, word = self._files.url_of(order.attempt, sha256), self._files.password(order.attempt)
        call = HaveFetched(file.sha1, url, str(order.attempt), word)
        seconds = self.timers.transfer + file.size / FETCH_BYTES_A_SECOND
        self._call(call, _Pending(_For.FILE, number, sha256, order=order, again=again), seconds)

    def _build(self, message: Build, order: BuildOrder | None, dsc: bytes | None) -> None:
        if order is None or str(order.attempt) != message.attempt:
            self._reject(message.id, RejectionCode.BAD_ARGS, "the order is not the one in hand")
            return
        fault = objection(order, dsc)
        if fault:  # hazards 1 and 5: it would wedge, or blame the package without saying why
            self._refused = Status(
                SlaveState.WAITING, message.attempt, outcome=WireOutcome.PACKAGEFAIL, text=fault, log_size=0
            )
            self._out += [Say(Accepted(message.id)), Say(self._refused)]
            return
        self._call(AskStatus(), _Pending(_For.BUILD_LOOK, message.id, order=order), self.timers.accepted)

    def _guard(self, order: BuildOrder | None) -> None:
        """Have the log of the order's build kept free of what nobody may read (hazard 7)."""
        if order is not None and self._files is not None:
            self._downloads.guard((self._files.password(order.attempt).encode(),), live=not order.private)

    def _abort(self, number: int, attempt: str) -> None:
        said = self._said
        if self._refused is not None and self._refused.attempt == attempt:
            self._out += [Say(Accepted(number)), Say(self._refused)]
        elif said is None or said.status in {SlaveStatus.IDLE, SlaveStatus.WAITING}:
            self._reject(number, RejectionCode.NOT_BUILDING, "the slave builds nothing")
        elif not self._holds(attempt):
            self._reject(number, RejectionCode.WRONG_ATTEMPT, "the slave does not build this attempt")
        else:
            self._call(HaveAborted(), _Pending(_For.ABORT, number), self.timers.accepted)

    def _clean(self, number: int, attempt: str) -> None:
        if self._refused is not None and self._refused.attempt == attempt:
            self._refused = None
            self._out += [Say(Accepted(number)), Say(Status(SlaveState.IDLE))]
        elif self._may(number, attempt):
            self._call(HaveCleaned(), _Pending(_For.CLEAN, number), self.timers.accepted)

    def _may(self, number: int, attempt: str) -> bool:
        """Return whether the slave waits with this attempt; refuse the request if not."""
        if self._said is None or self._said.status is not SlaveStatus.WAITING:
            self._reject(number, RejectionCode.NOT_WAITING, "the slave waits with no results")
        elif not self._holds(attempt):
            self._reject(number, RejectionCode.WRONG_ATTEMPT, "the slave holds another attempt")
        else:
            return True
        return False

    def _follow_log(self) -> None:
        if self._id is not None and self._said is not None and self._in_hand:
            self._out += self._downloads.read_log(self._id.attempt, self.timers.transfer)

    # --- what it answers --------------------------------------------------------------------------

    def _replied(self, number: int, reply: Reply) -> None:
        pending = self._pending.pop(number, None)
        if pending is None:
            return
        match pending.purpose, reply:
            case _For.INFO, Info():
                self._info, self._state = reply, _Link.STANDING
                self._out.append(Stand())
            case _For.STATUS, Said():
                self._polled(reply)
            case _For.ECHO, Echoed(text):
                self._out.append(Say(EchoReply(pending.id, _unhex(text))))
            case _For.FILE, Fetched():
                self._fetched(pending, reply)
            case _For.BUILD_LOOK, Said():
                self._look_before_build(pending, reply)
            case _For.FAULT_LOOK, Said():
                self._reject(pending.id, RejectionCode.BAD_ARGS, pending.text)
                self._status(reply)
            case _For.BUILD, (Answered() | Fault()):
                self._build_answered(pending, reply)
            case _For.ABORT, (Obeyed() | Fault()):
                now = Said(SlaveStatus.ABORTING, str(self._id))
                self._answer(pending.id, reply, RejectionCode.NOT_BUILDING, now)
            case _For.CLEAN, (Obeyed() | Fault()):
                self._answer(pending.id, reply, RejectionCode.NOT_WAITING, Said(SlaveStatus.IDLE))
            case _For.FILE, Fault():
                self._reject(pending.id, RejectionCode.MISSING_FILE, _words(reply))
            case _, Fault():
                self._part(f"can't be used: {_words(reply)}", unfit=True)
            case _:
                self._part("an answer to another question", lied=True)

    def _fetched(self, pending: _Pending, reply: Fetched) -> None:
        if reply.there:
            self._out.append(Say(Present(pending.id, have=True)))
        elif "accessing" in reply.text.lower():  # is it the slave that can't reach us, or do we not answer?
            self._look_at_files(replace(pending, purpose=_For.FILES_LOOK, text=reply.text))
        else:
            self._reject(pending.id, RejectionCode.MISSING_FILE, reply.text)

    def _look_at_files(self, pending: _Pending) -> None:
        if pending.order is None or self._files is None:
            return
        number, attempt = self._numbers.next(), pending.order.attempt
        self._pending[number] = pending
        url, word = self._files.url_of(attempt, pending.sha256), self._files.password(attempt)
        self._out.append(LookAtFiles(number, url, str(attempt), word))

    def _files_looked_at(self, number: int, why: str) -> None:
        """Blame ourselves if we hand out nothing; else let the slave try once more, for we may not have a moment ago."""
        pending = self._pending.pop(number, None)
        if pending is None or pending.order is None:
            return
        if why:
            self._out.append(OwnFault(pending.order.attempt, f"it hands out no files to slaves: {why}"))
        elif pending.again:
            self._reject(pending.id, RejectionCode.MISSING_FILE, pending.text)
        else:
            self._have_fetched(pending.id, pending.sha256, pending.order, again=True)

    def _look_before_build(self, pending: _Pending, said: Said) -> None:
        """Send `build()` to a slave that is IDLE now: any other would be harmed by it (hazard 2)."""
        order = pending.order
        if order is None:
            return
        if said.status is not SlaveStatus.IDLE:
            holds = f"it is {said.status.name} with the build {said.build_id!r}"
            code = RejectionCode.NOT_CLEAN if said.status is SlaveStatus.WAITING else RejectionCode.NOT_IDLE
            self._reject(pending.id, code, f"{holds}, {_ELSEWHERE} {RESTART}")
            return
        self._said = said
        self._downloads = Downloads(self._numbers)
        self._guard(order)
        self._id = build_id(str(order.attempt), self._epoch, self._farm)
        call = have_built(order, self._id)
        self._call(call, _Pending(_For.BUILD, pending.id, order=order), self.timers.accepted)

    def _build_answered(self, pending: _Pending, reply: Answered | Fault) -> None:
        codes = {
            Begun.UNKNOWNBUILDER: RejectionCode.UNKNOWN_BUILD_TYPE,
            Begun.UNKNOWNSUM: RejectionCode.MISSING_FILE,
        }
        match reply:
            case Fault():  # hazard 1: before anybody believes that it is IDLE
                text = f"{_words(reply)}; if it stays busy, {RESTART}"
                self._call(AskStatus(), _Pending(_For.FAULT_LOOK, pending.id, text=text), self.timers.accepted)
                return
            case Answered(Begun.BUILDING, text) if text != str(self._id):
                self._reject(pending.id, RejectionCode.WRONG_ATTEMPT, f"it says that it builds {text!r}")
            case Answered(Begun.BUILDING):
                self._out.append(Say(Accepted(pending.id)))
                self._status(Said(SlaveStatus.BUILDING, str(self._id)))  # before anybody takes it for IDLE
            case Answered(begun, text):
                self._id = None
                self._reject(pending.id, codes[begun], f"{text}{_named(pending.order, text)}")

    def _answer(self, number: int, reply: Obeyed | Fault, code: RejectionCode, now: Said) -> None:
        if isinstance(reply, Fault):
            self._reject(number, code, _words(reply))
            self._ask_status()
        else:
            self._out.append(Say(Accepted(number)))
            self._status(now)

    def _file_ended(self, event: FileEnded) -> None:
        before = self._downloads.measured
        self._out += self._downloads.ended(event, self.timers.transfer)
        if self._downloads.broken:
            self._part(self._downloads.broken, lied=True)
            return
        said = self._said
        ended = self._downloads.measured and not before
        if ended and said is not None and said.status is SlaveStatus.WAITING:
            self._out.append(Say(self._as_status(said, "")))
        if ended or self._downloads.more:
            self._follow_log()

    # --- small things -----------------------------------------------------------------------------

    def _waits_for(self, *purposes: _For) -> bool:
        return any(one.purpose in purposes for one in self._pending.values())

    def _call(self, call: Call, pending: _Pending, seconds: float) -> None:
        number = self._numbers.next()
        self._pending[number] = pending
        self._out.append(MakeCall(number, call, seconds))

    def _reject(self, number: int, code: RejectionCode, text: str) -> None:
        self._out.append(Say(Rejected(number, code, text)))


def _words(fault: Fault) -> str:
    return f"it refused the call (fault {fault.code}: {fault.text}); the reason stands in the slave's own log"


def _named(order: BuildOrder | None, sha1: str) -> str:
    """Return what a file is called that the slave names by its SHA-1."""
    files = () if order is None else (order.chroot, *order.files)
    return next((f" ({file.filename})" for file in files if file.sha1 == sha1), "")


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return text.encode()[: 64 * 1024]
