"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cli.app import COMMANDS, GROUPS

CHECKOUT = Path(__file__).parents[2]
_WITH_ACTORS = {"up", "console"}  #: they run or enter the actor system


def test_commands_do_not_load_the_actor_system_which_looks_up_this_hosts_name() -> None:
    modules = {COMMANDS[name][0] for name in COMMANDS.keys() - _WITH_ACTORS} | set(GROUPS.values())
    program = f"import sys, {', '.join(sorted(modules))}; sys.exit('thespian' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, check=False).returncode == 0
