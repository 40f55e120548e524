"""The two tables of a builder's core, to be read aloud: what the actor is about, and how far an attempt has come.

`actors.core.builder.slave_in_hand` walks the first, `actors.core.builder.attempt.in_hand` the second; no stage is ever
changed but by a step that stands here.  An impossible step is a bug of ours: what a slave says is judged before it
becomes a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Stage(StrEnum):
    """What a builder's actor is about."""

    AWAY = "away"  #: no session, nothing in hand
    IDLE = "idle"  #: the slave is IDLE and clean
    ADOPTING = "adopting"  #: the slave holds an attempt; the queue actor is asked about it
    WORKING = "working"  #: an attempt is in hand, with or without a session; see `AttemptStage`
    DISCARDING = "discarding"  #: the slave aborts an attempt that is closed
    CLEANING = "cleaning"  #: the slave drops what is left of an attempt that is closed


class Step(StrEnum):
    """Why a builder's actor goes from one stage to another."""

    SLAVE_IDLE = "the slave is IDLE"
    SLAVE_HOLDS = "the slave holds an attempt"
    TAKE = "an attempt is taken in hand"
    ABORT = "a closed attempt must be aborted"
    CLEAN = "a closed attempt must be cleaned"
    PART = "the session is gone"


STAGES: dict[Stage, dict[Step, Stage]] = {
    Stage.AWAY: {
        Step.SLAVE_IDLE: Stage.IDLE,
        Step.SLAVE_HOLDS: Stage.ADOPTING,
        Step.TAKE: Stage.WORKING,
        Step.ABORT: Stage.DISCARDING,
        Step.CLEAN: Stage.CLEANING,
    },
    Stage.IDLE: {Step.TAKE: Stage.WORKING, Step.PART: Stage.AWAY},
    Stage.ADOPTING: {
        Step.TAKE: Stage.WORKING,
        Step.ABORT: Stage.DISCARDING,
        Step.CLEAN: Stage.CLEANING,
        Step.PART: Stage.AWAY,
    },
    Stage.WORKING: {
        Step.SLAVE_IDLE: Stage.IDLE,
        Step.ABORT: Stage.DISCARDING,
        Step.CLEAN: Stage.CLEANING,
        Step.PART: Stage.AWAY,
    },
    Stage.DISCARDING: {Step.SLAVE_IDLE: Stage.IDLE, Step.CLEAN: Stage.CLEANING, Step.PART: Stage.AWAY},
    Stage.CLEANING: {Step.SLAVE_IDLE: Stage.IDLE, Step.PART: Stage.AWAY},
}


class AttemptStage(StrEnum):
    """How far an attempt has come."""

    PREPARING = "preparing"  #: files are pushed
    REQUESTED = "requested"  #: `Build` was sent
    BUILDING = "building"
    STOPPING = "stopping"  #: `Abort` was sent; what ends it is known already
    GATHERING = "gathering"  #: results are fetched
    SEALING = "sealing"  #: it has ended; the rest of its log comes and is stored
    REPORTING = "reporting"  #: `Finished` was told and not yet acknowledged


class AttemptStep(StrEnum):
    """Why an attempt goes on."""

    PREPARED = "the slave has every file"
    AGAIN = "a new session, and the slave knows nothing of it"
    ACCEPTED = "the slave builds it"
    STOP = "it must be stopped"
    RESULTS = "the slave has results"
    ENDED = "it has ended"
    SEALED = "its log is stored"


ATTEMPT_STAGES: dict[AttemptStage, dict[AttemptStep, AttemptStage]] = {
    AttemptStage.PREPARING: {
        AttemptStep.PREPARED: AttemptStage.REQUESTED,
        AttemptStep.ACCEPTED: AttemptStage.BUILDING,
        AttemptStep.ENDED: AttemptStage.SEALING,
    },
    AttemptStage.REQUESTED: {
        AttemptStep.AGAIN: AttemptStage.PREPARING,
        AttemptStep.ACCEPTED: AttemptStage.BUILDING,
        AttemptStep.STOP: AttemptStage.STOPPING,
        AttemptStep.ENDED: AttemptStage.SEALING,
    },
    AttemptStage.BUILDING: {
        AttemptStep.STOP: AttemptStage.STOPPING,
        AttemptStep.RESULTS: AttemptStage.GATHERING,
        AttemptStep.ENDED: AttemptStage.SEALING,
    },
    AttemptStage.STOPPING: {AttemptStep.ENDED: AttemptStage.SEALING},
    AttemptStage.GATHERING: {AttemptStep.ENDED: AttemptStage.SEALING},
    AttemptStage.SEALING: {AttemptStep.SEALED: AttemptStage.REPORTING},
    AttemptStage.REPORTING: {},
}


class ImpossibleStep(Exception):
    """A step that its table does not know: a bug of the core.  Carries the story of what led to it."""

    def __init__(self, stage: Stage | AttemptStage, step: Step | AttemptStep, story: Sequence[str]) -> None:
        lines = "\n  ".join(story)
        super().__init__(f"while {stage.value}: no such step as {step.value!r}; what led to it:\n  {lines}")
        self.stage = stage
        self.step = step
        self.story = tuple(story)


def next_stage(stage: Stage, step: Step, story: Sequence[str]) -> Stage:
    """Return where `step` leads; raise `ImpossibleStep` with `story`."""
    try:
        return STAGES[stage][step]
    except KeyError:
        raise ImpossibleStep(stage, step, story) from None


def next_attempt_stage(stage: AttemptStage, step: AttemptStep, story: Sequence[str]) -> AttemptStage:
    """Return where `step` leads; raise `ImpossibleStep` with `story`."""
    try:
        return ATTEMPT_STAGES[stage][step]
    except KeyError:
        raise ImpossibleStep(stage, step, story) from None
