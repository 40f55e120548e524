"""Waiting jobs of one kind, in the order in which they are given away (dispatch-rules §2).

Every owner of untrusted archives has a queue of their own, and its head competes with a handicap for each job of that
owner that runs; trusted jobs share one queue, without.  What runs changes with every decision: only the heads are
weighed again, whatever waits behind them.  Which builder may run a job is not known here
(`actors.core.dispatch.matcher`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from actors.core.dispatch.score import handicap

Rank = tuple[int, int]  #: see `actors.core.dispatch.score.rank`; its second number is the job's id
NOBODY = ""  #: owner of the jobs that are exempt from fair share

_STALE_MOST = 64  #: outdated entries beside each head before the heap is made anew


@dataclass(slots=True)
class Lane:
    """The queues of one lane; `best` is their best head, until it is taken or passed over."""

    running: Mapping[str, int]  #: owner → jobs that run, or are being claimed; kept by `actors.core.dispatch.matcher`
    _queues: dict[str, list[Rank]] = field(default_factory=dict)  #: by owner; negated ranks: the best stands last
    _passed: dict[str, int] = field(default_factory=dict)  #: owner → jobs before its head that nobody can take now
    _heads: list[tuple[int, int, str, int]] = field(default_factory=list)  #: heap: weighed rank, job, owner, edition
    _edition: dict[str, int] = field(default_factory=dict)  #: of an owner's entry in the heap that counts

    def __bool__(self) -> bool:
        """Return whether any job waits here."""
        return bool(self._queues)

    def add(self, owner: str, rank: Rank) -> None:
        """Let a job wait."""
        queue = self._queues.setdefault(owner, [])
        entry = (-rank[0], -rank[1])
        insort(queue, entry)
        if queue[-1] == entry:
            self.weigh(owner)

    def remove(self, owner: str, rank: Rank) -> None:
        """Forget a job, if it waits here."""
        queue, entry = self._queues.get(owner, []), (-rank[0], -rank[1])
        place = bisect_left(queue, entry)
        if place == len(queue) or queue[place] != entry:
            return
        del queue[place]
        if place == len(queue):
            self.weigh(owner)

    def weigh(self, owner: str) -> None:
        """Weigh the head of `owner` again: it is another, or another number of the owner's jobs runs."""
        queue = self._queues.get(owner)
        if queue is None:
            return
        self._edition[owner] = edition = self._edition.get(owner, 0) + 1
        place = len(queue) - 1 - self._passed.get(owner, 0)
        if place >= 0:
            key, job = queue[place]
            weighed = -key + (handicap(self.running.get(owner, 0)) if owner else 0)
            heappush(self._heads, (weighed, -job, owner, edition))
        if not queue:
            del self._queues[owner]
        if len(self._heads) > _STALE_MOST * (len(self._queues) + 1):
            self._heads = [head for head in self._heads if self._edition[head[2]] == head[3]]
            heapify(self._heads)

    def best(self) -> Rank | None:
        """Return the weighed rank and the job that go first; None: nothing is left."""
        while self._heads:
            weighed, job, owner, edition = self._heads[0]
            if self._edition[owner] == edition:
                return weighed, job
            heappop(self._heads)
        return None

    def take(self) -> None:
        """Remove the job that `best` has returned."""
        owner = self._heads[0][2]
        del self._queues[owner][-1 - self._passed.get(owner, 0)]
        self.weigh(owner)

    def pass_over(self) -> None:
        """Leave the job that `best` has returned where it is, and go on with the next, until `rewind`."""
        owner = self._heads[0][2]
        self._passed[owner] = self._passed.get(owner, 0) + 1
        self.weigh(owner)

    def rewind(self) -> None:
        """Begin again with the jobs that were passed over."""
        passed, self._passed = self._passed, {}
        for owner in passed:
            self.weigh(owner)
