"""The time of day of the master's machine, and so of its database: it may be set, and then it jumps."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from simulation.environment.agenda import Agenda

EPOCH: Final = datetime(2026, 1, 5, tzinfo=UTC)


class Clock:
    """Goes with the agenda, and is set now and then."""

    def __init__(self, agenda: Agenda) -> None:
        """Begin at `EPOCH`."""
        self._agenda = agenda
        self._jump = timedelta(0)
        self._jumped_at = -math.inf
        self._read_at, self._read = -1.0, EPOCH  # what it said last, and in which second: it is read often

    def time_of_day(self) -> datetime:
        """Return the time of day."""
        now = self._agenda.now
        if self._read_at != now:
            self._read_at, self._read = now, EPOCH + self._jump + timedelta(seconds=now)
        return self._read

    def jump(self, by: timedelta) -> None:
        """Set it."""
        self._jump += by
        self._read_at = -1.0
        self._jumped_at = self._agenda.now

    def jumped_since(self, seconds: float) -> bool:
        """Return whether somebody set it within the last so many seconds."""
        return self._agenda.now - self._jumped_at < seconds
