"""The connection to one slave, from nothing to an open session, and the ladder when that fails (dispatch-rules §6, §8).

    RESTING ─time─▶ ASKING ─SessionOpened─▶ CONNECTING ─connected─▶ GREETING ─Welcome─▶ PROBING ─EchoReply─▶ OPEN
       ▲               (an epoch that was never said to a slave is used again: straight to CONNECTING)          │
       └───────────────── refused, broken, silent, misfit: wait, longer each time ─────────────────────────────┘

Part of `actors.core.builder.core`; `slave_in_hand` holds the attempt and decides what a new session means for it.
Never thinks about attempts; appends its orders to the list it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from actors.core.builder.credentials import certificate_fault, needs_tls, successor, unlisted
from actors.core.builder.events import Connected
from actors.core.builder.fit import address, dialect, misfit, refusal
from actors.core.builder.orders import Connect, Disconnect, Greet, Order, Send, Tell
from actors.core.timers import Timers
from actors.messages import BuilderTroubled, SessionOpened, SessionWanted
from certificates.identity import Shown
from protocol.messages import (
    Echo,
    EchoReply,
    Heartbeat,
    NewCertificate,
    Query,
    RefusalCode,
    Refused,
    SlaveMessage,
    Status,
    Welcome,
)
from storage.records import Builder, NotOkKind

URLS = "buildd://HOST:PORT is one, http://HOST:PORT for launchpad-buildd"
_BLAMED_AFTER = 3  #: failed connection attempts
_DOUBLINGS = 3  #: of the time until the queue actor is asked again: 2, 4, 8, 16 s
_STALE_LIMIT = 3  #: epochs in a row that the slave calls stale: it has seen another database's


class SessionState(StrEnum):
    """How far the session has come."""

    RESTING = "resting"  #: not connected, until `retry_at`
    ASKING = "asking the queue actor for an epoch"
    CONNECTING = "connecting"
    GREETING = "greeting"
    PROBING = "probing"
    OPEN = "open"


@dataclass(slots=True)
class Session:
    """One builder's connection; `state` says how far it is, `status` what the slave last said of itself."""

    row: Builder
    generation: int
    timers: Timers
    state: SessionState = SessionState.RESTING
    epoch: int = 0  #: of the open or last session
    welcome: Welcome | None = None
    status: Status | None = None  #: of the open session only
    failures: int = 0  #: connection attempts in a row that did not end in a session of some length
    troubled: BuilderTroubled | None = None  #: what the queue actor was told last; None: nothing since the last probe
    attempt: UUID | None = None  #: in hand when the last event came, begun or not
    shown: Shown | None = None  #: what the slave has shown; None over plain TCP
    _shown_until: float = 0.0  #: when that expires
    _offered: str = ""  #: the certificate that the slave was handed in this session
    _epoch_unused: SessionOpened | None = None
    _stale: int = 0
    _ladder_began: float = 0.0
    _retry_at: float = 0.0
    _ask_again_at: float = 0.0
    _asked: int = 0  #: times in a row
    _deadline: float = 0.0
    _opened_at: float = 0.0
    _heard_at: float = 0.0
    _spoke_at: float = 0.0
    _queried: bool = False
    _last_id: int = 0
    _answer: tuple[int, bytes] = field(default=(0, b""))

    @property
    def open(self) -> bool:
        """True while the slave can be spoken to."""
        return self.state is SessionState.OPEN

    def next_id(self) -> int:
        """Return a number for a request, rising within the session."""
        self._last_id += 1
        return self._last_id

    # --- on the way up ----------------------------------------------------------------------------

    def begin(self, at: float, out: list[Order]) -> None:
        """Connect now, on the first step of the ladder."""
        self.failures, self._ladder_began = 0, at
        self._ask(at, out)

    def granted(self, at: float, message: SessionOpened, out: list[Order]) -> None:
        """Take an epoch and connect."""
        if self.state is not SessionState.ASKING:
            return  # it was asked for twice
        self._epoch_unused, self._asked = message, 0
        self._connect(at, out)

    def connected(self, event: Connected, out: list[Order]) -> None:
        """Greet the slave, if it is the builder's."""
        granted, self.shown, self._offered = self._epoch_unused, event.shown, ""
        if self.state is not SessionState.CONNECTING or granted is None:
            return
        if event.shown is not None and event.now is not None:
            why = certificate_fault(self.row, granted.farm, event.shown, event.now)
            if why:
                self.distrust(event.at, NotOkKind.MISFIT, why, out)
                return
            self._shown_until = event.at + (event.shown.not_after - event.now).total_seconds()
        self._epoch_unused = None
        self.epoch = granted.session
        self.state = SessionState.GREETING
        out.append(Greet(granted.session, granted.farm))

    def greeted(self, at: float, message: SlaveMessage, out: list[Order]) -> bool:
        """Take what the slave said before the session was open; return True if it is open now."""
        self._heard_at = at
        match message:
            case Welcome() if self.state is SessionState.GREETING:
                self._welcomed(at, message, out)
            case Refused() if self.state is SessionState.GREETING:
                self._refused(at, message, out)
            case Status() if self.state is SessionState.PROBING:
                self.status = message
            case EchoReply(id, data) if self.state is SessionState.PROBING:
                if (id, data) != self._answer:
                    self.distrust(at, NotOkKind.MISFIT, "did not echo a probe as it was sent", out)
                    return False
                self.state, self._opened_at, self._queried, self._stale = SessionState.OPEN, at, False, 0
                self._offer_certificate(out)
                return True
            case _:
                pass  # heartbeats; anything else comes too early to mean something
        return False

    def _welcomed(self, at: float, welcome: Welcome, out: list[Order]) -> None:
        why = misfit(self.row, welcome, wholly=not welcome.status.attempt)
        if why:
            self.distrust(at, NotOkKind.MISFIT, f"does not fit: {why}", out)
            return
        self.welcome, self.status = welcome, welcome.status
        self.state = SessionState.PROBING
        self._answer = (self.next_id(), f"probe {self.epoch}".encode())
        out.append(Send(Echo(*self._answer)))

    def _refused(self, at: float, refused: Refused, out: list[Order]) -> None:
        if refused.code is RefusalCode.STALE_EPOCH and self._stale < _STALE_LIMIT:
            self._stale += 1
            self._close("its epoch was stale", out)
            self._ask(at, out)
            return
        self.distrust(at, NotOkKind.MISFIT, f"refused the session: it {refusal(refused)}", out)

    def _ask(self, at: float, out: list[Order]) -> None:
        if self._epoch_unused is not None:
            self._connect(at, out)
            return
        # Less and less often: when a large farm starts, a queue actor that is late has all the more to read.
        self._ask_again_at = at + self.timers.resend * 2.0 ** min(self._asked, _DOUBLINGS)
        self.state, self._asked = SessionState.ASKING, self._asked + 1
        out.append(Tell(SessionWanted(self.row.name, self.generation)))

    def queue_replaced(self, at: float, out: list[Order]) -> None:
        """Ask the queue actor that took over for what the old one did not give."""
        self._asked = 0
        if self.state is SessionState.ASKING:
            self._ask(at, out)

    def _connect(self, at: float, out: list[Order]) -> None:
        place = address(self.row.url)
        if place is None:
            self.distrust(at, NotOkKind.MISFIT, f"has no usable URL: {self.row.url!r}; {URLS}", out)
            return
        self.state, self._deadline = SessionState.CONNECTING, at + self.timers.connect
        self.status, self._last_id, self._spoke_at, self._heard_at = None, 0, at, at
        out.append(Connect(*place, tls=needs_tls(self.row), dialect=dialect(self.row.url)))

    def _offer_certificate(self, out: list[Order]) -> None:
        """Hand the slave a certificate that was issued since."""
        pem = "" if self.shown is None or not self.open else successor(self.row, self.shown)
        if pem and pem != self._offered:
            self._offered = pem
            out.append(Send(NewCertificate(pem.encode())))

    # --- on the way down --------------------------------------------------------------------------

    def ended(self, at: float, reason: str, out: list[Order], *, lied: bool = False, unfit: bool = False) -> None:
        """Note that the connection could not be made or broke, and climb the ladder."""
        was_open = self.open
        lasted = was_open and at - self._opened_at >= self.timers.connect
        if lasted:
            self.failures = 0
        if lied or unfit:
            words = f"broke the protocol: {reason}" if lied else reason
            self.distrust(at, NotOkKind.MISFIT, words, out, closed=True)
            return
        self._down()
        if lasted:
            self._ladder_began, self._retry_at = at, at
            return
        self.failures += 1
        if self.failures == 1:
            self._retry_at = max(at, self._ladder_began + self.timers.first_retry)
        elif self.failures < _BLAMED_AFTER:
            self._retry_at = max(at, self._ladder_began + self.timers.second_retry)
        else:
            self._retry_at = at + self._background()
            verb = "broke" if was_open else "failed"
            self._trouble(NotOkKind.UNREACHABLE, f"connection {verb}: {reason} ({self.failures} times in a row)", out)

    def distrust(self, at: float, kind: NotOkKind, words: str, out: list[Order], *, closed: bool = False) -> None:
        """End a session that is of no use, say why, and try again in the background.

        Args:
            words: go on after "the slave at HOST port PORT".
            closed: the connection is closed already.
        """
        if closed:
            self._down()
        else:
            self._close(words, out)
        self.failures = max(self.failures + 1, _BLAMED_AFTER)
        self._retry_at = at + self._background()
        self._trouble(kind, words, out)

    def restart(self, at: float, reason: str, out: list[Order]) -> None:
        """End the session, blaming nobody, and connect again: at once if it had lasted, else in the background."""
        lasted = self.open and at - self._opened_at >= self.timers.connect
        self._close(reason, out)
        self.failures = 0 if lasted else max(self.failures + 1, _BLAMED_AFTER)
        self._ladder_began, self._retry_at = at, at if lasted else at + self._background()

    def row_changed(self, at: float, row: Builder, out: list[Order]) -> bool:
        """Take the new row; return True if the connection had to be closed for it."""
        before, self.row = self.row, row
        moved = before.url != row.url or needs_tls(before) != needs_tls(row)
        unfit = self.open and (
            (self.welcome is not None and misfit(row, self.welcome, wholly=False))
            or (self.shown is not None and unlisted(row, self.shown))
        )
        if moved or unfit:
            self._close("the builder's row was changed", out)
        revived = row.builderok and not before.builderok
        refitted = (before.architectures, before.trusted, before.certificates) != (
            row.architectures,
            row.trusted,
            row.certificates,
        )
        if moved or unfit or (self.state is SessionState.RESTING and (revived or refitted)):
            self.failures, self._ladder_began, self._retry_at = 0, at, at
        if revived:
            self.troubled = None  # a person said ok: what we know must be said again
        self._offer_certificate(out)
        return bool(moved or unfit)

    def _trouble(self, kind: NotOkKind, words: str, out: list[Order]) -> None:
        place = address(self.row.url)
        where = f"the slave at {place[0]} port {place[1]}" if place else "the slave"
        notes = f"{where}: {words}" if kind is NotOkKind.UNREACHABLE else f"{where} {words}"
        told = BuilderTroubled(self.row.name, self.generation, kind, notes, self.attempt)
        known = self.troubled
        if known is not None and not self.row.builderok and known.kind is kind and _same(known, told):
            return
        self.troubled = told
        out.append(Tell(told))

    def _background(self) -> float:
        doublings = min(self.failures - _BLAMED_AFTER, 20)
        return min(self.timers.background_retry * 2.0**doublings, self.timers.background_retry_limit)

    def _close(self, reason: str, out: list[Order]) -> None:
        if self.state not in {SessionState.RESTING, SessionState.ASKING}:
            out.append(Disconnect(reason))
        self._down()

    def _down(self) -> None:
        self.state, self.status = SessionState.RESTING, None

    # --- time -------------------------------------------------------------------------------------

    def heard(self, at: float) -> None:
        """Note that the slave said something."""
        self._heard_at, self._queried = at, False

    def spoke(self, at: float) -> None:
        """Note that something was sent to the slave."""
        self._spoke_at = at

    def tick(self, at: float, out: list[Order]) -> str:
        """Do what is due; return why the connection counts as broken now, or nothing; then it is on you to call `ended`."""
        match self.state:
            case SessionState.RESTING if at >= self._retry_at:
                self._ask(at, out)
            case SessionState.ASKING if at >= self._ask_again_at:
                self._ask(at, out)
            case SessionState.CONNECTING | SessionState.GREETING | SessionState.PROBING if at >= self._deadline:
                done = {SessionState.CONNECTING: "no connection", SessionState.GREETING: "no answer to the greeting"}
                return f"{done.get(self.state, 'no answer to the probe')} within {self.timers.connect:g} seconds"
            case SessionState.OPEN:
                return self._tick_open(at, out)
            case _:
                pass
        return ""

    def _tick_open(self, at: float, out: list[Order]) -> str:
        silent = at - self._heard_at
        if silent >= self.timers.lost:
            return f"nothing was heard for {self.timers.lost:g} seconds"
        if silent >= self.timers.suspect and not self._queried:
            self._queried = True
            out.append(Send(Query(self.next_id())))
        elif self.shown is not None and at >= self._shown_until:
            return "its certificate has expired"
        elif at - self._spoke_at >= self.timers.heartbeat:
            out.append(Send(Heartbeat(at)))
        return ""

    def deadline(self) -> float:
        """Return the second at which `tick` has something to do."""
        match self.state:
            case SessionState.OPEN:
                silent = self._heard_at + (self.timers.lost if self._queried else self.timers.suspect)
                due = min(silent, self._spoke_at + self.timers.heartbeat)
                return due if self.shown is None else min(due, self._shown_until)
            case SessionState.RESTING:
                return self._retry_at
            case SessionState.ASKING:
                return self._ask_again_at
            case SessionState.CONNECTING | SessionState.GREETING | SessionState.PROBING:
                return self._deadline
            case _:
                assert_never(self.state)


def _same(one: BuilderTroubled, other: BuilderTroubled) -> bool:
    """Return whether two fail notes differ in nothing but how often it was tried."""
    return one.failnotes.rsplit(" (", 1)[0] == other.failnotes.rsplit(" (", 1)[0]
