"""The backend `userns`: the backend `chroot` for an ordinary user, by subordinate ids.  docs/adr/0035.

Every sandbox is a user namespace in which the slave's user is root; what a build writes belongs to ids that are nobody
else's.  Those files are read and removed in such a namespace, too.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import ClassVar

from slave.building.chroot import PLACE, ChrootBuild
from slave.core.outcomes import Ending, builderfail
from slave.disk.collect import read_ending
from slave.isolation.sandbox import CODE, Command


@dataclass(slots=True)
class UsernsBuild(ChrootBuild):
    """One build in one chroot."""

    mapped: ClassVar[bool] = True

    async def _collect(self) -> Ending:
        """Collect as root of a user namespace: what the build left may be closed to us."""
        host = replace(self.sandbox, root=None, allowance=None)
        argv = (sys.executable, "-P", "-B", "-m", "slave.disk.collect")
        places = (str(self.sandbox.root), PLACE.lstrip("/"), str(self.task.results))
        ran = await host.run(Command((*argv, *places), env={"PYTHONPATH": str(CODE)}), lambda _: None)
        if ran.code != 0:
            return builderfail(f"the results cannot be collected: {ran.output.strip()[-400:]}")
        return read_ending(ran.output)
