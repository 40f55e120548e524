"""Chaos on a real farm: `python -m tests.chaos run --seed 1`, and what came of all runs: `python -m tests.chaos table`.

A run writes `.state/chaos/seed-N.json` and exits with 1 if the farm did not survive.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from tests.chaos.run import Orders, chaos
from tests.chaos.table import table, write_into

RECORDS: Final = Path(__file__).resolve().parents[2] / ".state" / "chaos"


def main() -> int:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="let the monkey loose once")
    run.add_argument("--seed", type=int, required=True)
    run.add_argument("--jobs", type=int, default=Orders.jobs)
    run.add_argument("--slaves", type=int, default=Orders.slaves)
    run.add_argument("--faults", type=int, default=Orders.faults)
    run.add_argument("--seconds", type=float, default=Orders.seconds, help="of a build, on average")
    run.add_argument("--keep", action="store_true", help="leave logs where they are")
    run.add_argument("--mixed", action="store_true", help="every second slave is one of launchpad-buildd")
    run.add_argument("--records", type=Path, default=RECORDS)
    show = commands.add_parser("table", help="print the figures of all records; --into puts them into a document")
    show.add_argument("--records", type=Path, default=RECORDS)
    show.add_argument("--into", type=Path)
    options = parser.parse_args()
    if options.command == "table":
        figures = table(options.records)
        if options.into is None:
            sys.stdout.write(figures)
        else:
            write_into(options.into, figures)
        return 0
    orders = Orders(
        options.seed,
        options.jobs,
        options.slaves,
        options.faults,
        options.seconds,
        options.records,
        options.keep,
        options.mixed,
    )
    record = chaos(orders)
    file = record.write(options.records)
    for line in record.wrong:
        sys.stderr.write(f"WRONG: {line}\n")
    verdict = "survived" if not record.wrong else f"did NOT survive: {len(record.wrong)} findings"
    sys.stderr.write(
        f"seed {orders.seed}: {verdict}; {orders.jobs} jobs, {len(record.faults)} faults, lost {record.lost}, double "
        f"{record.double}, {record.seconds:.0f} s; {file}\n"
    )
    return 1 if record.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
