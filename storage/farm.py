"""What an operator says of the farm as a whole: pause, and the least scores that are given away; table `farm`.

What follows from it stands in `actors.core.dispatch.reasons`; the farm's identity is `storage.database.connection.farm_id`.
"""

from __future__ import annotations

from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import UnknownFamily
from storage.records import FarmState
from storage.words.jobs import check_score, check_why

_SQL = load("farm")


class FarmStates(Repository):
    """The one row of the farm."""

    def get(self) -> FarmState:
        """Return what holds now."""
        found = self._row(FarmState, _SQL["state"])
        return found if found is not None else FarmState()

    def pause(self, why: str) -> FarmState:
        """Give nothing away any more; what runs goes on.

        Args:
            why: shown with every waiting job; not empty.

        Raises:
            BadValue: no reason was given.
        """
        check_why(why)
        self._run(_SQL["pause"], why=why.strip())
        return self.get()

    def resume(self) -> FarmState:
        """Give jobs away again."""
        self._run(_SQL["pause"], why="")
        return self.get()

    def pause_for_now(self, why: str) -> FarmState:
        """Give nothing away for a reason that goes by itself; a pause that stands is left as it is."""
        self._run(_SQL["pause_for_now"], why=why)
        return self.get()

    def resume_from(self, why: str) -> FarmState:
        """Give jobs away again if nobody has paused the farm for another reason than `why`."""
        self._run(_SQL["resume_from"], why=why)
        return self.get()

    def set_minimum_score(self, score: int | None, family: str | None = None) -> FarmState:
        """Let jobs wait whose score without age is less; None: no such fence.

        Args:
            score: of the whole farm, or of `family`; the higher of the two counts.
            family: processor family.

        Raises:
            UnknownFamily: no such family.
            BadValue: out of range.
        """
        check_score(score)
        if family is None:
            self._run(_SQL["set_minimum_score"], score=score)
        elif not self._run(_SQL["set_family_score"], score=score, family=family):
            (known,) = self._values(_SQL["families"])
            raise UnknownFamily(family, known=known)
        return self.get()
