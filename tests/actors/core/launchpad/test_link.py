"""The core of the link to a launchpad-buildd slave: whatever comes, what it says is what a slave of ours may say."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from actors.core.builder.events import FromQueueMessage, LibrarianRefused, Store, TimeCame
from actors.core.builder.orders import Connect, Disconnect, Greet, Send, Tell
from actors.core.builder.session import SessionState
from actors.core.builder.stages import AttemptStage
from actors.core.launchpad.build import build_id, objection, read_build_id, scrub
from actors.core.launchpad.events import (
    Asked,
    Download,
    DropCall,
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
from actors.core.launchpad.link import LaunchpadLink
from actors.core.timers import Timers
from actors.messages import Assign, Cancel, Disown, FencedOff, Finished, Recorded, SessionWanted
from protocol.launchpad_buildd.answers import (
    Answered,
    Begun,
    Echoed,
    Fault,
    Fetched,
    Info,
    Obeyed,
    Reply,
    Said,
    SlaveStatus,
)
from protocol.launchpad_buildd.calls import (
    AskInfo,
    AskStatus,
    Call,
    HaveAborted,
    HaveBuilt,
    HaveCleaned,
    HaveFetched,
    SayEcho,
)
from protocol.messages import (
    Abort,
    Build,
    Clean,
    Echo,
    EnsurePresent,
    Fetch,
    FetchData,
    LogFrom,
    MasterMessage,
    Query,
    Rejected,
    SlaveState,
    Status,
    WireOutcome,
)
from storage.files.credentials import FilesPlace
from storage.records import BuildOrder, NamedFile
from tests.fix_builder import FARM, Scene, an_order, bob

PLACE = FilesPlace("http://master:1", b"k" * 32)
SHA1 = "a" * 40
INFO = Info("1.0", "i386", ("binarypackage",))


def an_order_with_sha1(**fields: Any) -> BuildOrder:
    order = an_order(**fields)
    files = tuple(NamedFile(file.filename, file.sha256, file.size, SHA1) for file in order.files)
    return an_order(attempt=order.attempt, chroot=NamedFile("c", order.chroot.sha256, 6, SHA1), files=files, **fields)


class Played:
    """A link, and what it has ordered."""

    def __init__(self, **timers: float) -> None:
        self.link = LaunchpadLink(Timers(**timers), PLACE)
        self.at = 0.0
        self.calls: dict[int, Call] = {}
        self.downloads: dict[int, Download] = {}
        self.looks: set[int] = set()
        self.said: list[Any] = []
        self.parted: list[Part] = []
        self.orders: list[tuple[LinkOrder, ...]] = []

    def handle(self, event: LinkEvent) -> tuple[LinkOrder, ...]:
        self.at = event.at
        orders = self.link.handle(event)
        self.orders.append(orders)
        for order in orders:
            match order:
                case MakeCall(number, call):
                    self.calls[number] = call
                case Download(number):
                    self.downloads[number] = order
                case LookAtFiles(number):
                    self.looks.add(number)
                case Say(message):
                    self.said.append(message)
                case Part():
                    self.parted.append(order)
                case DropCall(number):
                    self.downloads.pop(number, None)
                case Stand() | OwnFault():
                    pass
        return orders

    def answer(self, kind: type[Call], reply: Reply) -> None:
        """Answer the oldest call of that kind."""
        number = next(number for number, call in self.calls.items() if isinstance(call, kind))
        del self.calls[number]
        self.handle(Replied(self.at, number, reply))

    def open(self) -> None:
        self.handle(Wanted(self.at))
        self.answer(AskInfo, INFO)
        self.handle(Greeted(self.at, 7, FARM))
        self.answer(AskStatus, Said(SlaveStatus.IDLE))

    def begin(self, order: BuildOrder) -> None:
        """Have a build begin."""
        message = Build(1, str(order.attempt), "binarypackage", "", {}, {})
        self.handle(Asked(self.at, message, order, b""))
        self.answer(AskStatus, Said(SlaveStatus.IDLE))
        self.answer(HaveBuilt, Answered(Begun.BUILDING, str(build_id(str(order.attempt), 7, FARM))))


# --- polling (dispatch-rules §8) ------------------------------------------------------------------------------


def test_an_idle_slave_is_looked_at_every_15_seconds_and_a_busy_one_every_5() -> None:
    played = Played()
    played.open()
    assert played.link.deadline() == 15.0
    assert played.handle(Reminded(14.9)) == ()
    played.handle(Reminded(15.0))
    assert [type(call) for call in played.calls.values()] == [AskStatus]
    played.answer(AskStatus, Said(SlaveStatus.IDLE))
    assert played.link.deadline() == 30.0
    played.begin(an_order_with_sha1())
    assert played.link.deadline() == 20.0


def test_a_status_that_is_not_answered_is_asked_for_once() -> None:
    played = Played()
    played.open()
    for at in (15.0, 16.0, 17.0):
        played.handle(Asked(at, Query(1), None))
        played.handle(Reminded(at))
    assert len(played.calls) == 1


def test_what_comes_of_an_earlier_connection_is_no_news() -> None:
    played = Played()
    played.open()
    played.handle(Asked(1.0, Query(1), None))
    (number,) = played.calls
    played.handle(Wanted(2.0))
    said = len(played.said)
    played.handle(Replied(3.0, number, Said(SlaveStatus.BUILDING, "x")))
    played.handle(Failed(3.0, number, "connection refused"))
    assert (len(played.said), played.parted) == (said, [])


def test_a_build_that_faulted_is_refused_whatever_a_status_says_meanwhile() -> None:
    played, order = Played(), an_order_with_sha1()
    played.open()
    played.handle(Asked(1.0, Build(1, str(order.attempt), "binarypackage", "", {}, {}), order, b""))
    played.answer(AskStatus, Said(SlaveStatus.IDLE))
    played.handle(Asked(1.0, Query(2), None))  # on its way while the slave wedges itself
    played.answer(HaveBuilt, Fault(8002, "error"))
    said = len(played.said)
    its = str(build_id(str(order.attempt), 7, FARM))
    played.answer(AskStatus, Said(SlaveStatus.BUILDING, its))
    assert played.said[said:] == []
    played.answer(AskStatus, Said(SlaveStatus.BUILDING, its))
    refused, status = played.said[said:]
    assert (type(refused), refused.id) == (Rejected, 1)
    assert status == Status(SlaveState.BUILDING, str(order.attempt))


# --- small rules ----------------------------------------------------------------------------------------------


@given(st.uuids(), st.integers(0, 2**63 - 1))
def test_an_id_says_which_attempt_of_which_farm(attempt: UUID, epoch: int) -> None:
    text = str(build_id(str(attempt), epoch, FARM))
    read = read_build_id(text, FARM)
    assert read is not None
    assert (read.attempt, read.epoch) == (str(attempt), epoch)
    assert "/" not in text
    assert read_build_id(text, "1" + FARM[1:]) is None


@given(st.text(max_size=80))
def test_no_other_text_is_an_id_of_ours(text: str) -> None:
    assert read_build_id(text, FARM) is None


@given(st.lists(st.sampled_from([b"secret", b"sec", b"ret", b"s", b"x", b"secsecret"]), max_size=12))
def test_a_secret_is_blotted_out_however_the_log_is_cut(pieces: list[bytes]) -> None:
    whole, held, out = b"".join(pieces), b"", b""
    for piece in pieces:
        said, held = scrub(held + piece, (b"secret",), last=False)
        out += said
    out += scrub(held, (b"secret",), last=True)[0]
    assert out == whole.replace(b"secret", b"******")


def test_files_are_counted_before_a_slave_is_asked_to_build() -> None:
    order = an_order()
    named = b"Source: foo\nFiles:\n " + b"a" * 32 + b" 3 foo_1.0-1.tar.xz\n"
    assert objection(order, named) == ""
    assert objection(order, None) == ""
    assert "names foo.orig.tar.xz" in objection(order, named.replace(b"foo_1.0-1.tar.xz", b"foo.orig.tar.xz"))
    assert "no .dsc" in objection(an_order(files=order.files[1:]), named)
    assert "can't be read" in objection(order, b"Files:\n \xff\n")


# --- whatever comes -------------------------------------------------------------------------------------------

IDS = st.sampled_from(["PACKAGEBUILD-1", "../x", "ours", "older"])
STATUSES = st.builds(
    Said,
    st.sampled_from([one for one in SlaveStatus if one not in {SlaveStatus.IDLE, SlaveStatus.WAITING}]),
    IDS,
) | st.one_of(
    st.just(Said(SlaveStatus.IDLE)),
    st.builds(
        Said,
        st.just(SlaveStatus.WAITING),
        IDS,
        st.sampled_from(WireOutcome),
        st.sampled_from([(), (("foo.changes", SHA1), ("foo.deb", SHA1))]),
        st.sampled_from(["", "libfoo-dev, bar", ",,"]),
    ),
)
REPLIES: dict[type[Call], st.SearchStrategy[Reply]] = {
    AskInfo: st.just(INFO),
    AskStatus: STATUSES,
    SayEcho: st.builds(Echoed, st.sampled_from(["", "zz", "70726f62652037"])),
    HaveFetched: st.builds(Fetched, st.booleans(), st.sampled_from(["Cache", "Error accessing Librarian: x"])),
    HaveBuilt: st.builds(Answered, st.sampled_from(Begun), IDS),
    HaveAborted: st.just(Obeyed()),
    HaveCleaned: st.just(Obeyed()),
}
FAULTS = st.just(Fault(8002, "error"))


def _ours(reply: Reply, order: BuildOrder, epoch: int) -> Reply:
    """Put the real id in the place of its name."""
    ids = {"ours": str(build_id(str(order.attempt), epoch, FARM)), "older": str(build_id(str(order.attempt), 0, FARM))}
    match reply:
        case Said(status, its, outcome, files, dependencies):
            return Said(status, ids.get(its, its), outcome, files, dependencies)
        case Answered(begun, text):
            return Answered(begun, ids.get(text, text))
    return reply


@given(st.data())
def test_whatever_happens_what_is_said_is_what_a_slave_may_say(data: st.DataObject) -> None:
    played, order = Played(), an_order_with_sha1()
    attempt = str(order.attempt)
    played.open()
    asked: st.SearchStrategy[MasterMessage] = st.sampled_from(
        [
            Echo(1, b"probe 7"),
            EnsurePresent(2, order.chroot.sha256, 6),
            EnsurePresent(3, "f" * 64, 6),
            Build(4, attempt, "binarypackage", "", {}, {}),
            Build(5, "another", "binarypackage", "", {}, {}),
            Query(6),
            LogFrom(attempt, 0),
            Fetch(7, attempt, "foo.deb", 0),
            Fetch(8, attempt, "foo.deb", 5),
            Fetch(9, attempt, "nothing", 0),
            Abort(10, attempt),
            Clean(11, attempt),
            Clean(12, "another"),
        ]
    )
    for _ in range(data.draw(st.integers(0, 40))):
        at = played.at + data.draw(st.sampled_from([0.0, 0.1, 5.0, 61.0]))
        numbers = [*played.calls, *played.downloads, *played.looks]
        what = data.draw(st.sampled_from(["ask", "time", "again", *["news"] * 6]))
        if what == "ask":
            played.handle(Asked(at, data.draw(asked), order, b""))
        elif what == "time":
            played.handle(Reminded(at))
        elif what == "again" and played.parted:
            played.handle(Wanted(at))
            played.handle(Greeted(at, 7, FARM))
        elif numbers:
            _news(played, data, data.draw(st.sampled_from(numbers)), at, (order, 7))
    for message in played.said:
        if isinstance(message, Status):
            assert (message.state is SlaveState.IDLE) == (message.attempt is None)
            assert (message.outcome is not None) == (message.state is SlaveState.WAITING)
            assert not message.files or message.outcome is WireOutcome.OK
        if isinstance(message, FetchData):
            assert message.offset + len(message.data) <= 10


def _news(played: Played, data: st.DataObject, number: int, at: float, whose: tuple[BuildOrder, int]) -> None:
    if data.draw(st.integers(0, 9)) == 0:
        played.handle(Failed(at, number, "connection reset", late=data.draw(st.booleans())))
    elif number in played.calls:
        call = played.calls.pop(number)
        reply = data.draw(st.one_of(REPLIES[type(call)], REPLIES[type(call)], FAULTS))
        played.handle(Replied(at, number, _ours(reply, *whose)))
    elif number in played.looks:
        played.looks.discard(number)
        played.handle(FilesLookedAt(at, number, data.draw(st.sampled_from(["", "connection refused"]))))
    else:
        download = played.downloads[number]
        size = min(data.draw(st.integers(0, 10)), download.most)
        if size:
            played.handle(PieceCame(at, number, b"x" * size))
        if data.draw(st.booleans()):
            played.downloads.pop(number, None)
            total = data.draw(st.sampled_from([0, 5, 10, None]))
            played.handle(FileEnded(at, number, data.draw(st.booleans()), total))


class Pair:
    """The core of a builder and the core of its link, with a slave, a clock and a queue actor that do as they like."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.scene = Scene(bob(url="http://slave:8221"))
        self.played = Played()
        self.order = an_order_with_sha1()
        self.dead = False  # the slave answers nothing any more
        self._seen = 0  # orders of the builder's core that were obeyed

    def begin(self) -> None:
        self.scene.begin()
        self.scene.grant()
        self.obey()

    def obey(self) -> None:
        """Carry orders from one core to the other until nothing is left."""
        while self._seen < len(self.scene.orders):
            order = self.scene.orders[self._seen]
            self._seen += 1
            match order:
                case Connect():
                    self.link_orders(self.played.handle(Wanted(self.scene.at)))
                case Greet(epoch, farm):
                    self.link_orders(self.played.handle(Greeted(self.scene.at, epoch, farm)))
                case Send(message):
                    work = self.scene.core.work
                    asked = Asked(self.scene.at, message, None if work is None else work.order, b"")
                    self.link_orders(self.played.handle(asked))
                case Disconnect():
                    self.played.link.drop()
                case Tell(SessionWanted()) if self.scene.core.session.state is SessionState.ASKING:
                    self.scene.grant()
                case _:
                    pass

    def link_orders(self, orders: tuple[LinkOrder, ...]) -> None:
        for order in orders:
            match order:
                case Stand():
                    self.scene.connect()
                case Say(message):
                    self.scene.slave_says(message)
                case Part(reason, lied, unfit):
                    self.scene.fail(reason, lied=lied, unfit=unfit)
                case OwnFault(attempt, text):
                    self.scene.happen(LibrarianRefused(self.scene.at, attempt, Store.SERVING, text))
                case MakeCall(number) if self.dead:
                    self.link_orders(self.played.handle(Failed(self.scene.at, number, "connection refused")))
                case _:
                    pass
        self.obey()

    def step(self) -> None:
        """Let something happen."""
        scene, played = self.scene, self.played
        what = self.data.draw(st.sampled_from(["queue", "time", *["slave"] * 8]))
        numbers = [*played.calls, *played.downloads, *played.looks]
        if what == "queue":
            self._queue()
        elif what == "time" or not numbers:
            self.pass_time(self.data.draw(st.sampled_from([0.5, 5.0, 20.0, 100.0])))
        else:
            at, number = scene.at, self.data.draw(st.sampled_from(numbers))
            before = len(played.orders)
            _news(played, self.data, number, at, (self.order, scene.epoch))
            for orders in played.orders[before:]:
                self.link_orders(orders)
        self.obey()

    def _queue(self) -> None:
        scene = self.scene
        finished = scene.told(Finished)
        recorded: bool = self.data.draw(st.booleans())
        if finished and recorded:
            scene.queue_says(Recorded("bob", 1, finished[-1].attempt))
            return
        says: list[FromQueueMessage] = [
            Assign("bob", 1, self.order),
            Cancel("bob", 1, self.order.attempt),
            Disown("bob", 1, self.order.attempt, "closed"),
            FencedOff("bob", 1, self.order.attempt),
        ]
        said = self.data.draw(st.sampled_from(says))
        if not (isinstance(said, Assign) and str(self.order.attempt) in scene.closed):
            scene.queue_says(said)

    def pass_time(self, seconds: float) -> None:
        end = self.scene.at + seconds
        for _ in range(500):
            due = min(self.scene.core.deadline(), self.played.link.deadline())
            if due > end:
                break
            self.scene.at = max(self.scene.at, due)
            if self.played.link.deadline() <= self.scene.at:
                self.link_orders(self.played.handle(Reminded(self.scene.at)))
            if self.scene.core.deadline() <= self.scene.at:
                self.scene.happen(TimeCame(self.scene.at))
            self.obey()
        self.scene.at = max(self.scene.at, end) if self.scene.core.deadline() > end else self.scene.at

    def die(self) -> None:
        """Have the slave answer nothing any more, and what it was asked come to nothing."""
        self.dead = True
        for number in [*self.played.calls, *self.played.downloads]:
            self.link_orders(self.played.handle(Failed(self.scene.at, number, "connection reset")))
        self.obey()


@given(st.data())
def test_whatever_the_slave_answers_no_rule_is_broken_and_a_dead_one_is_told_of(data: st.DataObject) -> None:
    """The rules are `Scene`'s: above all that no slave is cleaned before its attempt is recorded or closed."""
    pair = Pair(data)
    pair.begin()
    for _ in range(data.draw(st.integers(0, 60))):
        pair.step()
    pair.die()
    pair.pass_time(60.0)
    work = pair.scene.core.work
    assert work is None or work.stage in {AttemptStage.REPORTING, AttemptStage.SEALING}
    assert not pair.scene.core.session.open
