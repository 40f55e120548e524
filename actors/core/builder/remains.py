"""What a closed attempt has left at the slave: aborted if it still runs, then cleaned.

Part of `actors.core.builder.slave_in_hand`, which says when an attempt is closed; nothing here is done before.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from actors.core.builder.orders import Order, Send
from actors.core.builder.session import Session
from actors.core.builder.stages import Stage, Step
from actors.core.timers import Timers
from protocol.messages import Abort, Clean, Rejected, SlaveState, Status


@dataclass(slots=True)
class Remains:
    """The attempt that was closed last."""

    session: Session
    timers: Timers
    attempt: UUID | None = None
    deadline: float = 0.0  #: second at which `overdue` has something to do
    unsure: bool = False  #: a `Build` is unanswered, so that IDLE does not mean idle yet
    _pressed: bool = False  # the second Abort was sent
    _request: int = 0  # number of the last Abort or Clean

    def held(self, status: Status) -> bool:
        """Return whether the slave, as `status` says, holds the attempt."""
        return self.attempt is not None and status.attempt == str(self.attempt)

    def discard(self, at: float, status: Status, out: list[Order], *, asked: bool = False) -> Step | None:
        """Bring the slave nearer to IDLE.

        Args:
            status: what the slave last said of itself.
            asked: `Build` was sent and not answered: the slave may begin at any time.

        Returns:
            The step that this is; None if the slave holds something else.
        """
        idle = status.state is SlaveState.IDLE
        self.unsure = asked and idle
        if idle and not asked:
            return Step.SLAVE_IDLE
        if not idle and not self.held(status):
            return None
        if status.state is SlaveState.WAITING:
            self.deadline, self._request = at + self.timers.clean, self.session.next_id()
            out.append(Send(Clean(self._request, str(self.attempt))))
            return Step.CLEAN
        self._press(at, out, again=False)
        return Step.ABORT

    def refused(self, answer: Rejected) -> bool:
        """Take the refusal of a request; return whether the slave's state is to be looked at again."""
        if answer.id != self._request:
            return False
        self.unsure = False
        return True

    def overdue(self, at: float, stage: Stage, out: list[Order]) -> str:
        """Press once more; return what the slave failed to do, in words, when there is no point in waiting on."""
        if stage is Stage.CLEANING:
            return f"did not become clean of attempt {self.attempt} within {self.timers.clean:g} seconds"
        if not self._pressed:
            self._press(at, out, again=True)
            return ""
        waited = self.timers.abort_polite + self.timers.abort_forced
        return f"did not abort attempt {self.attempt} within {waited:g} seconds"

    def _press(self, at: float, out: list[Order], *, again: bool) -> None:
        self._pressed = again
        self.deadline = at + (self.timers.abort_forced if again else self.timers.abort_polite)
        self._request = self.session.next_id()
        out.append(Send(Abort(self._request, str(self.attempt))))
