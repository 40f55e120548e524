"""Whatever a slave says, in whatever order, and whatever breaks: the rules of a builder's core hold.

The sentences that `Scene` checks at every order: a slave is never cleaned before its attempt is recorded or closed;
trust is matched exactly; an attempt is never asked for twice in one session; nothing is sent without a connection.
Here on top: every assignment ends in exactly one way, and in the end there is always an end.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.builder.events import QueueReplaced
from actors.core.builder.session import SessionState
from actors.messages import (
    Adopt,
    AdoptionWanted,
    Assign,
    Cancel,
    Disown,
    FencedOff,
    Finished,
    JobRefused,
    Recorded,
    SessionWanted,
)
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
    FetchData,
    Log,
    Present,
    PushFailed,
    Query,
    Rejected,
    RejectionCode,
    SlaveMessage,
    SlaveState,
    Status,
    WireOutcome,
)
from storage.records import BuildOrder
from tests.fix_builder import IDLE, Scene, an_order, announced, results_of_foo, sha256

STRANGER = UUID("00000000-0000-4000-8000-000000000000")
RESULTS = results_of_foo()
FILES = tuple(sha256(content) for content in (b"chroot", b"dsc", b"tar"))


class BuildersLife(RuleBasedStateMachine):
    """One builder's core between a queue actor that keeps its word and a slave that may say anything."""

    @initialize(trusted=st.booleans(), how_far=st.integers(0, 4))
    def begin(self, *, trusted: bool, how_far: int) -> None:
        self.scene = Scene()
        self.scene.begin()
        if not trusted:
            self.scene.change_row(trusted=False)
        self.orders: dict[UUID, BuildOrder] = {}
        self.assigned: set[UUID] = set()
        self.fenced: set[UUID] = set()
        self.heard = 0  # messages to the slave that the honest part of it has answered
        self.holds: Status = IDLE  # what the honest part of the slave is
        if how_far >= 1:
            self.a_connection_comes_to_stand(honest=True)
        if how_far >= 2:
            self.it_assigns(fits=True, generation=1)
        if how_far >= 3:
            self.it_does_what_it_should(ends=how_far >= 4)

    # --- the world --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 4.0, 11.0, 31.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.pass_time(seconds)

    @rule(row=st.sampled_from([{"trusted": True}, {"trusted": False}, {"builderok": False}, {"url": "buildd://[::1]"}]))
    def the_row_changes(self, row: dict[str, object]) -> None:
        self.scene.change_row(**({"trusted": self.scene.core.row.trusted} | row))

    @rule(full=st.booleans())
    def the_disk_fills_or_not(self, *, full: bool) -> None:
        self.scene.disk.full = full

    @rule()
    def the_queue_actor_is_restarted(self) -> None:
        self.scene.happen(QueueReplaced(self.scene.at))

    @rule(honest=st.sampled_from([True, True, False]))
    def a_connection_comes_to_stand(self, *, honest: bool) -> None:
        if self.scene.core.session.state is SessionState.RESTING:
            self.scene.pass_time(6)
        if self.scene.core.session.state is SessionState.ASKING:
            self.scene.grant()
        if self.scene.core.session.state is SessionState.CONNECTING:
            self.scene.connect()
            self.heard = len(self.scene.sent())
            if honest:
                self.scene.slave_says(self.scene.welcome(self.holds))
                self.it_does_what_it_should(ends=False)

    @rule(ends=st.booleans())
    def it_does_what_it_should(self, *, ends: bool) -> None:
        """Let the slave be honest: answer all that it was sent, and end its build if it `ends`."""
        for _ in range(20):
            unanswered = self.scene.sent()[self.heard :]
            if not unanswered:
                break
            self.heard += 1
            for answer in self._honest_answers(unanswered[0]):
                self.scene.slave_says(answer)
        if ends and self.holds.state is SlaveState.BUILDING:
            self.holds = replace(self.holds, state=SlaveState.WAITING, outcome=WireOutcome.OK, files=announced(RESULTS))
            self.scene.slave_says(self.holds)

    def _honest_answers(self, message: object) -> list[SlaveMessage]:
        match message:
            case Echo(number, data):
                return [EchoReply(number, data)]
            case EnsurePresent(number):
                return [Present(number, have=True)]
            case Build(number, attempt) if self.holds.state is SlaveState.IDLE:
                self.holds = Status(SlaveState.BUILDING, attempt)
                return [Accepted(number), self.holds]
            case Abort(number, attempt) if (self.holds.state, self.holds.attempt) == (SlaveState.BUILDING, attempt):
                self.holds = Status(SlaveState.WAITING, attempt, outcome=WireOutcome.ABORTED)
                return [Accepted(number), Status(SlaveState.ABORTING, attempt), self.holds]
            case Clean(number, attempt) if (self.holds.state, self.holds.attempt) == (SlaveState.WAITING, attempt):
                self.holds = IDLE
                return [Accepted(number), IDLE]
            case Fetch(number, _, name, offset):
                return [FetchData(number, offset, RESULTS[name][offset:], last=True)]
            case Build(number) | Abort(number) | Clean(number):
                return [Rejected(number, RejectionCode.WRONG_ATTEMPT, "no")]
            case Query():
                return [self.holds]
            case _:
                return []

    @rule(lied=st.booleans())
    def the_connection_breaks(self, *, lied: bool) -> None:
        self.scene.fail("broken pipe", lied=lied)

    # --- the queue actor --------------------------------------------------------------------------

    @rule(fits=st.sampled_from([True, True, True, False]), generation=st.sampled_from([0, 1, 1, 1]))
    def it_assigns(self, *, fits: bool, generation: int) -> None:
        order = self._order(trusted=self.scene.core.row.trusted is fits)
        self.assigned.add(order.attempt)
        self.scene.queue_says(Assign("bob", generation, order))

    @precondition(lambda self: self.assigned)
    @rule(draw=st.data())
    def it_assigns_again(self, draw: st.DataObject) -> None:
        attempt = draw.draw(st.sampled_from(sorted(self.assigned, key=str)))
        self.scene.queue_says(Assign("bob", 1, self.orders[attempt]))

    @precondition(lambda self: self.scene.told(AdoptionWanted))
    @rule(closed=st.booleans())
    def it_answers_a_wish_to_adopt(self, *, closed: bool) -> None:
        attempt = self.scene.told(AdoptionWanted)[-1].attempt
        if closed or str(attempt) in self.scene.closed:
            self.fenced.add(attempt)
            self.scene.queue_says(Disown("bob", 1, attempt, "closed"))
        else:
            order = self.orders.get(attempt) or self._order(attempt=attempt)
            self.scene.queue_says(Adopt("bob", 1, order))
            if self.scene.core.work is not None and self.scene.core.work.order.attempt == attempt:
                self.assigned.add(attempt)  # else the queue actor ends it, when the slave is found idle or given up

    @precondition(lambda self: self.scene.told(Finished))
    @rule(more=st.booleans(), fenced=st.booleans())
    def it_answers_the_last_report(self, *, more: bool, fenced: bool) -> None:
        attempt = self.scene.told(Finished)[-1].attempt
        if fenced:
            self.fenced.add(attempt)
            self.scene.queue_says(FencedOff("bob", 1, attempt))
            return
        following = self._order(trusted=self.scene.core.row.trusted) if more else None
        if following is not None:
            self.assigned.add(following.attempt)
        self.scene.queue_says(Recorded("bob", 1, attempt, following))

    @precondition(lambda self: self.orders)
    @rule(draw=st.data(), cancel=st.booleans())
    def it_cancels_or_fences(self, draw: st.DataObject, *, cancel: bool) -> None:
        attempt = draw.draw(st.sampled_from(sorted(self.orders, key=str)[-4:]))
        if cancel:
            self.scene.queue_says(Cancel("bob", 1, attempt))
        else:
            self.fenced.add(attempt)
            self.scene.queue_says(FencedOff("bob", 1, attempt))

    # --- the slave --------------------------------------------------------------------------------

    @rule(draw=st.data())
    def it_greets(self, draw: st.DataObject) -> None:
        self.scene.slave_says(self.scene.welcome(self._status(draw)))
        for echo in [message for message in self.scene.sent() if isinstance(message, Echo)][-1:]:
            self.scene.slave_says(EchoReply(echo.id, echo.data))

    @rule(draw=st.data())
    def it_says_its_state(self, draw: st.DataObject) -> None:
        self.scene.slave_says(self._status(draw))

    @rule(have=st.booleans())
    def it_answers_about_files(self, *, have: bool) -> None:
        for message in [message for message in self.scene.sent() if isinstance(message, EnsurePresent)][-3:]:
            self.scene.slave_says(Present(message.id, have=have))

    @rule(file=st.sampled_from((*FILES, sha256(b"?"))), offset=st.sampled_from([3, 6, 1 << 40]), failed=st.booleans())
    def it_speaks_of_a_push(self, *, file: str, offset: int, failed: bool) -> None:
        self.scene.slave_says(PushFailed(file, RejectionCode.NO_SPACE, "full") if failed else ChunkAck(file, offset))

    @rule(accepted=st.booleans(), code=st.sampled_from(RejectionCode), of_build=st.booleans())
    def it_answers_a_request(self, *, accepted: bool, code: RejectionCode, of_build: bool) -> None:
        asked = [message.id for message in self.scene.sent() if hasattr(message, "id")]
        built = [message.id for message in self.scene.sent() if isinstance(message, Build)]
        for number in (built if of_build else asked)[-1:]:
            self.scene.slave_says(Accepted(number) if accepted else Rejected(number, code, "no"))

    @rule(draw=st.data(), offset=st.sampled_from([0, 1, 5, 1 << 40]), data=st.binary(max_size=8))
    def it_sends_log(self, draw: st.DataObject, offset: int, data: bytes) -> None:
        self.scene.slave_says(Log(str(self._attempt(draw)), offset, data))

    @rule(truth=st.booleans(), offset=st.sampled_from([0, 2, 1 << 40]), data=st.binary(max_size=8), last=st.booleans())
    def it_sends_a_result(self, *, truth: bool, offset: int, data: bytes, last: bool) -> None:
        if truth:
            self.scene.hand_out(RESULTS)
            return
        for fetch in [message for message in self.scene.sent() if isinstance(message, Fetch)][-1:]:
            self.scene.slave_says(FetchData(fetch.id, offset, data, last))

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def every_assignment_ends_in_at_most_one_way(self) -> None:
        if not hasattr(self, "scene"):
            return
        ends = {(end.attempt, end.outcome) for end in self.scene.told(Finished)}
        refused = [refusal.attempt for refusal in self.scene.told(JobRefused)]
        assert len({attempt for attempt, _ in ends}) == len(ends), "one attempt, two ends"
        assert not {attempt for attempt, _ in ends} & set(refused), "reported and refused"

    def teardown(self) -> None:
        """Take the slave away for good: in the end everything that was assigned has an end."""
        if not hasattr(self, "scene"):
            return
        scene = self.scene
        scene.disk.full = False
        scene.fail()
        for _ in range(60):
            if scene.core.session.state is SessionState.ASKING:
                assert scene.told(SessionWanted)
                scene.grant()
            if scene.core.session.state is SessionState.CONNECTING:
                scene.fail()
            scene.pass_time(2)
        ended = {end.attempt for end in scene.told(Finished)} | {no.attempt for no in scene.told(JobRefused)}
        assert self.assigned - self.fenced <= ended, "assigned, and never heard of again"

    # --- small things -----------------------------------------------------------------------------

    def _order(self, **fields: object) -> BuildOrder:
        fresh = UUID(int=len(self.orders) + 1, version=4)  # not random: a failing story can be played again
        order = an_order(**({"attempt": fresh} | fields))
        self.orders[order.attempt] = order
        return order

    def _attempt(self, draw: st.DataObject) -> UUID:
        work = self.scene.core.work
        known = [*sorted(self.orders, key=str)[-2:], STRANGER]
        return draw.draw(st.sampled_from(known if work is None else [*[work.order.attempt] * 6, *known]))

    def _status(self, draw: st.DataObject) -> Status:
        state = draw.draw(st.sampled_from(SlaveState))
        if state is SlaveState.IDLE:
            return Status(state)
        attempt = str(self._attempt(draw))
        if state is not SlaveState.WAITING:
            return Status(state, attempt, log_size=draw.draw(st.sampled_from([0, 8])))
        outcome = draw.draw(st.sampled_from([WireOutcome.OK] * 4 + list(WireOutcome)))
        return Status(
            state, attempt, outcome=outcome, files=announced(RESULTS), log_size=draw.draw(st.sampled_from([0, 8]))
        )


BuildersLife.TestCase.settings = settings(max_examples=2 * settings().max_examples)
TestBuildersLife = BuildersLife.TestCase
