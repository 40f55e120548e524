"""Where a running farm is found: `run.json` in the state directory, there while it runs.

Written by `actors.wiring`; read by the console and the command line.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from actors.system.ports import port_refused

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunningFarm:
    """One running master."""

    pid: int
    admin_port: int  #: of the actor system, on loopback
    supervisor_port: int
    database: str  #: where it leads, for people; no password
    farm: str  #: UUID, as its database has it


def write_run_file(file: Path, farm: RunningFarm) -> None:
    """Say that a farm runs."""
    new = file.with_name(file.name + ".new")
    new.write_text(json.dumps(asdict(farm)) + "\n", encoding="utf-8")
    new.replace(file)


def running_farm(file: Path) -> RunningFarm | None:
    """Return the farm that runs, or None; a file left by a master that was killed counts as none.

    Raises:
        PermissionError: the state directory is not ours to read.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        farm = RunningFarm(**content)
        _check(farm)
    except PermissionError:
        raise
    except (OSError, ValueError, TypeError):
        return None
    return farm if _alive(farm.pid) and port_refused(farm.admin_port) else None


def _check(farm: RunningFarm) -> None:
    """Refuse, with ValueError, what no farm writes: a file that is damaged must not be believed."""
    if type(farm.pid) is not int or not 0 < farm.pid < 2**31:
        raise ValueError(farm.pid)
    for port in (farm.admin_port, farm.supervisor_port):
        if type(port) is not int or not 0 <= port < 2**16:
            raise ValueError(port)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
