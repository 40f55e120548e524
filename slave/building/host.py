"""The backend `host`: builds right on this machine, with its files, its network and the slave's own rights.

No isolation at all: refused unless the operator names it, and `slave.core.build_args` refuses untrusted builds for it.
Namespaces are used for one thing only: to kill all of a build.  Nothing is installed; what is missing is DEPFAIL.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass, field

from protocol.messages import Phase
from slave.building import unmet
from slave.building.backend import Step, Task
from slave.building.chroot import build_error
from slave.core.build_args import ALL
from slave.core.outcomes import Ending, depfail, packagefail
from slave.disk.collect import collect
from slave.isolation.limits import Allowance
from slave.isolation.sandbox import Command, Ran, Sandbox

SOURCE = "source"
_UNMET = re.compile(r"error: [Uu]nmet build dependencies: (.+)")
_RELATION = re.compile(r"\S+(?: \([<>=]+ [^)]+\))?(?: \| \S+(?: \([<>=]+ [^)]+\))?)*")


@dataclass(slots=True)
class HostBuild:
    """One build on the host."""

    task: Task
    sandbox: Sandbox = field(init=False)

    def __post_init__(self) -> None:
        """Make the sandbox; nothing is run yet."""
        allowance = Allowance.of(self.task.args, self.task.tree)
        self.sandbox = Sandbox(None, self.task.state_directory, allowance=allowance)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps; those of the chroot have no counterpart here."""
        return (
            (Phase.UNPACK, self._unpack),
            (Phase.INSTALL_DEPS, self._check_dependencies),
            (Phase.BUILD, self._build),
            (Phase.COLLECT, self._collect),
        )

    async def _unpack(self) -> Ending | None:
        tree = self.task.tree
        tree.mkdir()
        for name, path in self.task.files.items():
            shutil.copyfile(path, tree / name)
        ran = await self._run(".", "dpkg-source", "--extract", self.task.args.dsc, SOURCE)
        return None if ran.code == 0 else packagefail(f"the source cannot be extracted: {build_error(ran)}")

    async def _check_dependencies(self) -> Ending | None:
        kind = ("-A",) if self.task.args.architecture == ALL else () if self.task.args.arch_indep else ("-B",)
        ran = await self._run(SOURCE, "dpkg-checkbuilddeps", "-I", *kind)
        if ran.code == 0:
            return None
        found = _UNMET.search(ran.output)
        if found is None:
            return packagefail(f"dpkg-checkbuilddeps ended with {ran.code}: {build_error(ran)}")
        declared = unmet.declared_relations(self.task.files[self.task.args.dsc].read_text(errors="replace"))
        texts = {" | ".join(one.text for one in group) for group in declared}
        said = _RELATION.findall(found[1])
        return depfail(tuple(text for text in said if text in texts) or tuple(said))

    async def _build(self) -> Ending | None:
        args = self.task.args
        kind = "-A" if args.architecture == ALL else "-b" if args.arch_indep else "-B"
        ran = await self._run(SOURCE, "dpkg-buildpackage", "-d", "-us", "-uc", kind)
        if ran.code == 0:
            return None
        return packagefail(f"dpkg-buildpackage ended with {ran.code}: {build_error(ran)}")

    async def _collect(self) -> Ending:
        return await asyncio.to_thread(collect, self.task.tree, "", self.task.results)

    async def _run(self, cwd: str, *argv: str) -> Ran:
        env = {"LC_ALL": "C.UTF-8", "HOME": str(self.task.tree), "DEB_BUILD_OPTIONS": f"parallel={self.task.parallel}"}
        self.task.log.say(" ".join(argv))
        command = Command(argv, env=env, cwd=str(self.task.tree / cwd))
        return await self.sandbox.run(command, self.task.log.write)
