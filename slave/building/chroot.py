"""The backend `chroot`: a root of its own for each build (`slave.disk.roots`), entered in namespaces.  Needs root.

No code of a package runs where there is a network: apt only downloads in FETCH_DEPS, maintainer scripts run in
INSTALL_DEPS, and the build as an unprivileged user in BUILD.  docs/adr/0031 says which failure means which outcome.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from protocol.messages import Phase
from slave.building import unmet
from slave.building.backend import Step, Task
from slave.core.build_args import ALL
from slave.core.outcomes import Ending, builderfail, chrootfail, depfail, givenback, packagefail
from slave.disk.collect import collect
from slave.disk.roots import to_its_end
from slave.isolation.limits import Allowance
from slave.isolation.sandbox import LINUX32, PATH, Command, PutFile, Ran, Sandbox

BUILDER = "builder"
BUILDER_ID = 59990  #: user and group; near the end of what Debian leaves to machines, so that it is nobody on the host
PLACE = "/build"  #: inside the chroot; the builder's own
SOURCE = "source"  #: below PLACE
NEEDED = ("usr/bin/apt-get", "usr/bin/dpkg-source", "usr/bin/dpkg-buildpackage", "usr/bin/make")
RESOLV = "/etc/resolv.conf"
EMULATOR = "run `apt-get install qemu-user-static binfmt-support` as root"
DIG = 10  #: relations whose deeper reason is asked for

APT = (
    *("apt-get", "--yes", "--quiet", "--no-install-recommends"),
    *("-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=3", "-o", "APT::Solver=internal"),
    *("-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Options::=--force-unsafe-io", "-o", "DPkg::Options::=--force-confold"),
)
APT_ENV = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true", "HOME": "/root"}
BUILD_ENV = {"LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "LOGNAME": BUILDER, "USER": BUILDER, "TERM": "unknown"}

_FETCH_FAILED = re.compile(r"^E: (Failed to fetch|Unable to fetch)|^E: .*Hash Sum mismatch", re.MULTILINE)
_NO_SPACE = re.compile(r"No space left on device|You don't have enough free space", re.IGNORECASE)
_FIRST_ERROR = re.compile(r"^(?:E: |tar: |buildd-slave: |dpkg: |dpkg-\S+: )(?:error: )?(.+)", re.MULTILINE)
_LAST_ERROR = re.compile(r"^dpkg-\w+: error: (.+)", re.MULTILINE)


@dataclass(slots=True)
class ChrootBuild:
    """One build in one chroot."""

    mapped: ClassVar[bool] = False  #: for the sandboxes
    task: Task
    sandbox: Sandbox = field(init=False)
    _install_fakeroot: bool = field(init=False, default=True)
    _prefix: tuple[str, ...] = field(init=False, default=())  #: of apt's command line

    def __post_init__(self) -> None:
        """Make the sandbox; nothing is run yet."""
        linux32 = self.task.args.architecture in LINUX32
        allowance = Allowance.of(self.task.args)
        self.sandbox = Sandbox(
            self.root, self.task.state_directory, linux32=linux32, mapped=self.mapped, allowance=allowance
        )

    @property
    def root(self) -> Path:
        """The root directory of the chroot, as this process gets there; it is a stranger's, but for the way to it."""
        root = self.task.roots.root
        return self.task.tree / "root" if root is None else root.reach

    def steps(self) -> tuple[Step, ...]:
        """Return the steps."""
        return (
            (Phase.UNPACK, self._unpack),
            (Phase.UNPACK, self._furnish),
            (Phase.UPDATE, self._update),
            (Phase.FETCH_DEPS, self._fetch_dependencies),
            (Phase.INSTALL_DEPS, self._install_dependencies),
            (Phase.BUILD, self._extract),
            (Phase.BUILD, self._build),
            (Phase.COLLECT, self._collect),
        )

    # -- UNPACK ------------------------------------------------------------------------------------------------------
    async def _unpack(self) -> Ending | None:
        if self.task.chroot is None:
            return chrootfail("no chroot was named")
        root = await self.task.roots.make(self.task.chroot, self.task.tree, self.task.log, mapped=self.mapped)
        if isinstance(root, Ran):
            return _no_space(root) or chrootfail(f"the chroot tarball cannot be unpacked: {first_error(root)}")
        lacking = [name for name in NEEDED if not _there(root.reach, name)]
        if lacking:
            return chrootfail(f"the chroot has no {', '.join(lacking)}")
        self._install_fakeroot = not _there(root.reach, "usr/bin/fakeroot")
        self._prefix = ("eatmydata",) if _there(root.reach, "usr/bin/eatmydata") else ()
        self.sandbox = replace(self.sandbox, root=root.path, namespace=root.namespace, users=root.users)
        return None

    async def _furnish(self) -> Ending | None:
        """Put in what a build needs: user, source files, a policy that starts no daemon."""
        files = [
            PutFile("/etc/passwd", f"{BUILDER}:x:{BUILDER_ID}:{BUILDER_ID}::/nonexistent:/bin/sh", keep=True),
            PutFile("/etc/group", f"{BUILDER}:x:{BUILDER_ID}:", keep=True),
            PutFile("/etc/hosts", f"127.0.0.1 localhost {self.sandbox.hostname}\n::1 localhost"),
            PutFile("/etc/hostname", self.sandbox.hostname),
            PutFile("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101", mode=0o755),
            *(
                PutFile(f"{PLACE}/{name}", source=path, owner=BUILDER_ID)
                for name, path in sorted(self.task.files.items())
            ),
        ]
        command = Command(
            ("dpkg", "--print-architecture"),
            env=APT_ENV,
            directories=((PLACE, BUILDER_ID),),
            files=tuple(files),
        )
        ran = await self.sandbox.run(command, self.task.log.write)
        found, wanted = ran.output.strip(), self.task.args.architecture
        if ran.code != 0:
            return await self._why_nothing_runs(ran)
        if wanted not in {found, ALL}:
            return chrootfail(f"the chroot is for {found}, the build for {wanted}")
        return None

    async def _why_nothing_runs(self, ran: Ran) -> Ending:
        """Tell a broken chroot from a machine that lacks the emulator for what it was said to build (docs/adr/0131)."""
        wanted = self.task.args.architecture
        if os.strerror(errno.ENOEXEC) in ran.output:
            host = Sandbox(None, self.task.state_directory, mapped=self.mapped)
            own = await host.run(Command(("dpkg", "--print-architecture")), self.task.log.write)
            if wanted not in {own.output.strip(), ALL}:
                return builderfail(f"this machine can't run programs for {wanted}: {EMULATOR}")
        return chrootfail(f"nothing can be run in the chroot: {first_error(ran)}")

    # -- UPDATE, FETCH_DEPS, INSTALL_DEPS ----------------------------------------------------------------------------
    async def _update(self) -> Ending | None:
        ran = await self._apt("update", network=True)
        if ran.code == 0:
            await self.task.roots.keep_lists(self.task.log)
            return None
        return _no_space(ran) or chrootfail(f"apt-get update failed: {first_error(ran)}")

    async def _fetch_dependencies(self) -> Ending | None:
        for wishes in self._wishes():
            ran = await self._apt("--download-only", *wishes, network=True)
            if ran.code != 0:
                return await self._why_not_fetched(ran)
        return None

    async def _install_dependencies(self) -> Ending | None:
        for wishes in self._wishes():
            ran = await self._apt(*wishes)
            if ran.code != 0:
                missing = await self._missing(ran)
                if missing:
                    return depfail(missing)
                return _no_space(ran) or packagefail(f"a build dependency cannot be installed: {first_error(ran)}")
        return None

    def _wishes(self) -> tuple[tuple[str, ...], ...]:
        only: tuple[str, ...] = ()
        if self.task.args.architecture == ALL:
            only = ("--indep-only",)
        elif not self.task.args.arch_indep:
            only = ("--arch-only",)
        build_dep = ("build-dep", *only, f"{PLACE}/{self.task.args.dsc}")
        return (("install", "fakeroot"), build_dep) if self._install_fakeroot else (build_dep,)

    async def _why_not_fetched(self, ran: Ran) -> Ending:
        missing = await self._missing(ran)
        if missing:
            return depfail(missing)
        if _NO_SPACE.search(ran.output):
            return builderfail(f"no space left: {first_error(ran)}")
        if _FETCH_FAILED.search(ran.output):
            return givenback(f"build dependencies could not be downloaded: {first_error(ran)}")
        check = await self._apt("check")
        if check.code != 0:
            return chrootfail(f"the chroot's packages are broken: {first_error(check)}")
        return packagefail(f"apt cannot make sense of the build dependencies: {first_error(ran)}")

    async def _missing(self, ran: Ran) -> tuple[str, ...]:
        """Return the relations that keep the build dependencies out; where apt hides the reason, ask for it."""
        declared = unmet.declared_relations(self.task.files[self.task.args.dsc].read_text(errors="replace"))
        missing: list[str] = []
        digs = DIG
        for relation in unmet.read_unmet(ran.output):
            text = unmet.as_declared(relation, declared)
            deeper: list[str] = []
            if relation.direct and not relation.clear and digs > 0:
                digs -= 1
                asked = await self._apt("--simulate", "satisfy", text)
                deeper = [below.text for below in unmet.read_unmet(asked.output) if not below.direct]
            missing.extend(deeper or [text])
        return tuple(dict.fromkeys(missing))

    async def _apt(self, *arguments: str, network: bool = False) -> Ran:
        names = PutFile(RESOLV, source=Path(RESOLV)) if network else PutFile(RESOLV, "# no network here")
        command = Command(
            (*self._prefix, *APT, *arguments),
            env=APT_ENV,
            network=network,
            files=(names,),
        )
        self.task.log.say(f"apt-get {' '.join(arguments)}")
        return await self.sandbox.run(command, self.task.log.write)

    # -- BUILD, COLLECT ----------------------------------------------------------------------------------------------
    async def _extract(self) -> Ending | None:
        """Extract as the builder: what comes from a stranger is touched by nobody else."""
        ran = await self._as_builder(PLACE, "dpkg-source", "--extract", self.task.args.dsc, SOURCE)
        return None if ran.code == 0 else packagefail(f"the source cannot be extracted: {build_error(ran)}")

    async def _build(self) -> Ending | None:
        args = self.task.args
        kind = "-A" if args.architecture == ALL else "-b" if args.arch_indep else "-B"
        ran = await self._as_builder(f"{PLACE}/{SOURCE}", "dpkg-buildpackage", "-us", "-uc", kind)
        if ran.code == 0:
            return None
        by_signal = f" (ended by signal {ran.code - 128})" if ran.code > 128 else ""  # noqa: PLR2004 - as shells count
        return packagefail(f"dpkg-buildpackage ended with {ran.code}{by_signal}: {build_error(ran)}")

    async def _as_builder(self, cwd: str, *argv: str) -> Ran:
        env = BUILD_ENV | {"PATH": f"{PATH}:/usr/games", "DEB_BUILD_OPTIONS": f"parallel={self.task.parallel}"}
        self.task.log.say(" ".join(argv))
        return await self.sandbox.run(Command(argv, env=env, cwd=cwd, user=BUILDER_ID), self.task.log.write)

    async def _collect(self) -> Ending:
        return await to_its_end(collect, self.root, PLACE.lstrip("/"), self.task.results)


def _there(root: Path, name: str) -> bool:
    """Say whether the fresh chroot has `name`; a link counts, and is not followed out of the chroot."""
    return (root / name).is_symlink() or (root / name).is_file()


def _no_space(ran: Ran) -> Ending | None:
    return builderfail(f"no space left: {first_error(ran)}") if _NO_SPACE.search(ran.output) else None


def first_error(ran: Ran) -> str:
    """Return the line of apt's, dpkg's or tar's output that says best what went wrong: what follows is consequence."""
    errors = _FIRST_ERROR.findall(ran.output)
    return _line(errors[0] if errors else "", ran)


def build_error(ran: Ran) -> str:
    """Return the line of a build's output that says best what went wrong; anybody may have printed the rest."""
    errors = _LAST_ERROR.findall(ran.output)
    return _line(errors[-1] if errors else "", ran)


def _line(error: str, ran: Ran) -> str:
    lines = ran.output.strip().splitlines()
    return (error or (lines[-1] if lines else f"it ended with {ran.code}")).strip()[:400]
