"""The base systems that builds are made in, by series and pocket: table `chroot`."""

from __future__ import annotations

from storage.database.queries import load
from storage.database.repository import Repository, in_words
from storage.errors import (
    ChrootInUse,
    UnknownFile,
    UnknownSeries,
)
from storage.records import (
    Chroot,
    Pocket,
)

_SQL = load("chroots")


class Chroots(Repository):
    """Chroots; what is held back is written by `storage.verdicts`."""

    def set(self, distroarchseries: int, pocket: Pocket, alias: int) -> Chroot:
        """Register a chroot; one that is there is replaced, never doubled.

        Raises:
            UnknownSeries, UnknownFile: no such id.
        """
        arch, content = self._values(_SQL["exist"], distroarchseries=distroarchseries, alias=alias)
        if not arch:
            raise UnknownSeries(distroarchseries)
        if not content:
            raise UnknownFile(alias)
        self._run(_SQL["set_chroot"], distroarchseries=distroarchseries, pocket=pocket, alias=alias)
        return self._rows(Chroot, _SQL["chroots"], id=distroarchseries, pocket=pocket)[0]

    def use(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """Build in a chroot again that was held back.

        Raises:
            UnknownSeries: there is no chroot of its own for this pocket.
        """
        if not self._run(_SQL["use_chroot"], distroarchseries=distroarchseries, pocket=pocket):
            raise UnknownSeries(f"chroot {pocket} of series {distroarchseries}")
        return self._rows(Chroot, _SQL["chroots"], id=distroarchseries, pocket=pocket)[0]

    def remove(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """Forget a chroot, and return what it was; its tarball stays in the librarian as long as attempts tell of it.

        Raises:
            UnknownSeries: there is no chroot of its own for this pocket.
            ChrootInUse: builds run in it; nothing was written.
        """
        place = {"distroarchseries": distroarchseries, "pocket": pocket}
        there = self._rows(Chroot, _SQL["chroots"], id=distroarchseries, pocket=pocket)
        if not there:
            raise UnknownSeries(f"chroot {pocket} of series {distroarchseries}")
        with in_words():
            users = [build for (build,) in self._conn.execute(_SQL["chroot_users"], place)]
        if users:
            raise ChrootInUse(users)
        self._run(_SQL["remove_chroot"], **place)
        return there[0]

    def all(self) -> tuple[Chroot, ...]:
        """Return all chroots, by series and pocket."""
        return self._rows(Chroot, _SQL["chroots"], id=None, pocket=None)
