"""Base shell of every actor: crash once, tell the parent, describe yourself.

Thespian calls a handler that raised a second time and then blames the sender; an actor of the farm dies instead, and
says why to its parent (`Crashed`).  A subclass overrides the hooks (`begin`, `receive`, `readable`, `woken`,
`described`, `story`, `wrap_cores`, `occupation`, `ended`) and never `receiveMessage`.  What a crash means is decided in
`actors.core.supervision.lives`, not here.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

from actors.addressed import Here, QueueMoved, SettingsChanged, Start
from actors.console.examined import Due, Examined
from actors.console.orders import ConsoleOrder, Injected
from actors.messages import Crash, Crashed, Describe, Description

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from actors.settings import Settings

#: Made before the first fork: they keep the handlers of the process that started the farm, where a logger made in an
#: actor's process would send every record as a message.
_FARM_LOG = logging.getLogger("buildd_master")
_LOG = logging.getLogger("buildd_master.actors")


class InjectedCrash(Exception):
    """Raised in a handler because the console said so."""


class FarmActor(Actor):  # type: ignore[misc]  # Thespian is untyped
    """An actor that dies of its first error and tells its parent why.

    Attributes (set before `begin` is called):
        name, kind, generation: as in `Start`.
        settings: the farm's, kept up to date.
        parent: address of the actor that sent `Start`.
        supervisor: address of the supervisor; None in the supervisor.
        queue: address of the queue actor, kept up to date; None unless this is a builder's actor.
        watched: file descriptors to be told of (`readable`); change it freely, it is handed to Thespian after every
            message.  Only readability: register sockets in an own epoll and watch that for more.
        log: logger of this actor; say little.
    """

    name: str
    kind: str
    generation: int
    settings: Settings
    parent: ActorAddress
    supervisor: ActorAddress | None
    queue: ActorAddress | None
    log: logging.LoggerAdapter[logging.Logger]

    obeys_sigterm = False
    freezable = False
    """Whether the debug console may hold the mailbox."""

    exit_within = 2.0
    """Seconds to send what is still unsent when exiting; a peer that is gone must not keep this process alive."""

    def __init__(self) -> None:
        super().__init__()
        if not self.obeys_sigterm:
            # A signal to all processes of the farm is obeyed by its root, which ends the others in order.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.name, self.kind, self.generation = "", type(self).__name__, 0
        self.supervisor = self.queue = None
        self.watched: set[int] = set()
        self.log = _ActorLog(_LOG, self.kind, self.about)
        self._dying = False
        self._born = time.monotonic()
        self._messages_in = self._messages_out = 0
        self._last_message = ""
        self._examined: Examined | None = None

    # --- hooks ------------------------------------------------------------------------------------

    def begin(self, start: Start) -> None:
        """Take up work; the first thing called, once."""

    def receive(self, message: object, sender: ActorAddress) -> None:
        """Act on a message of `actors.messages`, or on `QueueMoved` and `SettingsChanged` of `actors.addressed`."""

    def readable(self, descriptors: tuple[int, ...]) -> None:
        """Act on watched file descriptors that became readable."""

    def woken(self, payload: object) -> None:
        """Act on a timer of `wake_after`; several that fall due together come in reverse order."""

    def child_gone(self, address: ActorAddress) -> None:
        """Act on the end of a child's process; may come twice for one child."""

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what this actor is thinking, for `Describe`: names and values for people, in order."""
        return ()

    def story(self) -> Sequence[str]:
        """Return what the core heard and answered lately, with times, the oldest first."""
        return ()

    def wrap_cores(self, wrap: Callable[[str, Any], Any]) -> None:
        """Put `wrap(name, core)` in the place of every core: it may be the core itself."""

    def occupation(self) -> str:
        """Return what a crash now would interrupt, as `attempt <uuid>`; empty if nothing.  Must not raise."""
        return ""

    def about(self) -> Mapping[str, object]:
        """Return what a line logged now is about, as fields of `host.journal`.  Must not raise."""
        return {}

    def ended(self) -> None:
        """Let go of what is held: the farm stops, or `end` was called.  Not called after a crash."""

    # --- for subclasses ---------------------------------------------------------------------------

    def tell(self, address: ActorAddress, message: object) -> None:
        """Send `message`; returns at once.  Whether it arrives is known only from an answer."""
        self._messages_out += 1
        if self._examined is not None:
            self._examined.sent(message, address)
        self.send(address, message)

    def wake_after(self, seconds: float, payload: object = None) -> None:
        """Have `woken(payload)` called; timers can't be taken back, so let the payload say whether it still counts."""
        self.wakeupAfter(timedelta(seconds=max(0.0, seconds)), payload)

    def end(self) -> None:
        """Exit on purpose, after this message, once everything told is sent."""
        self.send(self.myAddress, ActorExitRequest(recursive=True))

    @property
    def pid(self) -> int:
        """Return the number of this process."""
        return os.getpid()

    @property
    def parent_pid(self) -> int:
        """Return the number of the process that forked this one."""
        return os.getppid()

    # --- Thespian's side --------------------------------------------------------------------------

    def receiveMessage(self, message: object, sender: ActorAddress) -> ThespianWatch | None:  # noqa: N802
        """Hand `message` to its hook; an error ends this actor, and nothing is handled after it."""
        if self._dying:
            return None
        try:
            if self._examined is None or not self._examined.holds(message, _inner(message), sender):
                self.handle(message, sender)
            frozen = self._examined is not None and self._examine()
        except Exception as error:  # noqa: BLE001 - the one place: an actor dies of its first error
            self._die(error)
            return None
        return ThespianWatch([] if frozen else list(self.watched))

    def handle(self, message: object, sender: ActorAddress) -> None:
        """Hand `message` to its hook, now."""
        match message:
            case WatchMessage():
                self.readable(tuple(message.ready))
            case WakeupMessage(payload=Due()):
                if self._examined is not None:
                    self._examined.woken(message.payload)
            case WakeupMessage():
                self.woken(message.payload)
            case ActorExitRequest():
                self._dying = True
                self._exit_soon()
                if self._examined is not None:
                    self._examined.ended("the actor exits")
                self.ended()
            case ChildActorExited():
                self.child_gone(message.childAddress)
            case PoisonMessage() | DeadEnvelope():
                self.log.warning("undeliverable: %s", type(message).__name__)
            case Injected():
                self.log.warning("injected by %s: %r", message.who, message.message)
                self.handle(message.message, sender if message.sender is None else message.sender)
            case Describe():
                self.tell(sender, self._description())
            case ConsoleOrder():
                self._examined = self._examined or Examined(self)
                self._examined.obey(message, sender)
            case _:
                self._messages_in += 1
                self._last_message = type(message).__name__
                if self._examined is not None:
                    self._examined.handled(message, sender)
                self._handle_farm_message(message, sender)

    def _handle_farm_message(self, message: object, sender: ActorAddress) -> None:
        match message:
            case Start():
                self._start(message, sender)
            case Crash():
                raise InjectedCrash(message.reason)
            case QueueMoved():
                self.queue = message.queue
                self.receive(message, sender)
            case SettingsChanged():
                self.settings = message.settings
                set_log_level(message.settings.log_level)
                self.receive(message, sender)
            case _:
                self.receive(message, sender)

    def _start(self, start: Start, sender: ActorAddress) -> None:
        if self.name:
            return  # it came twice
        self.name, self.kind, self.generation = start.name, start.kind, start.generation
        self.settings, self.parent = start.settings, sender
        self.supervisor, self.queue = start.supervisor, start.queue
        self.log = _ActorLog(_LOG, start.name, self.about)
        self.begin(start)
        self.tell(sender, Here(self.name, self.kind, self.generation, self.pid, self.myAddress))

    def _description(self) -> Description:
        return Description(
            name=self.name,
            kind=self.kind,
            pid=self.pid,
            generation=self.generation,
            uptime=time.monotonic() - self._born,
            messages_in=self._messages_in,
            messages_out=self._messages_out,
            last_message=self._last_message,
            state=self.described(),
            frozen="" if self._examined is None else self._examined.words(),
        )

    def _examine(self) -> bool:
        """Look after what the console does here; return whether this actor is frozen."""
        if self._examined is None:
            return False
        self._examined.turned()
        frozen = self._examined.frozen
        if self._examined.over:
            self._examined = None
        return frozen

    def _die(self, error: Exception) -> None:
        self._dying = True
        self._exit_soon()
        self.end()  # whatever goes wrong below, this process ends
        if self._examined is not None:
            self._examined.ended(f"it crashed: {error}")
        story = "".join(traceback.format_exception(error))
        self.log.error("crashed, generation %d\n%s", self.generation, story)
        if self.name:
            reason = crash_reason(error, self.occupation())
            self.send(self.parent, Crashed(self.name, self.generation, reason, story[-8000:]))

    def _exit_soon(self) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self.exit_within)


def _inner(message: object) -> object:
    """Return the message that the console wrapped, or the message."""
    return message.message if isinstance(message, Injected) else message


def crash_reason(error: BaseException, occupation: str = "") -> str:
    """Return one line for fail notes: the traceback's last line, where in our code, and during what."""
    said = str(error).strip().splitlines()
    words = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"{words[:500]}{where}" + (f", during {occupation}" if occupation else "")


def set_log_level(level: str) -> None:
    """Let this process log what is at least of `level`."""
    _FARM_LOG.setLevel(level)


class _ActorLog(logging.LoggerAdapter[logging.Logger]):
    """Puts the actor's name before every line, and into the record what the line is about (`host.journal`)."""

    def __init__(self, logger: logging.Logger, name: str, about: Callable[[], Mapping[str, object]]) -> None:
        super().__init__(logger)
        self._name, self._about = name, about

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        fields = {"actor": self._name, **self._about(), **(kwargs.get("extra") or {})}
        return f"{self._name}: {msg}", {**kwargs, "extra": fields}
