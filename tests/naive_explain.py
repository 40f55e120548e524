"""`explain` once more, written from the text of dispatch-rules §1-2 (and ADR 0044, where that leaves a choice) alone.

It knows nothing of the matcher and of its queries: every table is read as it is, everything is found by walking through
it, and nothing is kept in order.  Slow, and easy to read beside the text.  `tests/test_naive_explain.py` holds it
against what the commands say.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from fractions import Fraction
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Row = dict[str, Any]

URGENCY = {"low": 5, "medium": 10, "high": 15, "emergency": 20}
COMPONENT = {"multiverse": 0, "universe": 250, "restricted": 750, "main": 1000, "partner": 1250}
POCKET = {"BACKPORTS": 0, "RELEASE": 1500, "PROPOSED": 3000, "UPDATES": 3000, "SECURITY": 4500}
OPEN = {
    "EXPERIMENTAL": ["RELEASE", "PROPOSED", "BACKPORTS"],
    "DEVELOPMENT": ["RELEASE", "PROPOSED", "BACKPORTS"],
    "FROZEN": ["RELEASE", "SECURITY", "UPDATES", "PROPOSED", "BACKPORTS"],
    "CURRENT": ["SECURITY", "UPDATES", "PROPOSED", "BACKPORTS"],
    "SUPPORTED": ["SECURITY", "UPDATES", "PROPOSED", "BACKPORTS"],
    "OBSOLETE": [],
}
BUSY = ["PREPARING", "BUILDING", "GATHERING", "ABORTING"]
TABLES = [
    *("archive", "attempt", "build", "builder", "builder_runtime", "buildqueue", "chroot", "distribution"),
    *("distroarchseries", "distroseries", "farm", "library_content", "person", "processor_family", "publication"),
    *("source_file", "source_release"),
]


class NaiveFarm:
    """All rows of the farm as of one moment, and what the rules say of them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.tables: dict[str, list[Row]] = {}
        with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for table in TABLES:
                self.tables[table] = cursor.execute(
                    sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
                ).fetchall()
            now = cursor.execute("SELECT now() AS now").fetchone()
        assert now is not None
        self.now: datetime = now["now"]
        self.jobs = [self.join(row) for row in self.tables["buildqueue"]]
        self.builders = sorted((self.look_at(row) for row in self.tables["builder"]), key=lambda one: one["name"])
        self.running = Counter(
            job["share_of"] for job in self.jobs if job["builder"] is not None and job["share_of"] is not None
        )
        self.gets = self.match()  #: builder → number of the job that goes to it in this very moment

    # --- rows, side by side -----------------------------------------------------------------------

    def find(self, table: str, column: str, value: object) -> Row | None:
        for row in self.tables[table]:
            if row[column] == value:
                return row
        return None

    def the(self, table: str, column: str, value: object) -> Row:
        row = self.find(table, column, value)
        assert row is not None, (table, column, value)
        return row

    def join(self, job: Row) -> Row:
        """Lay everything beside a row of `buildqueue` that the rules look at."""
        build = self.the("build", "id", job["build"])
        archive = self.the("archive", "id", build["archive"])
        owner = self.find("person", "id", archive["owner"])
        arch = self.the("distroarchseries", "id", build["distroarchseries"])
        series = self.the("distroseries", "id", arch["distroseries"])
        source = self.the("source_release", "id", build["source"])
        trusted = archive["purpose"] != "PPA"
        places = [
            place
            for place in self.tables["publication"]
            if (place["source"], place["archive"], place["distroseries"]) == (source["id"], archive["id"], series["id"])
        ]
        live = [place for place in places if place["status"] in ("PENDING", "PUBLISHED")]
        of_pocket = [place for place in live or places if place["pocket"] == build["pocket"]]
        newest = sorted(of_pocket or live or places, key=lambda place: place["id"])[-1:]
        return {
            **job,
            "state": build["state"],
            "family": arch["family"],
            "trusted": trusted,
            "share_of": None if trusted or owner is None else owner["name"],
            "archive": archive,
            "pocket": build["pocket"],
            "status": series["status"],
            "urgency": source["urgency"],
            "component": newest[0]["component"] if newest else source["component"],
            "published": bool(live),
            "chroots": {
                row["pocket"]: row["held_back"]
                for row in self.tables["chroot"]
                if row["distroarchseries"] == arch["id"]
            },
            "tags": set(archive["tags"]) | set(build["tags"]),
            "contents": [
                self.find("library_content", "sha256", file["sha256"])
                for file in self.tables["source_file"]
                if file["source"] == source["id"]
            ],
            "excluded": [
                attempt["builder"]
                for attempt in self.tables["attempt"]
                if attempt["build"] == build["id"] and self.is_ahead(attempt["excluded_until"])
            ],
        }

    def look_at(self, builder: Row) -> Row:
        """Lay beside a row of `builder` what its actor last said, and the job that it has."""
        runtime = self.find("builder_runtime", "builder", builder["name"]) or {
            "state": "DISCONNECTED",
            "connected": False,
            "quarantined_until": None,
            "frozen_until": None,
        }
        job = self.find("buildqueue", "builder", builder["name"])
        return {**builder, "runtime": runtime, "job": None if job is None else job["id"]}

    def is_ahead(self, moment: datetime | None) -> bool:
        return moment is not None and moment > self.now

    # --- §1: a job and a builder ------------------------------------------------------------------

    def against(self, job: Row, builder: Row, job_of_builder: int | None) -> str | None:
        """Return the first rule by which `job` may not run on `builder`, which has `job_of_builder`."""
        # 1, 2
        if not builder["builderok"]:
            return "builder_not_ok"
        if self.is_ahead(builder["runtime"]["quarantined_until"]):
            return "builder_quarantined"
        # 3 to 6
        fixed = self.against_as_registered(job, builder)
        if fixed is not None:
            return fixed
        # 7
        if self.is_excluded(job, builder):
            return "pair_excluded"
        # 8
        return self.occupied(builder, job_of_builder)

    def against_as_registered(self, job: Row, builder: Row) -> str | None:
        if builder["manual"] and job["assigned"] != builder["name"]:
            return "builder_manual"
        if job["assigned"] is not None and job["assigned"] != builder["name"]:
            return "assigned_elsewhere"
        return self.against_capability(job, builder)

    def against_capability(self, job: Row, builder: Row) -> str | None:
        if job["family"] not in builder["families"]:
            return "family_mismatch"
        if job["trusted"] != builder["trusted"]:
            return "trust_mismatch"
        for tag in job["tags"]:
            if tag not in builder["tags"] and tag not in builder["restricted_tags"]:
                return "tags_missing"
        for tag in builder["restricted_tags"]:
            if tag not in job["tags"]:
                return "tags_missing"
        return None

    def capable(self, job: Row) -> list[str]:
        return [
            builder["name"]
            for builder in self.builders
            if self.against_capability(job, builder) is None and job["assigned"] in (None, builder["name"])
        ]

    def is_excluded(self, job: Row, builder: Row) -> bool:
        return builder["name"] in job["excluded"] and self.capable(job) != [builder["name"]]

    def occupied(self, builder: Row, job_of_builder: int | None) -> str | None:
        state = builder["runtime"]["state"]
        if not builder["runtime"]["connected"] or state in ("DISCONNECTED", "CONNECTING"):
            return "builder_disconnected"
        if job_of_builder is not None or state in BUSY:
            return "builder_busy"
        if state == "CLEANING":
            return "builder_cleaning"
        if self.is_ahead(builder["runtime"]["frozen_until"]):
            return "builder_frozen"
        return None

    # --- §1: a job alone --------------------------------------------------------------------------

    def waits(self, job: Row) -> bool:
        return job["builder"] is None and job["state"] == "NEEDSBUILD"

    def reason_of(self, job: Row) -> str | None:
        held = self.held(job)
        if held is not None:
            return held
        if self.tables["farm"][0]["paused"]:
            return "dispatch_paused"
        if not self.capable(job):
            return "no_capable_builder"
        return None

    def held(self, job: Row) -> str | None:
        if job["pocket"] not in job["chroots"] and "RELEASE" not in job["chroots"]:
            return "no_chroot"
        if job["chroots"][job["pocket"] if job["pocket"] in job["chroots"] else "RELEASE"]:  # §5: held back
            return "no_chroot"
        if job["archive"]["purpose"] != "PPA" and job["pocket"] not in OPEN[job["status"]]:
            return "pocket_closed"
        if not job["published"]:
            return "superseded"
        if not job["archive"]["enabled"]:
            return "archive_disabled"
        family = self.the("processor_family", "name", job["family"])
        for fence in (self.tables["farm"][0]["minimum_score"], family["minimum_score"]):
            if fence is not None and self.base(job) < fence:
                return "below_minimum_score"
        if None in job["contents"]:
            return "files_missing"
        if self.is_ahead(job["cooling_until"]):
            return "cooling_down"
        return None

    # --- §2 ---------------------------------------------------------------------------------------

    def base(self, job: Row) -> int:
        if job["manual_score"] is not None:
            score: int = job["manual_score"]
            return score
        archive = job["archive"]
        score = URGENCY[job["urgency"]] + COMPONENT.get(job["component"], 0) + POCKET[job["pocket"]]
        if archive["private"]:
            score += 10_000
        if archive["purpose"] == "COPY":
            score -= 2_600
        return score + int(archive["relative_score"])

    def place(self, job: Row, running: Counter[str]) -> tuple[Fraction, int]:
        """Return what the jobs of a queue are sorted by, the first one first."""
        waited = self.now - job["created"]
        microseconds = (waited.days * 86_400 + waited.seconds) * 1_000_000 + waited.microseconds
        score = self.base(job) + 25 * Fraction(microseconds, 3_600_000_000)
        if job["share_of"] is not None:
            score -= 15 * running[job["share_of"]]
        return -score, job["id"]

    def queue(self, family: str) -> list[Row]:
        waiting = [job for job in self.jobs if job["family"] == family and self.waits(job)]
        return sorted(waiting, key=lambda job: self.place(job, self.running))

    def match(self) -> dict[str, int]:
        """Give away the best job that anybody may take to the first who may, until nobody can take anything."""
        running, gets = Counter(self.running), dict[str, int]()
        left = [job for job in self.jobs if self.waits(job) and self.reason_of(job) is None]
        while True:
            takers = {}
            for job in left:
                for builder in reversed(self.builders):
                    if self.against(job, builder, gets.get(builder["name"], builder["job"])) is None:
                        takers[job["id"]] = builder["name"]
            left = [job for job in left if job["id"] in takers]
            if not left:
                return gets
            best = min(left, key=lambda job: self.place(job, running))
            left.remove(best)
            gets[takers[best["id"]]] = best["id"]
            if best["share_of"] is not None:
                running[best["share_of"]] += 1

    # --- answers ----------------------------------------------------------------------------------

    def explain(self, job: Row) -> Row:
        queue = self.queue(job["family"])
        answer = {"queue_length": len(queue), "score": self.base(job)}
        if not self.waits(job):
            return {**answer, "position": None, "reason": None, "eligible_now": None, "builders": {}}
        gets = [name for name, number in self.gets.items() if number == job["id"]]
        builders = {}
        for builder in self.builders:
            name = builder["name"]
            first = None if self.gets.get(name) == job["id"] else self.gets.get(name)
            builders[name] = self.against(job, builder, builder["job"] if first is None else first)
        return {
            **answer,
            "position": [one["id"] for one in queue].index(job["id"]) + 1,
            "reason": self.reason_of(job),
            "eligible_now": gets[0] if gets else None,
            "builders": builders,
        }

    def explain_builder(self, builder: Row) -> Row:
        name = builder["name"]
        could_take, refused = [], Counter[str]()
        for family in sorted({job["family"] for job in self.jobs}):
            for job in self.queue(family):
                why = self.held(job) or self.against_as_registered(job, builder)
                if why is None and self.is_excluded(job, builder):
                    why = "pair_excluded"
                if why is None:
                    could_take.append(job["id"])
                else:
                    refused[why] += 1
        return {
            "state": builder["runtime"]["state"],
            "job": builder["job"],
            "reason": self.idleness(builder),
            "gets": self.gets.get(name),
            "could_take": could_take,
            "refused": dict(refused),
        }

    def idleness(self, builder: Row) -> str | None:
        if not builder["builderok"]:
            return "builder_not_ok"
        if self.is_ahead(builder["runtime"]["quarantined_until"]):
            return "builder_quarantined"
        wanted = [job for job in self.jobs if self.waits(job) and job["assigned"] == builder["name"]]
        if builder["manual"] and not wanted:
            return "builder_manual"
        occupied = self.occupied(builder, builder["job"])
        if occupied is not None:
            return occupied
        return "dispatch_paused" if self.tables["farm"][0]["paused"] else None
