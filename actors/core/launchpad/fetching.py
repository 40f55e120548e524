"""Files of a build that a launchpad-buildd slave fetches from this master, where ours would be pushed them.

Part of `actors.core.launchpad.link`.  When the slave does not get one, it is first seen whether this master hands out
any; only then is the slave believed.
"""

from __future__ import annotations

from dataclasses import replace

from actors.core.launchpad.calls import Calls, Pending, Purpose
from actors.core.launchpad.events import LinkOrder, OwnFault, Say
from protocol.launchpad_buildd.answers import Fetched
from protocol.launchpad_buildd.calls import HaveFetched
from protocol.messages import Present, Rejected, RejectionCode
from storage.files.credentials import FilesPlace
from storage.records import BuildOrder

FETCH_BYTES_A_SECOND = 256 * 1024  #: a slave that fetches more slowly than this, and `Timers.transfer` more, gives up


class Fetching:
    """What one slave was asked to fetch."""

    def __init__(self, calls: Calls, place: FilesPlace | None) -> None:
        """Begin with nothing.

        Args:
            calls: of the link.
            place: where slaves download; None: this master hands out no files.
        """
        self._calls = calls
        self.place = place

    @property
    def under_way(self) -> set[str]:
        """Return the SHA-256 of every file that the slave is at."""
        return {one.sha256 for one in self._calls.pending.values() if one.purpose is Purpose.FILE}

    def secrets(self, order: BuildOrder) -> tuple[bytes, ...]:
        """Return what the slave fetches the order's files with, and nobody may read."""
        return () if self.place is None else (self.place.password(order.attempt).encode(),)

    def ensure_present(self, number: int, sha256: str, order: BuildOrder | None, transfer: float) -> list[LinkOrder]:
        """Have the slave fetch a file of its order, unless it is at it.

        Args:
            number: of the request that this answers.
            sha256: of the file.
            order: of the attempt in hand.
            transfer: seconds that it may take besides what its size takes.
        """
        if order is None or self.place is None or all(file.sha256 != sha256 for file in (order.chroot, *order.files)):
            return [_missing(number, "it is no file of this attempt")]
        asked = ((key, one) for key, one in self._calls.pending.items() if one.purpose is Purpose.FILE)
        known = next((key for key, one in asked if one.sha256 == sha256), None)
        if known is not None:  # asked for again, since it takes long
            self._calls.pending[known] = replace(self._calls.pending[known], id=number)
            return []
        return self._fetch(number, sha256, order, transfer)

    def _fetch(
        self, number: int, sha256: str, order: BuildOrder, transfer: float, *, again: bool = False
    ) -> list[LinkOrder]:
        file = next((file for file in (order.chroot, *order.files) if file.sha256 == sha256), None)
        if file is None or self.place is None:
            return []
        url, word = self.place.url_of(order.attempt, sha256), self.place.password(order.attempt)
        call = HaveFetched(file.sha1, url, str(order.attempt), word)
        pending = Pending(Purpose.FILE, number, sha256, order=order, again=again)
        return [self._calls.make(call, pending, transfer + file.size / FETCH_BYTES_A_SECOND)]

    def fetched(self, pending: Pending, reply: Fetched) -> list[LinkOrder]:
        """Take the slave's word on what came of it."""
        if reply.there:
            return [Say(Present(pending.id, have=True))]
        if "accessing" in reply.text.lower():  # is it the slave that can't reach us, or do we not answer?
            return self._look(pending, reply.text)
        return [_missing(pending.id, reply.text)]

    def late(self, pending: Pending) -> list[LinkOrder]:
        """Take it that no word came in time."""
        return self._look(pending, "the slave did not come to an end of fetching it")

    def _look(self, pending: Pending, text: str) -> list[LinkOrder]:
        if pending.order is None or self.place is None:
            return []
        attempt = pending.order.attempt
        url, word = self.place.url_of(attempt, pending.sha256), self.place.password(attempt)
        return [self._calls.look(replace(pending, purpose=Purpose.FILES_LOOK, text=text), url, str(attempt), word)]

    def looked_at(self, number: int, why: str, transfer: float) -> list[LinkOrder]:
        """Blame ourselves if we hand out nothing; else let the slave try once more, for we may not have a moment ago."""
        pending = self._calls.pending.pop(number, None)
        if pending is None or pending.order is None:
            return []
        if why:
            return [OwnFault(pending.order.attempt, f"it hands out no files to slaves: {why}")]
        if pending.again:
            return [_missing(pending.id, pending.text)]
        return self._fetch(pending.id, pending.sha256, pending.order, transfer, again=True)


def named(order: BuildOrder | None, sha1: str) -> str:
    """Return what a file is called that the slave names by its SHA-1, as it goes on after words of the slave."""
    files = () if order is None else (order.chroot, *order.files)
    return next((f" ({file.filename})" for file in files if file.sha1 == sha1), "")


def _missing(number: int, text: str) -> Say:
    return Say(Rejected(number, RejectionCode.MISSING_FILE, text))
