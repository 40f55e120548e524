"""Thespian's transport loop, with the same steps and less work in each.

As it comes, Thespian 4.0.1 makes a new selector in every turn of the loop, asks every open socket whether it is among
the ready ones, walks through all time limits and writes every message out as text for a log that nobody reads; and
every send costs a turn in which there is nothing to do.  That was a third of what a builder's whole cycle cost
(docs/adr/0090).  Nothing that travels is changed.  Every turn is a sign of life (`actors.system.signs`), and none takes
longer than until the next is due: that watches Thespian's admin, too, and an actor that hangs in a handler stops
turning.
"""

from __future__ import annotations

import math
import select
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from thespian.actors import WatchMessage
from thespian.system.timing import currentTime, timePeriodSeconds
from thespian.system.transport import (
    ReceiveEnvelope,
    Thespian__Run_Expired,
    Thespian__Run_HandlerResult,
    Thespian__Run_Terminated,
    TransmitIntent,
    TransmitOnly,
)
from thespian.system.transport.asyncTransportBase import exclusive_processing
from thespian.system.transport.TCPTransport import TCPIncomingPersistent, TCPTransport, _safeSocketShutdown, opsKey

from actors.system import signs

_BROKEN = select.POLLERR | select.POLLHUP

_send_data: Callable[[Any, Any], bool] = TCPTransport._next_XMIT_2  # noqa: SLF001 - Thespian's steps have no other names


def install() -> None:
    """Put this loop in the place of Thespian's; idempotent."""
    TCPTransport._runWithExpiry = _run_with_expiry  # noqa: SLF001
    TCPTransport._next_XMIT_2 = _send_and_await  # noqa: SLF001
    ReceiveEnvelope.identify = TransmitIntent.identify = _named


def _named(self: Any) -> str:  # noqa: ANN401 - Thespian is untyped
    """Say what is sent; all of its content, which Thespian says, is none of the log's business."""
    return type(self.message).__name__


def _send_and_await(self: Any, intent: Any) -> bool:  # noqa: ANN401
    """Send, and when all is sent wait for the acknowledgement: Thespian waits first until it could send more."""
    unfinished = _send_data(self, intent)
    if unfinished and intent.stage == self._XMITStepShutdownWrite:
        return bool(self._nextTransmitStep(intent))
    return unfinished


@dataclass(slots=True)
class _Ready:
    """What one wait brought."""

    reading: list[int] = field(default_factory=list)
    writing: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    idle: dict[int, Any] = field(default_factory=dict)  #: sockets between two messages, before the wait
    late: bool = False  #: a time limit may have passed


def _run_with_expiry(self: Any, handler: Any) -> Any:  # noqa: ANN401
    """Wait, receive, send and deliver until a timer is due or somebody ends it; `TCPTransport._runWithExpiry`."""
    sending_only = handler == TransmitOnly or isinstance(handler, TransmitOnly)
    if hasattr(self, "_aborting_run"):
        del self._aborting_run
    while not hasattr(self, "_aborting_run") or (
        self._aborting_run and (self._transmitIntents or self._waitingTransmits)
    ):
        if self.run_time.view(currentTime()).expired():
            break
        if sending_only and not self._transmitIntents and not self._waitingTransmits:
            return 0
        end = None if sending_only else _deliver(self, handler)
        if end is None:
            end = _turn(self, handler, sending_only=sending_only)
        if end is not None:
            return end
    return Thespian__Run_Terminated() if hasattr(self, "_aborting_run") else Thespian__Run_Expired()


def _turn(self: Any, handler: Any, *, sending_only: bool) -> Any:  # noqa: ANN401
    """Wait once, and do all that was waited for; return what ends the run, or None."""
    unsent = len(self._transmitIntents) + len(self._waitingTransmits)
    ready = _wait(self, sending_only=sending_only)
    with exclusive_processing(self):
        _handle(self, ready, sending_only=sending_only)
    done, self._finished_intents = self._finished_intents, []
    for intent, status in done:
        intent.tx_done(status)
    if not ready.reading and not ready.writing:
        return Thespian__Run_Expired() if not ready.bad and self.run_time.view().expired() else None
    if sending_only:
        left = len(self._transmitIntents) + len(self._waitingTransmits)
        return left if unsent > left or left == 0 else None
    return _deliver(self, handler)


def _deliver(self: Any, handler: Any) -> Any:  # noqa: ANN401
    """Hand over what was received; return what ends the run, or None."""
    while self._incomingEnvelopes:
        envelope = self._incomingEnvelopes.pop(0)
        if handler is None:
            return envelope
        result = Thespian__Run_HandlerResult(handler(envelope))
        if not result:
            return result
    return None


