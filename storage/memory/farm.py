"""The in-memory twin of `storage.farm`."""

from __future__ import annotations

from dataclasses import replace

from storage.errors import UnknownFamily
from storage.memory.database import MemoryFarm
from storage.records import FamilyScore, FarmState
from storage.words.jobs import check_score, check_why


class MemoryFarmStates:
    """The twin of `storage.farm.FarmStates`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def get(self) -> FarmState:
        """See `FarmStates.get`."""
        state: FarmState = self._farm.table("farm").get(1, FarmState())
        return state

    def pause(self, why: str) -> FarmState:
        """See `FarmStates.pause`."""
        check_why(why)
        return self._put(replace(self.get(), paused=why.strip()))

    def resume(self) -> FarmState:
        """See `FarmStates.resume`."""
        return self._put(replace(self.get(), paused=""))

    def pause_for_now(self, why: str) -> FarmState:
        """See `FarmStates.pause_for_now`."""
        state = self.get()
        return state if state.paused else self._put(replace(state, paused=why))

    def resume_from(self, why: str) -> FarmState:
        """See `FarmStates.resume_from`."""
        state = self.get()
        return self._put(replace(state, paused="")) if state.paused == why else state

    def set_minimum_score(self, score: int | None, family: str | None = None) -> FarmState:
        """See `FarmStates.set_minimum_score`."""
        check_score(score)
        state = self.get()
        if family is None:
            return self._put(replace(state, minimum_score=score))
        known = self._farm.table("processor_family")
        if family not in known:
            raise UnknownFamily(family, known=sorted(known))
        others = {one.family: one.score for one in state.family_scores if one.family != family}
        scores = others if score is None else others | {family: score}
        return self._put(replace(state, family_scores=tuple(FamilyScore(*one) for one in sorted(scores.items()))))

    def _put(self, state: FarmState) -> FarmState:
        self._farm.put("farm", 1, state)
        return state
