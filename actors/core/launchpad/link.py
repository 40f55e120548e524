"""A launchpad-buildd slave that speaks as one of ours: the second dialect of the slave link, without its sockets.

    Wanted ─info()─▶ Stand, Greeted ─status()─▶ Say(Welcome); then every `Asked` becomes calls, every answer a `Say`

The builder's core above hears `Status`, `Log`, `FetchData` … and can't tell.  What the dialect has no word for is made
up here: a status is polled, a log and results are downloaded by offset, a file is not pushed but fetched by the slave.
The hazards, by their numbers on the dialect's page: (1) a request is looked at before it is sent, and ABORTING has an
end; (2) `build()` is sent to a slave that has just said IDLE, and the id is compared always; (3) after an abort comes
`clean()`; (4) IDLE is passed on as it is: lost; (5) files are counted before; (6), (7) `downloads`; (8) the attempt is
in the id.  The parts: `calls` that are not answered yet, what was `heard` of the slave, a build's `beginning` and
`closing`, `fetching` and `downloads`.  The shell is `actors.builder.launchpad_link`; rules: dispatch-rules §8.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from actors.core.launchpad.beginning import ELSEWHERE, RESTART, Beginning, fault_words
from actors.core.launchpad.calls import Calls, Numbers, Pending, Purpose
from actors.core.launchpad.closing import Closing
from actors.core.launchpad.downloads import Downloads
from actors.core.launchpad.events import (
    Asked,
    Failed,
    FileEnded,
    FilesLookedAt,
    Greeted,
    LinkEvent,
    LinkOrder,
    MakeCall,
    Part,
    PieceCame,
    Reminded,
    Replied,
    Say,
    Stand,
    Wanted,
)
from actors.core.launchpad.fetching import Fetching
from actors.core.launchpad.heard import Heard, welcome
from actors.core.timers import Timers
from protocol.launchpad_buildd.answers import Answered, Echoed, Fault, Fetched, Info, Obeyed, Reply, Said, SlaveStatus
from protocol.launchpad_buildd.calls import AskInfo, AskStatus, Call, SayEcho
from protocol.messages import (
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
    Query,
    Rejected,
    RejectionCode,
)
from storage.files.credentials import FilesPlace
from storage.records import BuildOrder


class _Link(StrEnum):
    """How far the connection has come."""

    DOWN = "down"
    KNOCKING = "knocking"  #: `info()` was called
    STANDING = "standing"  #: it was answered; nothing was asked for
    GREETING = "greeting"  #: `status()` was called
    OPEN = "open"


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
        self._why_no_files = why_no_files
        self._numbers = Numbers()
        self._calls = Calls(self._numbers)
        self._fetching = Fetching(self._calls, files)
        self._downloads = Downloads(self._numbers)
        self._heard = Heard()
        self._beginning = Beginning(self._calls, self._heard)
        self._closing = Closing(self._calls, self._heard)
        self._state = _Link.DOWN
        self._farm, self._epoch = "", 0
        self._info: Info | None = None
        self._poll_at = 0.0
        self._at = 0.0
        self._out: list[LinkOrder] = []

    def handle(self, event: LinkEvent) -> tuple[LinkOrder, ...]:
        """Return the orders that `event` calls for, in the order to obey them."""
        self._at, self._out = event.at, []
        match event:
            case Wanted():
                self.drop()
                self._state = _Link.KNOCKING
                self._call(AskInfo(), Pending(Purpose.INFO), self.timers.connect)
            case Greeted(_, epoch, farm):
                self._greeted(epoch, farm)
            case Asked():
                if self._state is _Link.OPEN:
                    self._heard.in_hand |= isinstance(event.message, (Build, Abort, LogFrom, Fetch))
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
                self._out += self._fetching.looked_at(number, why, self.timers.transfer)
            case Reminded():
                self._look_at_the_time()
            case _:
                assert_never(event)
        return tuple(self._out)

    def drop(self) -> None:
        """Forget the connection: what is under way is no news any more."""
        self._state, self._info = _Link.DOWN, None
        self._heard.forget()
        self._calls.pending.clear()
        self._downloads = Downloads(self._numbers)

    def deadline(self) -> float:
        """Return the monotonic second at which `Reminded` is wanted."""
        if self._state is not _Link.OPEN:
            return float("inf")
        due = float("inf") if self._calls.waits_for(Purpose.STATUS) else self._poll_at
        return min(due, self._heard.wedged_at(self.timers.abort_forced))

    # --- the connection ---------------------------------------------------------------------------

    def _greeted(self, epoch: int, farm: str) -> None:
        if self._state is not _Link.STANDING:
            return
        self._farm, self._epoch = farm, epoch
        if self._fetching.place is None:
            self._part(f"can't be given any files: {self._why_no_files}", unfit=True)
            return
        self._state = _Link.GREETING
        self._ask_status()

    def _part(self, reason: str, *, lied: bool = False, unfit: bool = False) -> None:
        self.drop()
        self._out.append(Part(reason, lied, unfit))

    def _failed(self, event: Failed) -> None:
        pending = self._calls.pending.get(event.number)
        if pending is None and not self._downloads.knows(event.number):
            return
        if pending is not None and pending.purpose is Purpose.FILE and event.late:
            del self._calls.pending[event.number]
            self._out += self._fetching.late(pending)
            return
        self._part(event.reason, lied=event.lied)

    def _look_at_the_time(self) -> None:
        if self._state is _Link.OPEN and not self._wedged() and self._at >= self._poll_at:
            self._ask_status()

    def _wedged(self) -> bool:
        """End the connection to a slave that does not come out of ABORTING (hazard 1)."""
        limit = self.timers.abort_forced
        if self._at < self._heard.wedged_at(limit):
            return False
        self._part(f"has been ABORTING for more than {limit:g} seconds and will not end it: {RESTART}", unfit=True)
        return True

    # --- what the slave says of itself ------------------------------------------------------------

    def _ask_status(self) -> None:
        if not self._calls.waits_for(Purpose.STATUS):
            self._call(AskStatus(), Pending(Purpose.STATUS), self.timers.lost)

    def _polled(self, said: Said) -> None:
        """Take a status that was asked for; not before the answer to `build()`, for BUILDING may be how it is wedged."""
        if self._calls.waits_for(Purpose.BUILD, Purpose.FAULT_LOOK):
            self._poll_later()
        else:
            self._status(said)

    def _status(self, said: Said) -> None:
        """Take what the slave says of itself: the first time as its welcome."""
        foreign = self._note(said)
        if self._wedged():
            return
        if foreign and (self._state is _Link.GREETING or not (self._heard.in_hand or self._heard.was_idle)):
            holds = f"is {said.status.name} with the build {said.build_id!r},"
            self._part(f"{holds} {ELSEWHERE} let it end there and {RESTART}", unfit=True)
            return
        self._heard.was_idle = said.status is SlaveStatus.IDLE
        status = self._heard.as_status(said, foreign, self._downloads)
        if self._state is _Link.GREETING and self._info is not None:
            self._state, info = _Link.OPEN, self._info
            self._out.append(Say(welcome(info, status)))
        else:
            for sha256 in self._fetching.under_way:
                self._out.append(Say(ChunkAck(sha256, 0)))  # it is still at it
            self._out.append(Say(status))
        self._poll_later()
        self._follow_log()

    def _note(self, said: Said) -> str:
        """Remember what was said; return the id of a build that is not ours."""
        foreign = self._heard.note(self._at, said, self._farm)
        if said.status is SlaveStatus.IDLE:
            if not self._calls.waits_for(Purpose.BUILD, Purpose.BUILD_LOOK, Purpose.FAULT_LOOK):
                self._heard.forget_build()
                self._downloads.forget()
        elif said.status is SlaveStatus.WAITING and not foreign:
            self._out += self._downloads.measure(said, self.timers.transfer)
        return foreign

    def _poll_later(self) -> None:
        busy = self._heard.busy or self._calls.waits_for(Purpose.FILE)
        self._poll_at = self._at + (self.timers.poll_building if busy else self.timers.poll_idle)

    # --- what the core asks -----------------------------------------------------------------------

    def _asked(self, event: Asked) -> None:
        match event.message:
            case Echo(id, data):
                self._call(SayEcho(data.hex()), Pending(Purpose.ECHO, id, text=data.hex()), self.timers.connect)
            case EnsurePresent(id, sha256):
                self._ensure_present(id, sha256, event.order)
            case Build():
                self._out += self._beginning.ask(event.message, event.order, event.dsc, self.timers.accepted)
            case Query():
                self._ask_status()
            case Abort(id, attempt):
                self._out += self._closing.abort(id, attempt, self.timers.accepted)
            case Clean(id, attempt):
                self._out += self._closing.clean(id, attempt, self.timers.accepted)
            case LogFrom(attempt, offset):
                if self._heard.holds(attempt):
                    self._guard(event.order)
                    self._downloads.follow(offset)
                    self._follow_log()
            case Fetch(id, attempt, name, offset):
                refusal = self._heard.not_waiting_with(attempt)
                if refusal is not None:
                    self._reject(id, *refusal)
                else:
                    self._out += self._downloads.fetch(id, name, offset, self.timers.transfer)
            case _:
                pass  # heartbeats; what is pushed to slaves of ours only

    def _ensure_present(self, number: int, sha256: str, order: BuildOrder | None) -> None:
        orders = self._fetching.ensure_present(number, sha256, order, self.timers.transfer)
        self._out += orders
        if any(isinstance(one, MakeCall) for one in orders):
            self._poll_at = min(self._poll_at, self._at + self.timers.poll_building)

    def _guard(self, order: BuildOrder | None) -> None:
        """Have the log of the order's build kept free of what nobody may read (hazard 7)."""
        if order is not None:
            self._downloads.guard(self._fetching.secrets(order), live=not order.private)

    def _follow_log(self) -> None:
        heard = self._heard
        if heard.id is not None and heard.said is not None and heard.in_hand:
            self._out += self._downloads.read_log(heard.id.attempt, self.timers.transfer)

    # --- what it answers --------------------------------------------------------------------------

    def _replied(self, number: int, reply: Reply) -> None:
        pending = self._calls.pending.pop(number, None)
        if pending is None:
            return
        match pending.purpose, reply:
            case Purpose.INFO, Info():
                self._info, self._state = reply, _Link.STANDING
                self._out.append(Stand())
            case Purpose.STATUS, Said():
                self._polled(reply)
            case Purpose.ECHO, Echoed(text):
                self._out.append(Say(EchoReply(pending.id, _unhex(text))))
            case Purpose.FILE, Fetched():
                self._out += self._fetching.fetched(pending, reply)
            case Purpose.BUILD_LOOK, Said():
                self._look_before_build(pending, reply)
            case Purpose.FAULT_LOOK, Said():
                self._reject(pending.id, RejectionCode.BAD_ARGS, pending.text)
                self._status(reply)
            case Purpose.BUILD, (Answered() | Fault()):
                self._build_answered(pending, reply)
            case Purpose.ABORT, (Obeyed() | Fault()):
                now = Said(SlaveStatus.ABORTING, str(self._heard.id))
                self._answer(pending.id, reply, RejectionCode.NOT_BUILDING, now)
            case Purpose.CLEAN, (Obeyed() | Fault()):
                self._answer(pending.id, reply, RejectionCode.NOT_WAITING, Said(SlaveStatus.IDLE))
            case Purpose.FILE, Fault():
                self._reject(pending.id, RejectionCode.MISSING_FILE, fault_words(reply))
            case _, Fault():
                self._part(f"can't be used: {fault_words(reply)}", unfit=True)
            case _:
                self._part("an answer to another question", lied=True)

    def _look_before_build(self, pending: Pending, said: Said) -> None:
        if pending.order is not None and said.status is SlaveStatus.IDLE:
            self._downloads = Downloads(self._numbers)
            self._guard(pending.order)
        self._out += self._beginning.looked(pending, said, self._epoch, self._farm, self.timers.accepted)

    def _build_answered(self, pending: Pending, reply: Answered | Fault) -> None:
        orders = self._beginning.answered(pending, reply, self.timers.accepted)
        self._out += orders
        if Say(Accepted(pending.id)) in orders:
            self._status(Said(SlaveStatus.BUILDING, str(self._heard.id)))  # before anybody takes it for IDLE

    def _answer(self, number: int, reply: Obeyed | Fault, code: RejectionCode, now: Said) -> None:
        if isinstance(reply, Fault):
            self._reject(number, code, fault_words(reply))
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
        said = self._heard.said
        ended = self._downloads.measured and not before
        if ended and said is not None and said.status is SlaveStatus.WAITING:
            self._out.append(Say(self._heard.as_status(said, "", self._downloads)))
        if ended or self._downloads.more:
            self._follow_log()

    # --- small things -----------------------------------------------------------------------------

    def _call(self, call: Call, pending: Pending, seconds: float) -> None:
        self._out.append(self._calls.make(call, pending, seconds))

    def _reject(self, number: int, code: RejectionCode, text: str) -> None:
        self._out.append(Say(Rejected(number, code, text)))


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return text.encode()[: 64 * 1024]