def _wait(self: Any, *, sending_only: bool) -> _Ready:  # noqa: ANN401
    """Wait until a descriptor is ready or a time limit passes."""
    due = signs.stamp()
    poll, ready, watched = select.poll(), _Ready(), set(self._watches)
    now = currentTime()
    limits = [self.run_time.view(now).remaining()]
    with exclusive_processing(self):
        for descriptor, intent in self._transmitIntents.items():
            limits.append(intent.delay(now))
            if not intent.backoffPause():
                poll.register(descriptor, select.POLLOUT if self._waitForSendable(intent) else select.POLLIN)
        limits += [intent.delay(now) for intent in self._waitingTransmits]
        for descriptor, incoming in self._incomingSockets.items():
            limits.append(incoming.delay(now))
            if not incoming.backoffPause():
                poll.register(descriptor, select.POLLIN)
        ready.idle = {place: one for one in self._openSockets.values() if (place := one.socket.fileno()) >= 0}
        for descriptor in (*ready.idle, *watched):
            poll.register(descriptor, select.POLLIN)
        if not sending_only:
            poll.register(self.socket, select.POLLIN)
    known = [timePeriodSeconds(limit) for limit in limits if limit is not None]
    seconds = max(0.0, min(known)) if known else None
    longest = seconds if due is None else due if seconds is None else min(due, seconds)
    events = poll.poll(None if longest is None else math.ceil(longest * 1000))
    signs.stamp()
    for descriptor, event in events:
        if event & select.POLLNVAL:
            ready.bad.append(descriptor)
        elif event & select.POLLIN or (event & _BROKEN and not _sends(self, descriptor)):
            ready.reading.append(descriptor)
        else:
            ready.writing.append(descriptor)
    ready.late = seconds is not None and currentTime() - now >= seconds
    return ready


def _sends(self: Any, descriptor: int) -> bool:  # noqa: ANN401
    intent = self._transmitIntents.get(descriptor)
    return intent is not None and self._waitForSendable(intent)


def _handle(self: Any, ready: _Ready, *, sending_only: bool) -> None:  # noqa: ANN401
    """Receive and send what is ready, then look at the time limits: what can still be done is done."""
    for descriptor in ready.bad:
        if descriptor in self._watches:  # closed by its actor, which says so when it next returns
            self._watches = [one for one in self._watches if one != descriptor]
        else:
            self._cancel_fd_ops(descriptor)
    for descriptor in ready.reading:
        _receive(self, descriptor, ready, sending_only=sending_only)
    for descriptor in ready.writing:
        self._processIntents(descriptor)
    if ready.late or self._waitingTransmits:
        self._processIntentTimeouts()
    if ready.late:
        _drop_old(self)
    told = [descriptor for descriptor in self._watches if descriptor in ready.reading]
    if told:
        self._incomingEnvelopes.append(ReceiveEnvelope(self.myAddress, WatchMessage(told)))


def _receive(self: Any, descriptor: int, ready: _Ready, *, sending_only: bool) -> None:  # noqa: ANN401
    """Take in what came on one descriptor."""
    if descriptor == self.socket.fileno() and not sending_only:
        self._acceptNewIncoming()
    elif descriptor in self._incomingSockets:
        _keep(self, descriptor, self._incomingSockets.pop(descriptor))
    elif self._processIntents(descriptor):
        if descriptor in self._transmitIntents and not _sends(self, descriptor) and _more(descriptor):
            self._processIntents(descriptor)
    elif (idle := ready.idle.get(descriptor)) is not None:
        current = self._openSockets.get(opsKey(idle.rmtaddr))
        if current is not None and current is not idle:  # the peer connected anew
            _safeSocketShutdown(idle)
        else:
            self._openSockets.pop(opsKey(idle.rmtaddr), None)
            _keep(self, descriptor, TCPIncomingPersistent(idle.rmtaddr, idle.socket))


def _keep(self: Any, descriptor: int, incoming: Any) -> None:  # noqa: ANN401
    """Read what there is of a message; keep it if that is not all."""
    unfinished = self._handlePossibleIncoming(incoming, descriptor, has_exclusive_flag=True)
    if unfinished and _more(descriptor):
        unfinished = self._handlePossibleIncoming(unfinished, descriptor, has_exclusive_flag=True)
    if unfinished:
        self._incomingSockets[unfinished.socket.fileno()] = unfinished


def _more(descriptor: int) -> bool:
    """Return whether the rest is there: Thespian reads the length of a message first, and then waits for it anew."""
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _drop_old(self: Any) -> None:  # noqa: ANN401
    """Give up what arrived half and then no more, and connections that nobody has used for long."""
    for descriptor in list(self._incomingSockets):
        _keep(self, -1, self._incomingSockets.pop(descriptor))
    for key, idle in list(self._openSockets.items()):
        if idle.expired():
            _safeSocketShutdown(idle)
            del self._openSockets[key]
