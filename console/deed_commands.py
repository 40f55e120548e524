"""Commands that change something: every deed is in the event log (`console.deeds`) before it is done.

Never ends a farm: the supervisor, root of all actors, is neither crashed nor killed.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

from actors.console.examined import LONGEST
from actors.console.message_text import read_message, spell
from actors.console.orders import Freeze, Held, StepOn, Thaw
from actors.messages import Crash, Describe
from console.line import BadCommand, Line
from console.looking import find

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.addressed import Here
    from actors.console.attach import Attached
    from console.deeds import Deeds
    from console.screen import Screen
    from console.tapping import Tapping

FREEZE_SECONDS: Final = 30.0  #: unless told otherwise; a slave waits 45 s for a master that says nothing
SHORTEST: Final = 1.0  #: seconds; the row must not be over before the actor has heard of it
_REPLY_SECONDS: Final = 3.0
_ENDS_THE_FARM: Final = "the supervisor is the root of all actors; the console never ends a farm"

#: what stands after each command
ARGUMENTS: Final = {
    "send": "NAME Message(field=…)",
    "ask": "NAME Message(field=…)",
    "freeze": "NAME [SECONDS]",
    "thaw": "NAME",
    "step": "NAME",
    "crash": "NAME [REASON]",
    "kill": "NAME",
}


class DeedCommands:
    """What a person may do to a running farm."""

    def __init__(
        self, farm: Attached, screen: Screen, taps: Tapping, deeds: Deeds, reason: Callable[[Line], str]
    ) -> None:
        """Change `farm`.

        Args:
            farm: which is running.
            screen: for the answers.
            taps: for replies.
            deeds: the event log.
            reason: returns the reason of a deed; raises BadCommand if there is none, or nothing may be changed.
        """
        self._farm, self._screen, self._taps, self._deeds, self._reason = farm, screen, taps, deeds, reason

    def do_send(self, line: Line) -> None:
        """Have the actor handle a message, as if the one that it concerns had sent it.

        Fields are checked against their types, and nonsense is refused; `help MESSAGE` lists them.
        """
        here, message, sender = self._spelt(line)
        self._deed(here, f"send {spell(message)}", line)
        self._inject(here, message, sender)
        self._screen.report(
            line, f"sent to {here.name}, generation {here.generation}: {spell(message)}", sent=spell(message)
        )

    def do_ask(self, line: Line) -> int:
        """Send a message, and wait for the reply."""
        here, message, sender = self._spelt(line)
        if isinstance(message, Describe):
            raise BadCommand(f"`show {here.name}` asks for that, and changes nothing")
        self._deed(here, f"ask {spell(message)}", line)
        said = self._taps.reply(here, message, sender, lambda: self._inject(here, message, sender), _REPLY_SECONDS)
        if not said:
            self._screen.report(line, f"{here.name} was sent it, and gave no reply in {_REPLY_SECONDS:g} s", reply=None)
            return 1
        self._screen.report(line, said, reply=said)
        return 0

    def do_freeze(self, line: Line) -> None:
        """Hold the mailbox of a builder's actor.

        For 30 s unless told otherwise, and 600 s at most.  It reads nothing from its slave, which builds on; it gets no
        job (`builder_frozen`), and thaws by itself.
        """
        name, rest = line.name()
        here = find(self._farm, name)
        seconds = _seconds(rest)
        if here.kind != "builder":
            raise BadCommand(f"{name} is no builder's actor: only those can be frozen; `farm pause` holds the queue")
        self._deeds.freeze(here, seconds, self._reason(line))
        held = self._ask(here, Freeze(seconds, self._farm.who))
        self._screen.report(
            line, f"{name} is frozen for {seconds:g} s; `thaw {name}` ends that", frozen_seconds=held.seconds
        )

    def do_thaw(self, line: Line) -> None:
        """Have the actor handle what was held, and everything again from now on."""
        here = find(self._farm, line.alone())
        if here.kind != "builder":
            raise BadCommand(f"{here.name} is no builder's actor, and never frozen")
        got_nothing = self._deeds.thaw(here, self._reason(line))
        held = self._answer(here, Thaw(self._farm.who))
        if held.refused and not got_nothing:
            raise BadCommand(f"{here.name}: {held.refused}")
        if held.refused:  # the life that was frozen is over, and so is now what is left of it
            self._screen.report(line, f"{here.name} is not frozen in this life; it gets jobs again", handled=None)
        else:
            self._screen.report(line, f"{here.name} goes on; held were {held.handled}", handled=held.handled)

    def do_step(self, line: Line) -> None:
        """Have a frozen actor handle the oldest message that is held, or what its slave said."""
        here = find(self._farm, line.alone())
        self._deed(here, "step", line)
        held = self._ask(here, StepOn(self._farm.who))
        waiting = ", ".join(held.waiting) or "nothing"
        words = f"{here.name} handled {held.handled}; held: {waiting}"
        self._screen.report(line, words, handled=held.handled, held=held.waiting)

    def do_crash(self, line: Line) -> None:
        """Have the actor raise, as a bug would: fail notes, restart, adoption."""
        name, rest = line.name()
        here = self._mortal(name)
        if not (rest or " ").isprintable():  # it goes into fail notes, and through them to everybody's terminal
            raise BadCommand(f"{rest!r} is no reason that a person can read")
        message = Crash(rest) if rest else Crash()
        self._deed(here, f"crash: {message.reason}", line)
        self._inject(here, message, None)
        self._screen.report(line, f"{name}, generation {here.generation}, was made to crash: {message.reason}")

    def do_kill(self, line: Line) -> None:
        """Kill the actor's process (-9), as the kernel might."""
        here = self._mortal(line.alone())
        try:
            handle = os.pidfd_open(here.pid)
        except OSError as error:
            raise BadCommand(f"pid {here.pid} of {here.name} is gone: {error.strerror}") from error
        try:
            if find(self._farm, here.name) != here:  # else the number may be another's by now
                raise BadCommand(f"{here.name} has just been started again; nothing was killed")
            self._deed(here, f"kill -9 {here.pid}", line)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except OSError as error:
            raise BadCommand(f"pid {here.pid} of {here.name} can't be killed: {error.strerror}") from error
        finally:
            os.close(handle)
        self._screen.report(line, f"{here.name}, generation {here.generation}, pid {here.pid}, was killed")

    def _mortal(self, name: str) -> Here:
        here = find(self._farm, name)
        if here.kind == "supervisor":
            raise BadCommand(_ENDS_THE_FARM)
        return here

    def _spelt(self, line: Line) -> tuple[Here, object, Here | None]:
        """Return who is spoken to, what is said, and who seems to say it."""
        name, text = line.name()
        here = find(self._farm, name)
        if not text:
            raise BadCommand(f"{line.command} NAME Message(field=…): the message is missing")
        message = read_message(text)
        if isinstance(message, Crash):
            self._mortal(name)
        # Who speaks of a builder is that builder's actor, unless it is spoken to: answers must reach it, not us.
        speaker = getattr(message, "builder", None)
        everybody = {one.name: one for one in self._farm.census().here}
        _check_generation(message, everybody.get(speaker) if isinstance(speaker, str) else None)
        others = {one: there for one, there in everybody.items() if one != name}
        sender = others.get(speaker) if isinstance(speaker, str) else None
        return here, message, sender or others.get("queue")

    def _inject(self, here: Here, message: object, sender: Here | None) -> None:
        if not self._farm.inject(here, message, sender):
            raise BadCommand(f"{here.name} (pid {here.pid}) does not take messages now; it may take this one later")

    def _ask(self, here: Here, order: Freeze | StepOn) -> Held:
        held = self._answer(here, order)
        if held.refused:
            raise BadCommand(f"{here.name}: {held.refused}")
        return held

    def _answer(self, here: Here, order: Freeze | Thaw | StepOn) -> Held:
        held = self._farm.ask(here, order, Held)
        if held is None:
            raise BadCommand(f"{here.name} (pid {here.pid}) does not answer; it may do so later")
        return held

    def _deed(self, here: Here, what: str, line: Line) -> None:
        """Write down what is about to be done."""
        self._deeds.note(here, what, self._reason(line))


def _check_generation(message: object, builder: Here | None) -> None:
    """Refuse what would make everybody deaf to a builder: who has heard a later life drops what this one says."""
    generation = getattr(message, "generation", 0)
    if builder is not None and generation > builder.generation:
        raise BadCommand(f"{builder.name} lives in generation {builder.generation}; {generation} is yet to come")


def _seconds(text: str) -> float:
    if not text:
        return FREEZE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not SHORTEST <= seconds <= LONGEST:
        raise BadCommand(f"for how long? {text!r} is no number of seconds from {SHORTEST:g} to {LONGEST:g}")
    return seconds
