"""`python -m bench NAME …`: run one benchmark and print what it found."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from bench.dispatch import measure


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    benchmarks = parser.add_subparsers(required=True, metavar="NAME")
    dispatch = benchmarks.add_parser("dispatch", help="from a job's INSERT to its `Build` at a slave; claims; memory")
    dispatch.add_argument("--builders", type=int, default=20, help="builders, each with a simulated slave")
    dispatch.add_argument("--jobs", type=int, default=500, help="jobs of each of the two rounds")
    dispatch.add_argument("--rate", type=float, default=10.0, help="jobs a second in the first round")
    dispatch.add_argument("--json", action="store_true", help="one JSON line")
    options = parser.parse_args()
    found = asdict(measure(options.builders, options.jobs, options.rate))
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:20} {number:10g}" for name, number in found.items()))


if __name__ == "__main__":
    main()
