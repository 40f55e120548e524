"""A simulated launchpad-buildd slave in a process of its own: killed and started again it is IDLE, as a real one.

    python -m tests.chaos.launchpad_process --name sim2 --port 8221

Says READY when it listens, lives until it is killed.  How a build goes is in the name of its source, as with our slaves.
"""

from __future__ import annotations

import argparse
import threading

from simulation.slaves.launchpad.slave import LaunchpadSlave
from tests.chaos.slave_process import NamedConduct


def main() -> None:
    """Run one slave."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.launchpad_process")
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a build, on average")
    options = parser.parse_args()
    slave = LaunchpadSlave(options.name, NamedConduct(seconds=options.seconds))
    slave.port = options.port
    slave.start()
    print("READY", flush=True)  # noqa: T201
    threading.Event().wait()


if __name__ == "__main__":
    main()
