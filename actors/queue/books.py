"""What outlives a turn of the queue actor: its cores, and how each builder spoke last."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.core.attempts.outbox import Outbox
from actors.core.attempts.outbox_events import BuilderSilent
from actors.core.attempts.verdict import VerdictRules
from actors.core.dependencies.agenda import Agenda
from actors.core.dependencies.waits import Doubt
from actors.core.dispatch.matcher import Dispatch
from storage.records import Limits


@dataclass(slots=True)
class Books:
    """The cores, and in which life and session each builder spoke last."""

    limits: Limits  #: of builds, from the settings
    rules: VerdictRules  #: from the settings
    outbox: Outbox
    dispatch: Dispatch = field(default_factory=Dispatch)
    agenda: Agenda = field(default_factory=Agenda)  #: builds that wait for dependencies
    doubt: Doubt = field(default_factory=Doubt)  #: of dependencies that were there already
    generation: dict[str, int] = field(default_factory=dict)  #: of the builder's actor
    session: dict[str, int] = field(default_factory=dict)  #: session epoch in which it was ready

    def life(self, builder: str) -> int:
        """Return the generation of the builder's actor that spoke last; 0: none has."""
        return self.generation.get(builder, 0)

    def forget_others(self, registered: set[str]) -> None:
        """Forget the builders that are no longer registered: nobody answers for them."""
        for name in self.generation.keys() - registered:
            self.outbox.handle(BuilderSilent(name))
            del self.generation[name]
            self.session.pop(name, None)
