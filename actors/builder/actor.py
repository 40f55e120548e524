"""The actor of one builder: a thin shell that obeys `actors.core.builder.core`.

Turns what the queue actor, the slave, the clock and the disk say into events, and obeys the orders that come back.
Owns the link to the slave (`actors.builder.slave_link`, or `actors.builder.launchpad_link`) and the attempt's files
(`actors.builder.attempt_files`), and nothing in the database.  No rule of the farm stands here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never
from uuid import UUID

from thespian.actors import ActorAddress

from actors.addressed import QueueMoved, SettingsChanged, Start
from actors.builder.attempt_files import AttemptFiles
from actors.builder.deb_control import Unreadable
from actors.builder.happenings import Down, Happening, Heard, OwnFaultFound, Up
from actors.builder.slave_link import SlaveLink
from actors.core.builder.attempt.results import CHANGES_LIMIT
from actors.core.builder.core import BuilderCore
from actors.core.builder.events import (
    Begun,
    ChangesRead,
    Connected,
    ConnectionEnded,
    ControlRead,
    Event,
    LibrarianRefused,
    LogKept,
    LogOpened,
    QueueReplaced,
    QueueSaid,
    ResultKept,
    ResultSpoilt,
    Retired,
    RowChanged,
    SlaveSaid,
    Store,
    TimeCame,
    TimersChanged,
)
from actors.core.builder.fit import Dialect
from actors.core.builder.orders import (
    AppendLog,
    Connect,
    Disconnect,
    Greet,
    KeepLog,
    KeepResult,
    Leave,
    LetGo,
    OpenLog,
    OpenResult,
    Order,
    ReadChanges,
    ReadControl,
    Send,
    SendChunk,
    ShowPush,
    Tell,
    ToQueueMessage,
    WriteResult,
)
from actors.core.supervision.hangs import Excuse
from actors.farm_actor import FarmActor
from actors.messages import (
    Adopt,
    Assign,
    BuilderChanged,
    BuilderTroubled,
    Cancel,
    Disown,
    FencedOff,
    Finished,
    JobRefused,
    Recorded,
    ResultStored,
    Retire,
    SessionOpened,
)
from actors.system.signs import waiting
from protocol.messages import PutChunk
from storage.errors import StorageError
from storage.files.librarian import ContentMismatch, Librarian
from storage.records import BuildOrder

if TYPE_CHECKING:
    from actors.builder.launchpad_link import LaunchpadSlaveLink

_NEXT_STEP = "next step"  #: payload of the wake-up that goes on with a long piece of work


class BuilderActor(FarmActor):
    """Long-lived; one slave, one attempt at a time."""

    freezable = True

    def begin(self, start: Start) -> None:
        """Connect to the slave."""
        assert start.builder is not None  # noqa: S101 - a builder's actor is never started without
        settings = start.settings
        self._core = BuilderCore(start.builder, start.generation, settings.timers)
        self._settings = settings
        self._dialect = Dialect.OURS
        self._link: SlaveLink | LaunchpadSlaveLink = self._new_link(Dialect.OURS)
        self._files = AttemptFiles(settings.logs_directory, Librarian(settings.librarian_directory))
        self._waiting: deque[Event] = deque()
        self._work: tuple[UUID, Iterator[ResultStored | None]] | None = None  # a log being compressed
        self._to_read: ReadControl | None = None
        self._wake_at: float | None = None
        self.watched = {self._link.fileno()}
        self._happened(Begun(_now()))

    def receive(self, message: object, sender: ActorAddress) -> None:  # noqa: ARG002 - the base's signature
        """Hand what the queue actor and the nursery say to the core."""
        match message:
            case SessionOpened() | Assign() | Adopt() | Disown() | Cancel() | Recorded() | FencedOff():
                if message.builder == self.name:
                    self._happened(QueueSaid(_now(), message))
            case BuilderChanged(builder):
                if builder.name == self.name:
                    self._happened(RowChanged(_now(), builder))
            case QueueMoved():
                self._happened(QueueReplaced(_now()))
            case SettingsChanged(settings):
                self._settings = settings
                self._link.take_up(settings.timers)
                self._happened(TimersChanged(_now(), settings.timers))
            case Retire(builder):
                if builder == self.name:
                    self._happened(Retired(_now()))
            case _:
                self.log.warning("%s is not for a builder's actor", type(message).__name__)

    def readable(self, descriptors: tuple[int, ...]) -> None:  # noqa: ARG002 - it is the one that is watched
        """Hand what the slave says to the core."""
        self._pump()

    def woken(self, payload: object) -> None:
        """Tell the core the time, or go on with a long piece of work."""
        if payload == _NEXT_STEP:
            self._step()
        elif payload == self._wake_at:
            self._wake_at = None
            self._happened(TimeCame(_now()))

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what the core is thinking."""
        return (*self._core.described(), ("unsent", f"{self._link.unsent} bytes"))

    def story(self) -> Sequence[str]:
        """Return the core's."""
        return tuple(self._core.story)

    def wrap_cores(self, wrap: Callable[[str, Any], Any]) -> None:
        """The builder's core is the only one."""
        self._core = wrap("builder", self._core)

    def occupation(self) -> str:
        """Return the attempt in hand."""
        work = self._core.work if hasattr(self, "_core") else None
        return "" if work is None else f"attempt {work.name}"

    def about(self) -> Mapping[str, object]:
        """Return the builder, and what it builds."""
        work = self._core.work if hasattr(self, "_core") else None
        building = {} if work is None else {"build": work.order.build, "attempt": work.name}
        return {"builder": self.name, **building}

    def ended(self) -> None:
        """Let go of slave and files; the slave goes on building, and is adopted by the next life."""
        if hasattr(self, "_link"):
            self._link.close()
            self._files.close()

    # --- events -----------------------------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        """Hand `event` to the core, obey, and hand over what came of that, until nothing is left."""
        self._waiting.append(event)
        self._settle()
        if self._link.eager:
            self._pump()
        self._set_alarm()

    def _settle(self) -> None:
        while self._waiting:
            for order in self._core.handle(self._waiting.popleft()):
                self._obey(order)
        self._link.flush()

    def _pump(self) -> None:
        for happening in self._link.pump():
            self._waiting.append(_event(happening))
            self._settle()
        if self._link.eager:
            self._pump()
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Ask to be woken when the core wants to; an alarm that comes too early does no harm, so few are set."""
        due = min(self._core.deadline(), self._link.due)
        if self._wake_at is None or due < self._wake_at:
            self._wake_at = due
            self.wake_after(due - _now(), due)

    # --- orders -----------------------------------------------------------------------------------

    def _speak(self, dialect: Dialect) -> None:
        """Have the link that speaks this dialect."""
        if dialect is not self._dialect:
            self._dialect = dialect
            self._link.release()
            self._link = self._new_link(dialect)
            self.watched = {self._link.fileno()}

    def _new_link(self, dialect: Dialect) -> SlaveLink | LaunchpadSlaveLink:
        settings = self._settings
        if dialect is Dialect.OURS:
            return SlaveLink(settings.token_file, settings.certificates_directory)
        from actors.builder.launchpad_link import LaunchpadSlaveLink  # noqa: PLC0415 - loads libraries that other farms never need

        place, why = settings.files_place()
        return LaunchpadSlaveLink(settings.timers, place, why, order=self._order_in_hand, read=self._read)

    def _order_in_hand(self) -> BuildOrder | None:
        return None if self._core.work is None else self._core.work.order

    def _read(self, sha256: str, limit: int) -> bytes:
        with waiting(Excuse.DISK):
            return self._files.read(sha256, limit)

    def _obey(self, order: Order) -> None:
        match order:
            case Tell(message):
                self._tell_queue(message)
            case Connect(host, port, tls, dialect):
                self._speak(dialect)
                self._link.connect(host, port, tls=tls)
            case Greet(epoch, farm):
                self._link.greet(epoch, farm)
            case Send(message):
                self._link.send(message)
            case Disconnect():
                self._link.close()
            case Leave():
                self.end()
            case SendChunk():
                self._on_disk(order.attempt, Store.FILES, lambda: self._send_chunk(order))
            case ShowPush(attempt, name, sent, size):
                with waiting(Excuse.DISK):
                    self._files.note_push(attempt, name, sent, size, _now())
            case OpenLog() | AppendLog() | KeepLog():
                self._on_disk(order.attempt, Store.LOG, lambda: self._obey_log(order))
            case ReadControl():  # what else waits goes first: there may be hundreds, and each takes milliseconds
                self._to_read = order
                self.wake_after(0.0, _NEXT_STEP)
            case OpenResult() | WriteResult() | KeepResult() | ReadChanges():
                self._on_disk(order.attempt, Store.RESULTS, lambda: self._obey_result(order))
            case LetGo(attempt, log_recorded):
                self._work = self._to_read = None
                with waiting(Excuse.DISK):
                    self._files.let_go(attempt, log_recorded=log_recorded)
            case _:
                assert_never(order)

    def _tell_queue(self, message: ToQueueMessage) -> None:
        match message:
            case BuilderTroubled(failnotes=why):
                self.log.warning("not ok: %s", why)
            case Finished(attempt=attempt, outcome=outcome, text=text):
                self.log.info("attempt %s: %s %s", attempt, outcome.value, text)
            case JobRefused(attempt=attempt, why=why):
                self.log.warning("attempt %s refused: %s", attempt, why, extra={"build": "", "attempt": attempt})
            case _:
                pass
        if self.queue is not None:
            self.tell(self.queue, message)

    def _on_disk(self, attempt: UUID, store: Store, act: Callable[[], None]) -> None:
        """Do what touches this machine's own disk; its refusal is an event, and nobody else's fault."""
        self._link.flush()  # the slave need not wait for our disk
        try:
            with waiting(Excuse.DISK):
                act()
        except (OSError, StorageError) as error:
            self.log.warning("attempt %s: %s: %s", attempt, store.value, error)
            self._waiting.append(LibrarianRefused(_now(), attempt, store, str(error)))

    def _send_chunk(self, order: SendChunk) -> None:
        data = self._files.chunk(order.sha256, order.offset, order.length)
        self._link.send(PutChunk(order.sha256, order.offset, data))

    def _obey_log(self, order: OpenLog | AppendLog | KeepLog) -> None:
        match order:
            case OpenLog(attempt, fresh):
                size = self._files.open_log(attempt, fresh=fresh)
                self._waiting.append(LogOpened(_now(), attempt, size))
            case AppendLog(attempt, offset, data):
                self._files.append_log(attempt, offset, data)
            case KeepLog(attempt, filename):
                self._work = (attempt, self._files.keep_log(attempt, filename))
                self._continue()
            case _:
                assert_never(order)

    def _obey_result(self, order: OpenResult | WriteResult | KeepResult | ReadChanges) -> None:
        match order:
            case OpenResult(_, _, sha256, size):
                self._files.open_result(sha256, size)
            case WriteResult(data=data):
                self._files.write_result(data)
            case KeepResult(attempt, name):
                try:
                    content = self._files.keep_result()
                except ContentMismatch as error:
                    self._waiting.append(ResultSpoilt(_now(), attempt, name, str(error)))
                else:
                    if content is not None:
                        self._waiting.append(ResultKept(_now(), attempt, name, content))
            case ReadChanges(attempt, sha256):
                content_of_changes = self._files.read(sha256, CHANGES_LIMIT)
                self._waiting.append(ChangesRead(_now(), attempt, content_of_changes))
            case _:
                assert_never(order)

    def _step(self) -> None:
        """Go on compressing a log, or reading packages, a few milliseconds' worth."""
        if self._work is not None:
            self._on_disk(self._work[0], Store.LOG, self._continue)
        elif self._to_read is not None:
            order, self._to_read = self._to_read, None
            self._on_disk(order.attempt, Store.RESULTS, lambda: self._read_control(order))
        else:
            return
        self._settle()
        self._set_alarm()

    def _read_control(self, order: ReadControl) -> None:
        found = self._files.read_control(order.sha256)
        content, why = (b"", found.why) if isinstance(found, Unreadable) else (found, "")
        self._waiting.append(ControlRead(_now(), order.attempt, order.name, content, why))

    def _continue(self) -> None:
        if self._work is None:
            return
        attempt, steps = self._work
        self._work = None
        for kept in steps:
            if kept is None:
                self._work = (attempt, steps)
                self.wake_after(0.0, _NEXT_STEP)
                return
            self._waiting.append(LogKept(_now(), attempt, kept))
            return
        self._waiting.append(LogKept(_now(), attempt, None))


def _event(happening: Happening) -> Event:
    match happening:
        case Up(shown, now):
            return Connected(_now(), shown, now)
        case Down(reason, lied, unfit):
            return ConnectionEnded(_now(), reason, lied, unfit)
        case Heard(message):
            return SlaveSaid(_now(), message)
        case OwnFaultFound(attempt, text):
            return LibrarianRefused(_now(), attempt, Store.SERVING, text)
        case _:
            assert_never(happening)


def _now() -> float:
    return time.monotonic()
