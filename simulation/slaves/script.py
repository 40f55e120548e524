"""What a simulated slave does: how its builds go (`Conduct`) and where it misbehaves (`Twist`).

    Script(conducts=(Conduct(outcome=WireOutcome.DEPFAIL, dependencies=("libfoo-dev",)),))
    Script(twists=(Twist(on=Build, act=Act.DROP),))                     # goes away instead of hearing the first `Build`
    Script(twists=(Twist(on=Status, act=Act.LIE, lie=wrong_attempt, times=99),))

A twist lies in wait for a kind of message: one that the slave hears (`Hello`, `Build`, …) or one that it says
(`Status`, `FetchData`, …); `simulation.slaves.lies` has what may be said instead.  All values; the slave of `simulation.slaves.buildd.slave` acts on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from protocol.messages import Phase, SlaveMessage, WireOutcome

PHASES = (Phase.UNPACK, Phase.UPDATE, Phase.FETCH_DEPS, Phase.INSTALL_DEPS, Phase.BUILD, Phase.COLLECT)


@dataclass(frozen=True, slots=True)
class Conduct:
    """How one build goes."""

    outcome: WireOutcome = WireOutcome.OK
    text: str = ""
    results: dict[str, bytes] | None = None  #: by filename; None: what a build of that source would leave behind
    dependencies: tuple[str, ...] = ()
    log: bytes = b"simulated build\n"  #: written in equal parts, one a phase
    phases: tuple[Phase, ...] = PHASES
    seconds: float = 0.0  #: of the whole build
    hangs: bool = False  #: never ends by itself: `SimulatedSlave.finish` or an abort ends it
    deaf: bool = False  #: an abort is accepted, and nothing ends


class Act(StrEnum):
    """What happens instead of the message that a twist waited for."""

    DROP = "drop"  #: the connection is closed
    DIE = "die"  #: every connection is closed and nobody listens any more
    MUTE = "mute"  #: the message is lost, nothing else
    GARBAGE = "garbage"  #: bytes that are no frame
    OVERSIZED = "oversized"  #: a frame is announced that is larger than any may be
    ENDLESS = "endless"  #: a frame is announced that never becomes whole, and its bytes go on arriving
    FLOOD = "flood"  #: the same unasked-for answer again and again
    DELAY = "delay"  #: it is heard or said `seconds` later
    LIE = "lie"  #: `lie` changes what is said


@dataclass(slots=True)
class Twist:
    """One misbehaviour; counts itself down."""

    on: type[Any]  #: a class of `protocol.messages`, heard or said
    act: Act
    after: int = 0  #: so many of them pass first
    times: int = 1
    seconds: float = 0.0  #: of a DELAY
    lie: Callable[[Any], SlaveMessage] | None = None  #: of a LIE

    def springs(self, message: object) -> bool:
        """Return whether this twist acts on `message`, and count."""
        if type(message) is not self.on or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Script:
    """All that one simulated slave does."""

    conducts: tuple[Conduct, ...] = (Conduct(),)  #: one a build, in order; the last one for all that follow
    by_dsc: dict[str, Conduct] = field(default_factory=dict)  #: conduct by name of the `.dsc`; goes before `conducts`
    twists: tuple[Twist, ...] = ()
    has_everything: bool = False  #: every `EnsurePresent` is answered with yes: nothing is ever pushed
    cache_limit: int = 256 * 1024 * 1024  #: bytes of pushed files; beyond, a push fails with `no_space`

    def conduct(self, dsc: str) -> Conduct:
        """Return how the next build, of `dsc`, goes."""
        if dsc in self.by_dsc:
            return self.by_dsc[dsc]
        first, *rest = self.conducts
        if rest:
            self.conducts = tuple(rest)
        return first

    def twist(self, message: object) -> Twist | None:
        """Return the twist that acts on `message`, if one does."""
        return next((twist for twist in self.twists if twist.springs(message)), None)
