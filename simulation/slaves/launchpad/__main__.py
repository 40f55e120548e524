"""A process with one simulated launchpad-buildd.

python -m simulation.slaves.launchpad --name bob --port 0        # says `READY http://127.0.0.1:PORT`
"""

from __future__ import annotations

import argparse
import sys

from simulation.slaves.launchpad.slave import LaunchpadSlave
from simulation.slaves.script import Conduct, Script


def main() -> None:
    """Run one slave until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m simulation.slaves.launchpad", description=main.__doc__)
    parser.add_argument("--name", default="sim")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--architecture", default="i386")
    parser.add_argument("--seconds", type=float, default=0.0, help="of a build")
    options = parser.parse_args()
    slave = LaunchpadSlave(
        options.name, Script(conducts=(Conduct(seconds=options.seconds),)), architecture=options.architecture
    )
    slave.port = options.port
    slave.start()
    print("READY", slave.url, flush=True)  # noqa: T201
    sys.stdin.read()
    slave.stop()


if __name__ == "__main__":
    main()
