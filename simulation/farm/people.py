"""Those who use a simulated farm: sources come, and operators do things.  All of it by the repositories' own methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from simulation.environment.contents import stored
from simulation.environment.ground import Ground
from simulation.scenario.plan import Act, Deed, PlannedBuilder, PlannedJob
from storage.errors import StorageError
from storage.records import ArchivePurpose, BuildState, NewSource, Pocket

DISTRIBUTION: Final = "debian"
SERIES: Final = "sid"


class People:
    """Everybody outside of the farm."""

    def __init__(self, ground: Ground, note: Callable[..., object]) -> None:
        """Know the farm; `note` writes a line of its story."""
        self._ground = ground
        self._note = note
        self._server = ground.server
        self._archives: dict[str | None, int] = {}
        self._series: dict[str, int] = {}  #: family → distroarchseries
        self.tag_of: dict[str, str] = {}  #: family → architecture tag

    def set_up(self, families: tuple[str, ...], owners: tuple[str, ...]) -> None:
        """Make a series with a chroot for each family, the primary archive, and everybody's PPA."""
        server = self._server
        known = {family.name: family.architectures[0] for family in server.series.families()}
        with server.rows.acting("setup"):
            for family in families:
                if family not in known:  # an operator's own
                    known[family] = server.series.add_family(family, (family,)).architectures[0]
            self.tag_of = {family: known[family] for family in families}
            tags = {known[family]: family for family in families}
            made = server.series.add(DISTRIBUTION, SERIES, tags, nominated_archindep=next(iter(tags)))
            for one in made:
                self._series[one.family] = one.id
                name = f"chroot-{one.architecture}.tar.zst"
                alias = server.library.add(stored(name.encode()), name)
                server.chroots.set(one.id, Pocket.RELEASE, alias.id)
            primary = server.archives.add("primary", DISTRIBUTION, ArchivePurpose.PRIMARY)
            self._archives[None] = primary.id
            for owner in owners:
                ppa = server.archives.add(f"{owner}/ppa", DISTRIBUTION, ArchivePurpose.PPA)
                self._archives[owner] = ppa.id

    def register(self, planned: PlannedBuilder, port: int) -> None:
        """Register a builder."""
        with self._server.rows.acting("setup"):
            self._server.builders.add(
                planned.name,
                f"buildd://127.0.0.1:{port}",
                planned.families,
                trusted=planned.trusted,
                manual=planned.manual,
                tags=planned.tags,
                restricted_tags=planned.restricted_tags,
            )

    def upload(self, job: PlannedJob) -> None:
        """Let a source come, and queue its build."""
        server, archive, series = self._server, self._archives[job.owner], self._series[job.family]
        files = self._ground.contents.source_files(job)
        with server.rows.acting("upload"):
            for file in files:
                server.library.name(stored(file.filename.encode()), file.filename)
            new = NewSource(job.source, job.version, job.component, job.urgency, ("any",), files)
            source = server.sources.add(new)
            server.publications.publish(source, archive, SERIES, job.pocket, job.component)
            build = server.builds.create(source, series, archive, job.pocket, arch_indep=False, tags=job.tags)
            server.builds.queue(build.id)
            if job.score is not None:
                server.builds.rescore(build.id, job.score)

    # --- operators --------------------------------------------------------------------------------

    def do(self, deed: Deed) -> None:
        """Do one thing; what can't be done now is not."""
        about: dict[str, object] = {"act": str(deed.act)}
        try:
            with self._server.rows.acting("operator"):
                about |= _ACTS[deed.act](self, deed) or {}
        except StorageError as error:
            about["refused"] = str(error).partition("\n")[0]
        self._note("deed", **about)

    def _pick(self, deed: Deed, ids: list[int]) -> int | None:
        return ids[int(deed.target * len(ids))] if ids else None

    def _builds_in(self, *states: BuildState) -> list[int]:
        rows = self._server.rows
        if BuildState.BUILDING in states or BuildState.NEEDSBUILD in states:
            builds = [row.build for row in rows.table("buildqueue").values()]
        else:
            builds = list(rows.table("build"))
        return [build for build in builds if rows.table("build")[build].state in states]

    def _cancel(self, deed: Deed) -> dict[str, object] | None:
        build = self._pick(deed, self._builds_in(BuildState.BUILDING, BuildState.NEEDSBUILD, BuildState.GATHERING))
        if build is None:
            return None
        self._server.builds.cancel(build)
        return {"build": build}

    def _retry(self, deed: Deed) -> dict[str, object] | None:
        states = (BuildState.FAILEDTOBUILD, BuildState.CANCELLED, BuildState.INFRAFAILED, BuildState.FAILEDTOUPLOAD)
        build = self._pick(deed, self._builds_in(*states))
        if build is None:
            return None
        self._server.builds.retry(build)
        return {"build": build}

    def _give_back(self, deed: Deed) -> dict[str, object] | None:
        build = self._pick(deed, self._builds_in(BuildState.BUILDING))
        if build is None:
            return None
        self._server.builds.give_back(build)
        return {"build": build}

    def _rescore(self, deed: Deed) -> dict[str, object] | None:
        build = self._pick(deed, self._builds_in(BuildState.NEEDSBUILD))
        if build is None:
            return None
        self._server.builds.rescore(build, int(5000 * deed.target))
        return {"build": build}

    def _remove_job(self, deed: Deed) -> dict[str, object] | None:
        build = self._pick(deed, self._builds_in(BuildState.BUILDING, BuildState.NEEDSBUILD))
        if build is None:
            return None
        self._server.builds.cancel(build) if deed.target < 0.5 else self._server.queue.remove(  # noqa: PLR2004
            self._server.builds.job(build).id
        )
        self._server.builds.retry(build)
        return {"build": build}

    def _builder(self, deed: Deed) -> str:
        names = sorted(self._server.rows.table("builder"))
        return deed.name or names[int(deed.target * len(names))]

    def _set_ok(self, deed: Deed) -> dict[str, object] | None:
        """Set ok again what the machine has given up: an operator has mended it."""
        builders = self._server.builders
        broken = [row.name for row in builders.all() if row.notok_kind is not None and not row.notok_kind.heals]
        for name in [deed.name] if deed.name else broken:
            builders.set_ok(name, ok=True)
        return {"builders": broken}

    def _set_not_ok(self, deed: Deed) -> dict[str, object] | None:
        name = self._builder(deed)
        self._server.builders.set_ok(name, ok=False, notes="an operator looks at it")
        self._later(deed, lambda: self._server.builders.set_ok(name, ok=True))
        return {"builder": name}

    def _turn_trust(self, deed: Deed) -> dict[str, object] | None:
        name = self._builder(deed)
        before = self._server.builders.get(name).trusted
        self._server.builders.change(name, trusted=not before)
        self._later(deed, lambda: self._server.builders.change(name, trusted=before))
        return {"builder": name, "trusted": not before}

    def _remove_builder(self, deed: Deed) -> dict[str, object] | None:
        name = self._builder(deed)
        row = self._server.builders.get(name)
        self._server.builders.remove(name)
        self._later(
            deed, lambda: self._server.builders.add(name, row.url, row.families, trusted=row.trusted, tags=row.tags)
        )
        return {"builder": name}

    def _pause(self, deed: Deed) -> dict[str, object] | None:
        self._server.farm_states.pause("an operator thinks")
        self._later(deed, self._server.farm_states.resume)
        return {"seconds": deed.seconds}

    def _later(self, deed: Deed, undo: Callable[[], object]) -> None:
        self._ground.agenda.after(deed.seconds, self._undo, str(deed.act), undo)

    def _undo(self, act: str, undo: Callable[[], object]) -> None:
        with suppress(StorageError), self._server.rows.acting("operator"):
            undo()
        self._note("undone", act=act)


_ACTS: Final[Mapping[Act, Callable[[People, Deed], dict[str, object] | None]]] = {
    Act.CANCEL: People._cancel,  # noqa: SLF001 - its own
    Act.RETRY: People._retry,  # noqa: SLF001
    Act.GIVE_BACK: People._give_back,  # noqa: SLF001
    Act.RESCORE: People._rescore,  # noqa: SLF001
    Act.REMOVE_JOB: People._remove_job,  # noqa: SLF001
    Act.SET_OK: People._set_ok,  # noqa: SLF001
    Act.SET_NOT_OK: People._set_not_ok,  # noqa: SLF001
    Act.TRUST: People._turn_trust,  # noqa: SLF001
    Act.REMOVE: People._remove_builder,  # noqa: SLF001
    Act.PAUSE: People._pause,  # noqa: SLF001
}
