"""A farm with a bit of everything that dispatch-rules §1-2 name, written by plain SQL; the same seed, the same farm.

Several distributions and series of every status, chroots that are there for some pockets only, archives of every
purpose, sources that are published, superseded, or published elsewhere, jobs that are tied to the microsecond or to the
point, and builders in every state.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg

FAMILIES = {"i386": "x86", "amd64": "amd64", "arm64": "arm64", "armhf": "armhf"}
BUILDERS = [
    *("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"),
    *("kate", "leo", "mike", "nina", "oscar", "peggy", "quinn", "rita", "sam"),
]
OWNERS = ["ann", "ben", "cprov"]
TAGS = ["big", "gpu"]
AHEAD, PAST = timedelta(days=2), timedelta(minutes=-2)


class FarmOfEverything:
    """Fills a farm whose tables are empty."""

    def __init__(self, connection: psycopg.Connection[Any], seed: int, jobs: int = 210) -> None:
        self.connection = connection
        self.random = random.Random(seed)
        self.now = datetime.now(UTC)
        self.archives: list[tuple[int, int, str]] = []  #: id, distribution, purpose
        self.arches: list[tuple[int, int, int]] = []  #: id, series, distribution
        self.builds: list[int] = []
        with connection.transaction():
            self.lay_out()
            for number in range(jobs):
                self.add_job(number)
            self.add_builders()
            self.say_what_operators_say()

    # --- what there is ----------------------------------------------------------------------------

    def lay_out(self) -> None:
        self.chroot = self.content("a base system", present=True)
        (self.tarball,) = self.insert(
            "INSERT INTO library_alias (content, filename, mimetype) VALUES (%s, 'chroot.tar.zst', 'application/zstd')"
            " RETURNING id",
            self.chroot,
        )
        people = [self.insert("INSERT INTO person (name) VALUES (%s) RETURNING id", name)[0] for name in OWNERS]
        statuses = self.shuffled(["EXPERIMENTAL", "DEVELOPMENT", "FROZEN", "CURRENT", "SUPPORTED", "OBSOLETE"])
        for name in ("debian", "ubuntu"):
            (distribution,) = self.insert("INSERT INTO distribution (name) VALUES (%s) RETURNING id", name)
            for series in ("hoary", "sid", "warty"):
                self.add_series(distribution, series, statuses.pop())
            self.add_archives(distribution, people)

    def add_series(self, distribution: int, name: str, status: str) -> None:
        (series,) = self.insert(
            "INSERT INTO distroseries (distribution, name, nominated_archindep, status) VALUES (%s, %s, 'i386', %s)"
            " RETURNING id",
            *(distribution, name, status),
        )
        for tag, family in FAMILIES.items():
            (arch,) = self.insert(
                "INSERT INTO distroarchseries (distroseries, architecture, family) VALUES (%s, %s, %s) RETURNING id",
                *(series, tag, family),
            )
            self.arches.append((arch, series, distribution))
            for pocket in self.one_of([[], ["SECURITY", "UPDATES"], *[["RELEASE", "UPDATES"]] * 8]):
                self.execute(
                    "INSERT INTO chroot (distroarchseries, pocket, alias, held_back) VALUES (%s, %s, %s, %s)",
                    *(arch, pocket, self.tarball, self.one_of(["apt can't be run in it"] + [""] * 14)),
                )

    def add_archives(self, distribution: int, people: Sequence[int]) -> None:
        rows: list[tuple[str, str, int | None, bool, bool, int, list[str]]] = [
            ("primary", "PRIMARY", None, False, True, 0, []),
            ("secret", "PRIMARY", people[0], True, True, 0, []),
            ("partner", "PARTNER", None, False, True, 50, []),
            ("rebuild", "COPY", people[1], False, True, 0, []),
            ("gone", "COPY", None, False, False, 10, []),
        ]
        for person, owner in zip(people, OWNERS, strict=True):
            private, tags = self.random.random() < 0.2, self.one_of([[], [], ["gpu"]])
            rows += [
                (f"{owner}/ppa", "PPA", person, private, True, self.random.randrange(-30, 30), tags),
                (f"{owner}/more", "PPA", person, False, self.random.random() < 0.8, 0, []),
            ]
        for row in rows:
            (archive,) = self.insert(
                "INSERT INTO archive (distribution, name, purpose, owner, private, enabled, relative_score, tags)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
                *(distribution, *row),
            )
            self.archives.append((archive, distribution, row[1]))

    def content(self, text: str, *, present: bool) -> str:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        if present:
            self.execute(
                "INSERT INTO library_content (sha256, sha1, size) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                *(sha256, hashlib.sha1(text.encode()).hexdigest(), len(text)),
            )
        return sha256

    # --- jobs -------------------------------------------------------------------------------------

    def add_job(self, number: int) -> None:
        archive, distribution, purpose = self.one_of(self.archives)
        arch, series = self.one_of([one[:2] for one in self.arches if one[2] == distribution])
        pocket = self.one_of(["RELEASE", "RELEASE", "PROPOSED", "UPDATES", "SECURITY", "BACKPORTS"])
        if purpose == "PPA":
            pocket = self.one_of(["RELEASE", "RELEASE", "RELEASE", "UPDATES"])
        source = self.add_source(number)
        self.publish(source, archive, series, pocket)
        (build,) = self.insert(
            "INSERT INTO build (source, archive, distroarchseries, pocket, arch_indep, tags)"
            " VALUES (%s, %s, %s, %s, false, %s) RETURNING id",
            *(source, archive, arch, pocket, self.one_of([[], [], [], [], ["big"], ["gpu"], ["big", "gpu"]])),
        )
        self.builds.append(build)
        self.execute(
            "INSERT INTO buildqueue (build, manual_score, created, cooling_until, given_back) VALUES (%s, %s, %s, %s, %s)",
            build,
            self.one_of([None] * 12 + [0, -5, 2_500, 2_565, 1_000_000, -1_000_000]),
            self.created(),
            self.one_of([None] * 8 + [self.now + AHEAD, self.now + PAST]),
            self.random.randrange(3),
        )

    def created(self) -> datetime:
        """Return a moment that other jobs have as well, or nearly: hours apart, or a microsecond."""
        hours = self.one_of([0, 0, 1, 2, 10, 40, 60, 400, self.random.uniform(0, 500)])
        jitter = timedelta(microseconds=self.one_of([0, 0, 0, 1, 2]))
        return datetime(2026, 3, 1, tzinfo=UTC) - timedelta(hours=hours) + jitter

    def add_source(self, number: int) -> int:
        component = self.one_of(["main", "main", "universe", "multiverse", "restricted", "partner", "contrib"])
        dsc = self.content(f"dsc {number}", present=True)
        source: int
        (source,) = self.insert(
            "INSERT INTO source_release (name, version, component, urgency, architectures, dsc)"
            " VALUES (%s, %s, %s, %s, '{any}', %s) RETURNING id",
            *(f"pkg{number % 40}", f"1.{number}", component, self.one_of(["low", "medium", "high", "emergency"]), dsc),
        )
        for name, present in (("dsc", True), ("tar.xz", self.random.random() < 0.92)):
            self.execute(
                "INSERT INTO source_file (source, filename, sha256, size) VALUES (%s, %s, %s, 10)",
                *(source, f"pkg_{number}.{name}", self.content(f"{name} {number}", present=present)),
            )
        return source

    def publish(self, source: int, archive: int, series: int, pocket: str) -> None:
        other_series = self.one_of([one[1] for one in self.arches])
        other_archive = self.one_of([one[0] for one in self.archives])
        live, dead = self.one_of(["PENDING", "PUBLISHED"]), self.one_of(["SUPERSEDED", "DELETED"])
        usual, mine = (archive, series, pocket, live), (archive, series)
        places = self.one_of(
            [
                *[[usual]] * 10,
                [(*mine, "PROPOSED", live), (*mine, "RELEASE", live), (*mine, "UPDATES", dead)],
                [(*mine, "BACKPORTS", live), (*mine, "SECURITY", dead)],
                [(*mine, pocket, dead)],
                [(archive, other_series, pocket, live)],
                [(other_archive, series, pocket, live)],
                [],
            ]
        )
        for at, where, which, status in places:
            self.execute(
                "INSERT INTO publication (source, archive, distroseries, pocket, component, status)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                *(source, at, where, which, self.one_of(["main", "universe", "partner", "contrib"]), status),
            )

    # --- builders ---------------------------------------------------------------------------------

    def add_builders(self) -> None:
        """Register builders: five that wait for jobs, five that have some, the others in every other state."""
        self.busy = self.one_of(OWNERS)
        rows: list[dict[str, Any]] = [
            *({"tags": tags, "usual": True} for tags in ([], [], ["big"], ["big", "gpu"], ["gpu"])),
            *({"state": state, "takes": True} for state in ("BUILDING", "PREPARING", "IDLE", "CLEANING")),
            {"state": "BUILDING", "takes": True, "connected": False},
            {"state": "CONNECTING"},
            {"ok": False},
            {"ok": False, "quarantined": self.now + AHEAD, "manual": True},
            {"quarantined": self.now + AHEAD, "state": "CLEANING"},
            {"quarantined": self.now + PAST, "manual": True},
            {
                "state": self.one_of(["CONNECTING", "DISCONNECTED", "IDLE"]),
                "connected": False,
                "frozen": self.now + AHEAD,
            },
            {"state": "CLEANING", "frozen": self.now + AHEAD},
            {"state": self.one_of(["ABORTING", "GATHERING"]), "frozen": self.now + PAST},
            {"frozen": self.now + AHEAD},
        ]
        for name, row in zip(BUILDERS, self.shuffled(rows), strict=True):
            self.add_builder(name, row)

    def add_builder(self, name: str, row: dict[str, Any]) -> None:
        families = self.one_of([["x86"], ["amd64", "x86"], ["amd64"], ["arm64", "x86", "amd64"]])
        trusted, usual = self.random.random() < 0.5, row.get("usual", False)
        self.execute(
            "INSERT INTO builder (name, url, families, trusted, tags, restricted_tags, manual, builderok, failnotes)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'by hand')",
            *(name, f"buildd://{name}.example:8221", families, trusted, row.get("tags", ["big"])),
            *(self.one_of([[], [], ["gpu"]]) if usual else [], row.get("manual", False), row.get("ok", True)),
        )
        if not usual or self.random.random() < 0.9:
            self.execute(
                "INSERT INTO builder_runtime (builder, state, connected, quarantined_until, frozen_until)"
                " VALUES (%s, %s, %s, %s, %s)",
                *(name, row.get("state", "IDLE"), row.get("connected", True)),
                *(row.get("quarantined"), row.get("frozen")),
            )
        if row.get("takes"):
            self.claim(name, trusted=trusted)

    def claim(self, name: str, *, trusted: bool) -> None:
        """Have the builder build something of its side; most of it is of one owner, as after a mass upload."""
        whose = self.one_of([self.busy, self.busy, self.busy, *OWNERS])
        found = self.connection.execute(
            "SELECT build.id, job.id FROM buildqueue AS job JOIN build ON build.id = job.build"
            " JOIN archive ON archive.id = build.archive LEFT JOIN person ON person.id = archive.owner"
            " WHERE job.builder IS NULL AND archive.trusted = %s ORDER BY (person.name = %s) DESC, job.id LIMIT 1",
            (trusted, whose),
        ).fetchone()
        assert found is not None
        build, job = found
        self.execute(
            "INSERT INTO attempt (build, job, builder, session, trusted, chroot, wall_seconds, deadline)"
            " VALUES (%s, %s, %s, 1, %s, %s, 60, now() + interval '1 day')",
            *(build, job, name, trusted, self.tarball),
        )
        self.execute("UPDATE build SET state = 'BUILDING' WHERE id = %s", build)
        self.execute("UPDATE buildqueue SET builder = %s, buildstart = now() WHERE id = %s", name, job)

    def say_what_operators_say(self) -> None:
        """Assign some jobs, let some have failed on builders, and set fences."""
        for build in self.builds:
            if self.random.random() < 0.08:
                self.execute("UPDATE buildqueue SET assigned = %s WHERE build = %s", self.one_of(BUILDERS), build)
            while self.random.random() < 0.5:
                self.execute(
                    "INSERT INTO attempt (build, job, builder, session, trusted, chroot, wall_seconds, deadline, ended,"
                    " outcome, excluded_until) SELECT build, id, %s, 1, true, %s, 60, now(), now(), 'LOST', %s"
                    " FROM buildqueue WHERE build = %s",
                    *(self.one_of([*BUILDERS, "zoe"]), self.tarball),
                    *(self.one_of([self.now + AHEAD, self.now + AHEAD, self.now + PAST, None]), build),
                )
        self.execute("UPDATE farm SET minimum_score = %s", self.one_of([500, 1_505]))
        self.execute("UPDATE processor_family SET minimum_score = %s WHERE name = 'amd64'", self.one_of([None, 1_000]))
        self.execute(
            "UPDATE processor_family SET minimum_score = %s WHERE name = 'x86'", self.one_of([None, -1_000, 2_000])
        )

    # --- short words ------------------------------------------------------------------------------

    def one_of(self, what: Sequence[Any]) -> Any:
        return self.random.choice(what)

    def shuffled(self, what: Sequence[Any]) -> list[Any]:
        return self.random.sample(what, len(what))

    def execute(self, statement: LiteralString, *values: object) -> None:
        self.connection.execute(statement, values)

    def insert(self, statement: LiteralString, *values: object) -> tuple[Any, ...]:
        row = self.connection.execute(statement, values).fetchone()
        assert row is not None
        return tuple(row)
