"""Why a job is not given away: codes for machines, words for people (dispatch-rules §1).

The rules themselves stand in `actors.core.dispatch.job_rules` (of a job alone) and `actors.core.dispatch.pair_rules`
(of a job and a builder).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class ReasonCode(StrEnum):
    """Why a job is not given away, for machines; the names are those of dispatch-rules §1."""

    # of a job, before any builder is looked at
    NO_CHROOT = "no_chroot"
    POCKET_CLOSED = "pocket_closed"
    SUPERSEDED = "superseded"
    ARCHIVE_DISABLED = "archive_disabled"
    BELOW_MINIMUM_SCORE = "below_minimum_score"
    FILES_MISSING = "files_missing"
    COOLING_DOWN = "cooling_down"
    DISPATCH_PAUSED = "dispatch_paused"
    NO_CAPABLE_BUILDER = "no_capable_builder"
    # of a job and a builder
    BUILDER_NOT_OK = "builder_not_ok"
    BUILDER_QUARANTINED = "builder_quarantined"
    BUILDER_MANUAL = "builder_manual"
    ASSIGNED_ELSEWHERE = "assigned_elsewhere"
    FAMILY_MISMATCH = "family_mismatch"
    TRUST_MISMATCH = "trust_mismatch"
    TAGS_MISSING = "tags_missing"
    PAIR_EXCLUDED = "pair_excluded"
    BUILDER_DISCONNECTED = "builder_disconnected"
    BUILDER_BUSY = "builder_busy"
    BUILDER_CLEANING = "builder_cleaning"
    BUILDER_FROZEN = "builder_frozen"


Fact = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why not: a code for machines, words for people, and what the words were made of."""

    code: ReasonCode
    words: str
    facts: tuple[tuple[str, Fact], ...] = ()  #: name → value, in the order of the words


def moment(at: datetime) -> str:
    """Return a time as reasons write it."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


_MOST_NAMED: Final = 5  #: names in the words; all of them are in the facts


def listed(names: Iterable[str]) -> str:
    """Return the first few of `names`, and how many more there are."""
    names = list(names)
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
