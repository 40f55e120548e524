"""The in-memory twin of `storage.builders`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from storage.errors import (
    BadValue,
    BuilderExists,
    UnknownBuilder,
    UnknownFamily,
)
from storage.memory.database import MemoryFarm
from storage.records import (
    Builder,
    BuilderRuntime,
    NotOkBy,
    NotOkKind,
    RuntimeState,
)
from storage.words.builders import check_builder_name, check_slave_free, slave_url
from storage.words.names import check_tags


class MemoryBuilders:
    """The twin of `storage.builders.Builders`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

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
        """See `Builders.add`."""
        check_builder_name(name)
        url = slave_url(url)
        check_tags((*tags, *restricted_tags))
        architectures = self._architectures(families)
        self._check_slave_free(name, url)
        if name in self._farm.table("builder"):
            raise BuilderExists(f"there is a builder {name!r} already; `buildd-master builder set {name}` changes it")
        builder = Builder(
            id=self._farm.number("builder"),
            name=name,
            url=url,
            families=tuple(sorted(set(families))),
            trusted=trusted,
            builderok=True,
            failnotes="",
            notok_by=None,
            notok_kind=None,
            manual=manual,
            tags=tuple(sorted(set(tags))),
            architectures=architectures,
            restricted_tags=tuple(sorted(set(restricted_tags))),
        )
        self._farm.put("builder", name, builder)
        first = BuilderRuntime(name, RuntimeState.DISCONNECTED, False, self._farm.now(), None, None, 0)  # noqa: FBT003
        self._farm.put("builder_runtime", name, first)
        return builder

    def get(self, name: str) -> Builder:
        """See `Builders.get`."""
        return self._seen(self._row(name))

    def all(self) -> tuple[Builder, ...]:
        """See `Builders.all`."""
        if self._farm.builders_seen is not None:
            return self._farm.builders_seen
        rows, runtimes = self._farm.table("builder"), self._farm.table("builder_runtime").values()
        found = tuple(self._seen(rows[name]) for name in sorted(rows))
        if all(one.quarantined_until is None and one.frozen_until is None for one in runtimes):  # else time changes it
            self._farm.builders_seen = found
        return found

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
        """See `Builders.change`."""
        if url is not None:
            url = slave_url(url)
            self._check_slave_free(name, url)
        check_tags((*(tags or ()), *(restricted_tags or ())))
        architectures = None if families is None else self._architectures(families)
        before = self._row(name)
        after = replace(
            before,
            url=before.url if url is None else url,
            families=before.families if families is None else tuple(sorted(set(families))),
            architectures=before.architectures if architectures is None else architectures,
            trusted=before.trusted if trusted is None else trusted,
            manual=before.manual if manual is None else manual,
            tags=before.tags if tags is None else tuple(sorted(set(tags))),
            restricted_tags=before.restricted_tags if restricted_tags is None else tuple(sorted(set(restricted_tags))),
        )
        self._farm.put("builder", name, after)
        held = self._farm.open_by_builder.get(name)
        if before.trusted and not after.trusted and held is not None and self._farm.table("attempt")[held].trusted:
            self._farm.fence_attempt(held, f"{name} is not trusted any more")
        return self.get(name)

    def set_ok(self, name: str, ok: bool, notes: str = "") -> Builder:  # noqa: FBT001 - it is what the call says
        """See `Builders.set_ok`."""
        by, before = None if ok else NotOkBy.PERSON, self._row(name)
        if ok and not before.builderok and not (before.notok_kind and before.notok_kind.heals):
            runtime: BuilderRuntime = self._farm.table("builder_runtime")[name]
            forgiven = replace(
                runtime, failures_in_row=0, quarantined_until=None, quarantine_why="", cleared=self._farm.now()
            )
            self._farm.put("builder_runtime", name, forgiven)
        return self._mark(before, ok, "" if ok else notes, by, None)

    def quarantine(self, name: str, seconds: float, why: str) -> Builder:
        """See `Builders.quarantine`."""
        self.get(name)
        runtime: BuilderRuntime = self._farm.table("builder_runtime")[name]
        until = self._farm.now() + timedelta(seconds=seconds)
        self._farm.put("builder_runtime", name, replace(runtime, quarantined_until=until, quarantine_why=why))
        return self.get(name)

    def release(self, name: str) -> Builder:
        """See `Builders.release`."""
        self.get(name)
        runtime: BuilderRuntime = self._farm.table("builder_runtime")[name]
        if runtime.quarantined_until is not None:
            free = replace(runtime, quarantined_until=None, quarantine_why="", cleared=self._farm.now())
            self._farm.put("builder_runtime", name, free)
        return self.get(name)

    def freeze(self, name: str, seconds: float) -> Builder:
        """See `Builders.freeze`."""
        self.get(name)
        runtime: BuilderRuntime = self._farm.table("builder_runtime")[name]
        until = self._farm.now() + timedelta(seconds=seconds)
        self._farm.put("builder_runtime", name, replace(runtime, frozen_until=until))
        return self.get(name)

    def thaw(self, name: str) -> Builder:
        """See `Builders.thaw`."""
        self.get(name)
        runtime: BuilderRuntime = self._farm.table("builder_runtime")[name]
        self._farm.put("builder_runtime", name, replace(runtime, frozen_until=None))
        return self.get(name)

    def remove(self, name: str) -> None:
        """See `Builders.remove`."""
        self.get(name)
        held = self._farm.open_by_builder.get(name)
        if held is not None:
            self._farm.fence_attempt(held, f"builder {name} was removed")
        for row in [row for row in self._farm.table("buildqueue").values() if row.assigned == name]:
            self._farm.put("buildqueue", row.id, row._replace(assigned=None))
        self._farm.put("builder", name, None)
        self._farm.put("builder_runtime", name, None)

    def mark_not_ok(self, name: str, failnotes: str, kind: NotOkKind) -> bool:
        """See `Builders.mark_not_ok`."""
        builder = self._row(name)
        lasts = builder.notok_kind is not None and not builder.notok_kind.heals
        if builder.notok_by == NotOkBy.PERSON or (lasts and kind.heals):
            return False
        self._mark(builder, False, failnotes, NotOkBy.MACHINE, kind)  # noqa: FBT003
        return True

    def heal(self, name: str) -> bool:
        """See `Builders.heal`."""
        builder = self._row(name)
        if builder.notok_by != NotOkBy.MACHINE or not (builder.notok_kind and builder.notok_kind.heals):
            return False
        self._mark(builder, True, "", None, None)  # noqa: FBT003
        return True

    def runtimes(self) -> tuple[BuilderRuntime, ...]:
        """See `Builders.runtimes`."""
        return tuple(sorted(self._farm.table("builder_runtime").values(), key=lambda runtime: runtime.builder))

    def record_runtime(
        self, name: str, state: RuntimeState, *, connected: bool, deadline: datetime | None = None
    ) -> None:
        """See `Builders.record_runtime`."""
        self._row(name)
        before: BuilderRuntime = self._farm.table("builder_runtime")[name]
        since = before.since if before.state == state else self._farm.now()
        after = replace(before, state=state, connected=connected, deadline=deadline, since=since)
        self._farm.put("builder_runtime", name, after)

    def open_session(self, name: str) -> int:
        """See `Builders.open_session`."""
        self.get(name)
        self._farm.epoch += 1
        return self._farm.epoch

    def _mark(self, builder: Builder, ok: bool, notes: str, by: NotOkBy | None, kind: NotOkKind | None) -> Builder:  # noqa: FBT001
        marked = replace(builder, builderok=ok, failnotes=notes, notok_by=by, notok_kind=kind)
        self._farm.put("builder", builder.name, marked)
        return self.get(builder.name)

    def _row(self, name: str) -> Builder:
        found: Builder | None = self._farm.table("builder").get(name)
        if found is None:
            raise UnknownBuilder(name)
        return found

    def _seen(self, row: Builder) -> Builder:
        """Return the row with what is in force of its runtime."""
        runtime: BuilderRuntime = self._farm.table("builder_runtime")[row.name]
        now = self._farm.now()
        if runtime.quarantined_until is None and runtime.frozen_until is None and not runtime.failures_in_row:
            return row  # as nearly all are
        quarantined = runtime.quarantined_until is not None and runtime.quarantined_until > now
        frozen = runtime.frozen_until is not None and runtime.frozen_until > now
        return replace(
            row,
            quarantined_until=runtime.quarantined_until if quarantined else None,
            quarantine_why=runtime.quarantine_why if quarantined else "",
            frozen_until=runtime.frozen_until if frozen else None,
            failures_in_row=runtime.failures_in_row,
        )

    def _check_slave_free(self, name: str, url: str) -> None:
        owners = (builder.name for builder in self._farm.table("builder").values() if builder.url == url)
        check_slave_free(name, url, next(owners, None))

    def _architectures(self, families: Sequence[str]) -> tuple[str, ...]:
        if not families:
            raise BadValue("a builder needs at least one processor family, as `amd64`")
        known = self._farm.table("processor_family")
        for family in families:
            if family not in known:
                raise UnknownFamily(family, known=sorted(known))
        return tuple(sorted({tag for family in families for tag in known[family].architectures}))
