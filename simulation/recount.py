"""Count again what happened, from a story alone.

    python -m simulation.recount FILE

Knows no farm, no database and nothing of `simulation.observers.ledger`, whose sums it must come to: it reads lines
of JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FINAL = frozenset(
    {
        "FULLYBUILT",
        "FAILEDTOBUILD",
        "MANUALDEPWAIT",
        "CHROOTWAIT",
        "SUPERSEDED",
        "FAILEDTOUPLOAD",
        "CANCELLED",
        "INFRAFAILED",
    }
)


@dataclass(slots=True)
class _Tally:
    """What was told so far."""

    now: float = 0.0
    dispatched: int = 0
    mixed_up: int = 0
    worst: float = 0.0  # seconds
    source_of: dict[int, str] = field(default_factory=dict)  # build → source
    state: dict[int, str] = field(default_factory=dict)  # build → state
    job_of: dict[int, int] = field(default_factory=dict)  # build → job
    waits_since: dict[int, float] = field(default_factory=dict)  # job → since when
    built: Counter[int] = field(default_factory=Counter)
    accepted: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))  # build → attempts
    made: dict[str, tuple[str, str]] = field(default_factory=dict)  # SHA-256 → source, attempt
    busy: float = 0.0  # seconds of all builders
    there: float = 0.0
    busy_since: dict[str, float] = field(default_factory=dict)
    there_since: dict[str, float] = field(default_factory=dict)

    def take(self, line: Mapping[str, Any]) -> None:
        """Take in one line."""
        self.now = line["at"]
        match line["what"]:
            case "registered" | "removed":
                self._builder(line)
            case "queued" | "waits" | "gone" | "build":
                self._build(line)
            case "dispatched" | "closed":
                self._attempt(line)
            case "made":
                self.made[line["sha256"]] = (line["source"], line["attempt"])
            case "accepted":
                self.accepted[line["build"]].add(line["attempt"])
                right = (self.source_of[line["build"]], line["attempt"])
                self.mixed_up += self.made.get(line["sha256"]) != right
            case _:
                pass

    def _builder(self, line: Mapping[str, Any]) -> None:
        if line["what"] == "registered":
            self.there_since[line["builder"]] = self.now
        else:
            self.there += self.now - self.there_since.pop(line["builder"])

    def _build(self, line: Mapping[str, Any]) -> None:
        build = line["build"]
        match line["what"]:
            case "queued":
                self.source_of[build], self.state[build] = line["source"], "NEEDSBUILD"
                self.job_of[build], self.waits_since[line["job"]] = line["job"], self.now
            case "waits":
                self.waits_since[line["job"]] = self.now
            case "gone":
                self.job_of.pop(build, None)
                self.waits_since.pop(line["job"], None)
            case _:
                self.state[build] = line["state"]
                self.built[build] += line["state"] == "FULLYBUILT"

    def _attempt(self, line: Mapping[str, Any]) -> None:
        if line["what"] == "dispatched":
            self.dispatched += 1
            self.worst = max(self.worst, self.now - self.waits_since.pop(line["job"]))
            self.busy_since[line["builder"]] = self.now
        else:
            self.busy += self.now - self.busy_since.pop(line["builder"])

    def sums(self) -> dict[str, float]:
        """Return what all of it comes to."""
        busy = self.busy + sum(self.now - since for since in self.busy_since.values())
        there = self.there + sum(self.now - since for since in self.there_since.values())
        worst = max((self.worst, *(self.now - since for since in self.waits_since.values())))
        twice = {build for build, times in self.built.items() if times > 1}
        twice |= {build for build, attempts in self.accepted.items() if len(attempts) > 1}
        lost = (build for build, state in self.state.items() if state not in FINAL and build not in self.job_of)
        return {
            "builds": len(self.state),
            "dispatched": self.dispatched,
            "lost": sum(1 for _ in lost),
            "mixed_up": self.mixed_up,
            "double_accepted": len(twice),
            "worst_wait_s": round(worst, 3),
            "utilisation": round(busy / there, 4) if there else 0.0,
        }


def recount(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the sums of a story: `dispatched`, `lost`, `mixed_up`, `double_accepted`, `worst_wait_s`, `utilisation`."""
    tally = _Tally()
    for line in lines:
        tally.take(line)
    return tally.sums()


def main() -> None:
    """Count what the files named on the command line tell."""
    for name in sys.argv[1:]:
        with Path(name).open(encoding="utf-8") as lines:
            print(json.dumps({"story": name, **recount(map(json.loads, lines))}))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
