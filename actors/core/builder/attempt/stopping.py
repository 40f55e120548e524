"""A build that the slave is to stop: `Abort` once, once more, and then it is not waited for.

Part of `actors.core.builder.attempt.in_hand`, for the stage STOPPING.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.core.builder.attempt.ending import Ending
from actors.core.builder.orders import Order, Send
from actors.core.builder.session import Session
from protocol.messages import Abort


@dataclass(slots=True)
class Stopping:
    """What ends it is known already."""

    attempt: str  #: as the wire spells it
    ending: Ending  #: how it will have ended, once the slave has stopped it
    deadline: float  #: second at which `overdue` has something to do
    _pressed: bool = False  # the second Abort was sent

    def press(self, at: float, session: Session, out: list[Order]) -> None:
        """Tell the slave, if there is a session; also after a reconnect."""
        if session.open:
            timers = session.timers
            self.deadline = at + (timers.abort_forced if self._pressed else timers.abort_polite)
            out.append(Send(Abort(session.next_id(), self.attempt)))

    def overdue(self, at: float, session: Session, out: list[Order]) -> Ending | None:
        """Press once more; then return how it ended, with a slave that can't be believed."""
        if not self._pressed:
            self._pressed = True
            self.press(at, session, out)
            return None
        waited = session.timers.abort_polite + session.timers.abort_forced
        text = f"{self.ending.text}; the slave did not stop it within {waited:g} seconds"
        return Ending(self.ending.outcome, text, believed=False)
