"""Builders and what their actors say of them: tables `builder` and `builder_runtime`.

Two hands write `builderok`: a person (`set_ok`) and the machine (`mark_not_ok`, `heal`).  What a person marked, only a
person clears (dispatch-rules §6).  Lowering `trusted` fences a trusted build that runs, in the same transaction: that
is a trigger, so that a plain SQL `UPDATE` does it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import BadValue, BuilderExists, UnknownBuilder, UnknownFamily
from storage.records import Builder, BuilderRuntime, NotOkKind, RuntimeState
from storage.words.builders import check_builder_name, check_slave_free, slave_url
from storage.words.names import check_tags

_SQL = load("builders")


class Builders(Repository):
    """The registered builders."""

    def add(
        self,
        name: str,
        url: str,
        families: Sequence[str],
        *,
        trusted: bool = False,
        manual: bool = False,
        tags: Sequence[str] = (),
        restricted_tags: Sequence[str] = (),
    ) -> Builder:
        """Register a builder; it is ok until somebody finds otherwise.

        Args:
            name: a word (`storage.words.names`) that names no other actor; never changes.
            url: `buildd://host:port` of its slave.
            families: processor families it builds for; at least one.
            trusted: it builds only trusted builds; else only untrusted ones.
            manual: it gets work only when an operator assigns it.
            tags: resource tags that it has.
            restricted_tags: more that it has; it takes only jobs that ask for all of these.

        Raises:
            BadValue: name, URL, families or a tag can't be.
            UnknownFamily: no such family.
            BuilderExists: the name is taken.
            SlaveTaken: another builder has this slave.
        """
        check_builder_name(name)
        url = slave_url(url)
        check_tags((*tags, *restricted_tags))
        self._check_families(families)
        self._check_slave_free(name, url)
        added = self._values(
            _SQL["add"],
            name=name,
            url=url,
            families=_unique(families),
            trusted=trusted,
            manual=manual,
            tags=_unique(tags),
            restricted_tags=_unique(restricted_tags),
        )
        if not added:
            raise BuilderExists(f"there is a builder {name!r} already; `buildd-master builder set {name}` changes it")
        return self.get(name)

    def get(self, name: str) -> Builder:
        """Return one builder.

        Raises:
            UnknownBuilder: no such row.
        """
        found = self._row(Builder, _SQL["all"], names=[name])
        if found is None:
            raise UnknownBuilder(name)
        return found

    def all(self) -> tuple[Builder, ...]:
        """Return all builders, by name."""
        return self._rows(Builder, _SQL["all"], names=None)

    def change(
        self,
        name: str,
        *,
        url: str | None = None,
        families: Sequence[str] | None = None,
        trusted: bool | None = None,
        manual: bool | None = None,
        tags: Sequence[str] | None = None,
        restricted_tags: Sequence[str] | None = None,
    ) -> Builder:
        """Change what is given; None leaves as it is.  Values as for `add`.

        Raises:
            UnknownBuilder, UnknownFamily, BadValue, SlaveTaken: nothing was written.
        """
        if url is not None:
            url = slave_url(url)
            self._check_slave_free(name, url)
        check_tags((*(tags or ()), *(restricted_tags or ())))
        if families is not None:
            self._check_families(families)
        changed = self._run(
            _SQL["change"],
            name=name,
            url=url,
            families=None if families is None else _unique(families),
            trusted=trusted,
            manual=manual,
            tags=None if tags is None else _unique(tags),
            restricted_tags=None if restricted_tags is None else _unique(restricted_tags),
        )
        if not changed:
            raise UnknownBuilder(name)
        return self.get(name)

    def set_ok(self, name: str, ok: bool, notes: str = "") -> Builder:  # noqa: FBT001 - it is what the call says
        """A person's word: into dispatch, or out of it until a person says otherwise.

        Args:
            name: of the builder.
            ok: True clears fail notes and whoever marked it.
            notes: fail notes; with `ok`, ignored.

        Raises:
            UnknownBuilder: nothing was written.
        """
        if not self._run(_SQL["set_ok"], name=name, ok=ok, notes=notes):
            raise UnknownBuilder(name)
        return self.get(name)

    def quarantine(self, name: str, seconds: float, why: str) -> Builder:
        """Give a builder nothing for a while; what it builds goes on (dispatch-rules §1, rule 2).

        Args:
            name: of the builder.
            seconds: from now; takes the place of a quarantine that is in force.
            why: shown as its reason.

        Raises:
            UnknownBuilder: nothing was written.
        """
        self._run(_SQL["have_runtime"], name=name)
        if not self._run(_SQL["quarantine"], name=name, seconds=seconds, why=why):
            raise UnknownBuilder(name)
        return self.get(name)

    def release(self, name: str) -> Builder:
        """End a builder's quarantine, if it is in one; its results up to now are no evidence against it any more.

        Raises:
            UnknownBuilder: no such row.
        """
        self._run(_SQL["release"], name=name)
        return self.get(name)

    def freeze(self, name: str, seconds: float) -> Builder:
        """Give a builder nothing while its actor is held at the debug console; what it builds goes on.

        Args:
            name: of the builder.
            seconds: from now; takes the place of a freeze that is in force.

        Raises:
            UnknownBuilder: nothing was written.
        """
        self._run(_SQL["have_runtime"], name=name)
        if not self._run(_SQL["freeze"], name=name, seconds=seconds):
            raise UnknownBuilder(name)
        return self.get(name)

    def thaw(self, name: str) -> Builder:
        """Let a builder have work again whose actor is held no more.

        Raises:
            UnknownBuilder: no such row.
        """
        self._run(_SQL["freeze"], name=name, seconds=None)
        return self.get(name)

    def remove(self, name: str) -> None:
        """Forget a builder.  A build that runs there is fenced and waits again, with its place.

        Raises:
            UnknownBuilder: no such row.
        """
        if not self._run(_SQL["remove"], name=name):
            raise UnknownBuilder(name)

    def mark_not_ok(self, name: str, failnotes: str, kind: NotOkKind) -> bool:
        """The machine's word: keep `name` out of dispatch.

        Never touches what a person marked, nor replaces something that does not heal (`NotOkKind.heals`) by something
        that does.

        Args:
            name: of the builder.
            failnotes: for people; UTF-8, any length.
            kind: whether and how it heals.

        Returns:
            Whether the builder now carries these notes.

        Raises:
            UnknownBuilder: no such row; nothing was written.
        """
        marked = self._run(_SQL["mark_not_ok"], name=name, failnotes=failnotes, kind=kind)
        if not marked:
            self.get(name)
        return marked > 0

    def heal(self, name: str) -> bool:
        """Set ok what the machine marked unreachable, crashed or misfit (dispatch-rules §6); else change nothing.

        Returns:
            Whether it was healed.

        Raises:
            UnknownBuilder: no such row.
        """
        healed = self._run(_SQL["heal"], name=name)
        if not healed:
            self.get(name)
        return healed > 0

    def runtimes(self) -> tuple[BuilderRuntime, ...]:
        """Return what actors last said, by name; a builder no actor spoke of yet is DISCONNECTED."""
        return self._rows(BuilderRuntime, _SQL["runtimes"])

    def record_runtime(
        self, name: str, state: RuntimeState, *, connected: bool, deadline: datetime | None = None
    ) -> None:
        """Write what the builder's actor says of its slave; no event, no notification.

        Raises:
            UnknownBuilder: no such row.
        """
        if not self._run(_SQL["record_runtime"], name=name, state=state, connected=connected, deadline=deadline):
            raise UnknownBuilder(name)

    def open_session(self, name: str) -> int:
        """Return the next session epoch of the farm: higher than all before, whoever asks.

        Raises:
            UnknownBuilder: no such row.
        """
        epoch = self._values(_SQL["open_session"], name=name)
        if not epoch:
            raise UnknownBuilder(name)
        return int(epoch[0])

    def _check_slave_free(self, name: str, url: str) -> None:
        (owner,) = self._values(_SQL["of_slave"], url=url) or (None,)
        check_slave_free(name, url, owner)

    def _check_families(self, families: Sequence[str]) -> None:
        if not families:
            raise BadValue("a builder needs at least one processor family, as `amd64`")
        (known,) = self._values(_SQL["families"])
        for family in families:
            if family not in known:
                raise UnknownFamily(family, known=known)


def _unique(words: Sequence[str]) -> list[str]:
    return sorted(set(words))
