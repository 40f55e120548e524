"""A stage for the core of a builder's actor: a clock, a disk, and everybody's lines, without any of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from actors.core.builder.attempt.in_hand import AttemptInHand
from actors.core.builder.core import BuilderCore
from actors.core.builder.events import (
    Begun,
    ChangesRead,
    Connected,
    ConnectionEnded,
    ControlRead,
    Event,
    FromQueueMessage,
    LibrarianRefused,
    LogKept,
    LogOpened,
    QueueSaid,
    ResultKept,
    ResultSpoilt,
    RowChanged,
    SlaveSaid,
    Store,
    TimeCame,
)
from actors.core.builder.orders import (
    AppendLog,
    Connect,
    Disconnect,
    KeepLog,
    KeepResult,
    OpenLog,
    OpenResult,
    Order,
    ReadChanges,
    ReadControl,
    Send,
    SendChunk,
    Tell,
    WriteResult,
)
from actors.core.builder.stages import AttemptStage
from actors.core.timers import Timers
from actors.messages import (
    Assign,
    Disown,
    FencedOff,
    Recorded,
    ResultStored,
    SessionOpened,
)
from certificates.identity import Shown
from protocol.messages import (
    VERSION,
    Accepted,
    Build,
    Clean,
    Echo,
    EchoReply,
    EnsurePresent,
    Fetch,
    FetchData,
    Present,
    ResultFile,
    SlaveMessage,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from storage.records import Builder, BuildOrder, Limits, NamedFile, StoredFile

FARM = "0b6f3d4c-6c9e-4a3e-9d1b-8f6f0a1d2c3e"
IDLE = Status(SlaveState.IDLE)
T = TypeVar("T")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def stored(content: bytes) -> StoredFile:
    return StoredFile(sha256(content), hashlib.sha1(content, usedforsecurity=False).hexdigest(), len(content))


def bob(**fields: Any) -> Builder:
    row: dict[str, Any] = {
        "id": 1,
        "name": "bob",
        "url": "buildd://127.0.0.1:8221",
        "families": ("x86",),
        "trusted": True,
        "builderok": True,
        "failnotes": "",
        "notok_by": None,
        "notok_kind": None,
        "manual": False,
        "tags": (),
        "architectures": ("i386",),
    }
    return Builder(**(row | fields))


def an_order(**fields: Any) -> BuildOrder:
    """Return an order for foo 1.0-1 on i386, trusted, with a small chroot and two source files."""
    row: dict[str, Any] = {
        "attempt": uuid4(),
        "job": 2,
        "build": 7,
        "builder": "bob",
        "trusted": True,
        "build_type": "binarypackage",
        "source": "foo",
        "version": "1.0-1",
        "chroot": NamedFile("chroot.tar.zst", sha256(b"chroot"), 6),
        "files": (NamedFile("foo_1.0-1.dsc", sha256(b"dsc"), 3), NamedFile("foo_1.0-1.tar.xz", sha256(b"tar"), 3)),
        "dsc": "foo_1.0-1.dsc",
        "architecture": "i386",
        "arch_indep": False,
        "suite": "hoary",
        "wall_seconds": 3600.0,
        "limits": Limits(wall_seconds=3600),
        "limits_from": (),
    }
    return BuildOrder(**(row | fields))


def changes_of(files: dict[str, bytes], *, source: str = "foo", version: str = "1.0-1", arch: str = "i386") -> bytes:
    lines = "".join(f"\n {sha256(content)} {len(content)} {name}" for name, content in files.items())
    return f"Source: {source}\nVersion: {version}\nArchitecture: {arch}\nChecksums-Sha256:{lines}\n".encode()


def results_of_foo() -> dict[str, bytes]:
    """Return the results of a build that went well: one .deb and its .changes."""
    deb = {"foo_1.0-1_i386.deb": CONTROL}
    return deb | {"foo_1.0-1_i386.changes": changes_of(deb)}


#: what the disk of these tests finds in a `.deb`: it is its own control file
CONTROL = b"Package: foo\nVersion: 1.0-1\nArchitecture: i386\nProvides: editor, foo-abi (= 3)\n"


def announced(results: dict[str, bytes]) -> tuple[ResultFile, ...]:
    return tuple(ResultFile(name, len(content), sha256(content)) for name, content in results.items())


def waiting(attempt: UUID, outcome: WireOutcome = WireOutcome.OK, **fields: Any) -> Status:
    return Status(SlaveState.WAITING, str(attempt), outcome=outcome, **fields)


def building(attempt: UUID, **fields: Any) -> Status:
    return Status(SlaveState.BUILDING, str(attempt), **fields)


@dataclass
class Disk:
    """Logs and results as the shell would keep them."""

    logs: dict[UUID, bytearray] = field(default_factory=dict)
    library: dict[str, bytes] = field(default_factory=dict)
    full: bool = False
    slow: bool = False  #: packages are read later
    owed: list[Event] = field(default_factory=list)
    incoming: tuple[str, bytearray] | None = None

    def obey(self, order: Order, at: float) -> Event | None:
        """Do what touches the disk; return what the shell would tell."""
        match order:
            case SendChunk(attempt=attempt) if self.full:
                return LibrarianRefused(at, attempt, Store.FILES, "no space left on device")
            case OpenLog() | AppendLog() | KeepLog():
                if self.full:
                    return LibrarianRefused(at, order.attempt, Store.LOG, "no space left on device")
                return self._obey_log(order, at)
            case OpenResult() | WriteResult() | KeepResult():
                if self.full:
                    self.incoming = None
                    return LibrarianRefused(at, order.attempt, Store.RESULTS, "no space left on device")
                return self._obey_result(order, at)
            case ReadChanges(attempt, expected):
                return ChangesRead(at, attempt, self.library[expected])
            case ReadControl(attempt, name, expected):
                read = ControlRead(at, attempt, name, self.library[expected])
                if not self.slow:
                    return read
                self.owed.append(read)
                return None
            case _:
                return None

    def _obey_log(self, order: OpenLog | AppendLog | KeepLog, at: float) -> Event | None:
        match order:
            case OpenLog(attempt, fresh):
                if fresh:
                    self.logs.pop(attempt, None)
                return LogOpened(at, attempt, len(self.logs.setdefault(attempt, bytearray())))
            case AppendLog(attempt, offset, data):
                assert offset == len(self.logs[attempt]), "the log has a gap"
                self.logs[attempt] += data
                return None
            case KeepLog(attempt, filename):
                log = bytes(self.logs.get(attempt, b""))
                return LogKept(at, attempt, ResultStored(filename, stored(log)) if log else None)

    def _obey_result(self, order: OpenResult | WriteResult | KeepResult, at: float) -> Event | None:
        match order:
            case OpenResult(_, _, expected, _):
                self.incoming = (expected, bytearray())
            case WriteResult(data=data) if self.incoming is not None:
                self.incoming[1].extend(data)
            case KeepResult(attempt, name) if self.incoming is not None:
                expected, content = self.incoming[0], bytes(self.incoming[1])
                self.incoming = None
                if sha256(content) != expected:
                    return ResultSpoilt(at, attempt, name, "content of another SHA-256 arrived")
                self.library[expected] = content
                return ResultKept(at, attempt, name, stored(content))
            case _:
                pass
        return None


class Scene:
    """One core, the rules it may never break, and a memory of all it ordered."""

    def __init__(self, row: Builder | None = None, *, generation: int = 1, timers: Timers | None = None) -> None:
        self.generation = generation
        self.core = BuilderCore(row or bob(), generation, timers or Timers())
        self.at = 1000.0
        self.disk = Disk()
        self.orders: list[Order] = []
        self.epoch = 0
        self.closed: set[str] = set()  # attempts that were recorded, fenced, disowned or refused
        self.builds: set[tuple[int, str]] = set()
        self.linked = False
        self.handed_out: set[tuple[int, int]] = set()

    # --- what happens -----------------------------------------------------------------------------

    def happen(self, event: Event) -> list[Order]:
        """Hand `event` over, and what the disk makes of the orders; return all of them."""
        made: list[Order] = []
        events = [event]
        while events:
            before = self.core.work
            orders = self.core.handle(events.pop(0))
            self._check_taken(before)
            for order in orders:
                made.append(order)
                self._check(order)
                answer = self.disk.obey(order, self.at)
                if answer is not None:
                    events.append(answer)
        self.orders += made
        return made

    def begin(self) -> list[Order]:
        return self.happen(Begun(self.at))

    def grant(self) -> list[Order]:
        """Let the queue actor answer a wish for a session."""
        self.epoch += 1
        return self.queue_says(SessionOpened("bob", self.generation, self.epoch, FARM))

    def connect(self, shown: Shown | None = None, now: datetime | None = None) -> list[Order]:
        self.linked = True
        return self.happen(Connected(self.at, shown, now))

    def fail(self, reason: str = "connection refused", *, lied: bool = False, unfit: bool = False) -> list[Order]:
        self.linked = False
        return self.happen(ConnectionEnded(self.at, reason, lied, unfit))

    def slave_says(self, message: SlaveMessage) -> list[Order]:
        return self.happen(SlaveSaid(self.at, message))

    def queue_says(self, message: FromQueueMessage) -> list[Order]:
        match message:
            case Recorded(attempt=attempt) | FencedOff(attempt=attempt) | Disown(attempt=attempt):
                self.closed.add(str(attempt))
            case _:
                pass
        return self.happen(QueueSaid(self.at, message))

    def change_row(self, **fields: Any) -> list[Order]:
        return self.happen(RowChanged(self.at, bob(**fields)))

    def pass_time(self, seconds: float) -> list[Order]:
        """Let time pass, waking the core whenever it wants to be woken."""
        end, made, wakes = self.at + seconds, list[Order](), 0
        while self.core.deadline() <= end:
            wakes = wakes + 1 if self.core.deadline() <= self.at else 0
            assert wakes < 5, f"it wants to be woken again and again: {self.core.described()}"
            self.at = max(self.at, self.core.deadline())
            made += self.happen(TimeCame(self.at))
        self.at = end
        return made

    # --- longer passages --------------------------------------------------------------------------

    def open_session(self, status: Status = IDLE, **welcome: Any) -> list[Order]:
        """Connect, greet, probe; return the orders that the open session called for."""
        if not any(isinstance(order, Connect) for order in self.orders[-3:]):
            self.grant()
        assert self.connect()
        return self.greet(status, **welcome)

    def greet(self, status: Status = IDLE, **welcome: Any) -> list[Order]:
        """Welcome and answer the probe."""
        self.slave_says(self.welcome(status, **welcome))
        echo = self.last(Echo)
        return self.slave_says(EchoReply(echo.id, echo.data))

    def welcome(self, status: Status = IDLE, **fields: Any) -> Welcome:
        row: dict[str, Any] = {
            "version": VERSION,
            "slave": "bob",
            "architectures": ("i386",),
            "build_types": ("binarypackage",),
            "backend": "simulated",
            "free_disk": 1 << 30,
            "status": status,
        }
        return Welcome(**(row | fields))

    def assign(self, order: BuildOrder) -> list[Order]:
        return self.queue_says(Assign("bob", self.generation, order))

    def all_present(self) -> list[Order]:
        """Let the slave have every file it was asked about."""
        made: list[Order] = []
        for message in [m for m in self.sent() if isinstance(m, EnsurePresent)][-3:]:
            made += self.slave_says(Present(message.id, have=True))
        return made

    def accept(self, attempt: UUID) -> list[Order]:
        made = self.slave_says(Accepted(self.last(Build).id))
        return made + self.slave_says(building(attempt))

    def begin_building(self, order: BuildOrder | None = None) -> BuildOrder:
        """Come from nothing to a running build."""
        order = order or an_order()
        self.begin()
        self.open_session()
        self.assign(order)
        self.all_present()
        self.accept(order.attempt)
        return order

    def hand_out(self, results: dict[str, bytes]) -> list[Order]:
        """Answer every `Fetch` with what was asked for."""
        made: list[Order] = []
        while fetches := [m for m in self.sent() if isinstance(m, Fetch) and (self.epoch, m.id) not in self.handed_out]:
            fetch = fetches[-1]
            self.handed_out |= {(self.epoch, m.id) for m in fetches}
            content = results[fetch.name][fetch.offset :]
            made += self.slave_says(FetchData(fetch.id, fetch.offset, content, last=True))
        return made

    # --- looking back -----------------------------------------------------------------------------

    def sent(self) -> list[Any]:
        """Return everything that was sent to the slave."""
        return [order.message for order in self.orders if isinstance(order, Send)]

    def told(self, kind: type[T]) -> list[T]:
        """Return everything of `kind` that the queue actor was told."""
        return [order.message for order in self.orders if isinstance(order, Tell) and isinstance(order.message, kind)]

    def last(self, kind: type[T]) -> T:
        """Return the last message of `kind` to the slave."""
        return [message for message in self.sent() if isinstance(message, kind)][-1]

    def count(self, kind: type[Any]) -> int:
        return sum(isinstance(message, kind) for message in self.sent())

    # --- the rules --------------------------------------------------------------------------------

    def _check_taken(self, before: AttemptInHand | None) -> None:
        work = self.core.work
        if work is not None and work is not before and work.stage is AttemptStage.PREPARING:
            assert work.order.trusted == self.core.row.trusted, "trust is matched exactly"

    def _check(self, order: Order) -> None:
        match order:
            case Send(Clean(attempt=attempt)):
                assert attempt in self.closed, "a slave is never cleaned before its attempt is recorded or closed"
            case Send(Build(attempt=attempt)):
                assert (self.epoch, attempt) not in self.builds, "an attempt is never asked for twice in one session"
                assert attempt not in self.closed, "an attempt that is over is never begun again"
                self.builds.add((self.epoch, attempt))
            case Send() | SendChunk():
                assert self.linked, "nothing is sent without a connection"
            case Disconnect():
                self.linked = False
            case _:
                pass


def messages(orders: list[Order]) -> list[Any]:
    """Return what was said in `orders`, to slave and queue actor alike, in order."""
    return [order.message for order in orders if isinstance(order, (Send, Tell))]


def kinds(orders: list[Order]) -> list[str]:
    """Return the names of what was said in `orders`, `RuntimeChanged` aside."""
    names = [type(message).__name__ for message in messages(orders)]
    return [name for name in names if name != "RuntimeChanged"]


@pytest.fixture
def scene() -> Scene:
    """A builder's core at the beginning of its life."""
    return Scene()
