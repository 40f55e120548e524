"""What files hold, in a farm where there are no files: the little of it that somebody looks at.

Sources say by their hashes what they are; results say by theirs what they were built from, and in which attempt.  So
it is seen in the end whether every build has the results that are its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from protocol.messages import ResultFile
from simulation.scenario.plan import PlannedJob
from storage.records import NamedFile, StoredFile


@dataclass(frozen=True, slots=True)
class Made:
    """What a result is."""

    source: str  #: name and version of what it was built from
    attempt: str  #: in which attempt


class Contents:
    """All content there ever was, by SHA-256."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sources: dict[str, PlannedJob] = {}  #: `.dsc` → what it is of
        self.made: dict[str, Made] = {}  #: result → what it is
        self.tries: Counter[str] = Counter()  #: source → how often a slave began to build it

    def source_files(self, job: PlannedJob) -> tuple[NamedFile, ...]:
        """Return the files of a source."""
        stem = f"{job.source}_{job.version}"
        files = tuple(NamedFile(name, sha256_of(name.encode()), 2000) for name in (f"{stem}.dsc", f"{stem}.tar.xz"))
        self.sources[files[0].sha256] = job
        return files

    def build(self, dsc: str, architecture: str, attempt: str) -> tuple[tuple[ResultFile, bytes], ...]:
        """Return what a build of the `.dsc` of this hash leaves behind: a package and the `.changes` that lists it."""
        job = self.sources[dsc]
        stem = f"{job.source}_{job.version}_{architecture}"
        deb = (
            f"Package: {job.source}\nVersion: {job.version}\nArchitecture: {architecture}\n"
            f"Description: built in attempt {attempt}\n"
        ).encode()
        changes = (
            f"Source: {job.source}\nVersion: {job.version}\nArchitecture: {architecture}\n"
            f"Checksums-Sha256:\n {sha256_of(deb)} {len(deb)} {stem}.deb\n"
        ).encode()
        results = []
        for name, octets in ((f"{stem}.deb", deb), (f"{stem}.changes", changes)):
            sha256 = sha256_of(octets)
            self.made[sha256] = Made(f"{job.source} {job.version}", attempt)
            results.append((ResultFile(name, len(octets), sha256), octets))
        return tuple(results)


def sha256_of(octets: bytes) -> str:
    """Return the hash of some bytes."""
    return hashlib.sha256(octets).hexdigest()


def stored(octets: bytes) -> StoredFile:
    """Return what a librarian says of some bytes."""
    sha256 = sha256_of(octets)
    return StoredFile(sha256, sha256[:40], len(octets))
