"""`python -m bench NAME …`: run one benchmark and print what it found."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    benchmarks = parser.add_subparsers(required=True, metavar="NAME", dest="name")
    dispatch = benchmarks.add_parser("dispatch", help="from a job's INSERT to its `Build` at a slave; claims; memory")
    dispatch.add_argument("--builders", type=int, default=20, help="builders, each with a simulated slave")
    dispatch.add_argument("--jobs", type=int, default=500, help="jobs of each of the two rounds")
    dispatch.add_argument("--rate", type=float, default=10.0, help="jobs a second in the first round")
    matcher = benchmarks.add_parser("matcher", help="one decision of the matcher in a large farm")
    matcher.add_argument("--jobs", type=int, default=100_000, help="jobs that wait")
    matcher.add_argument("--owners", type=int, default=200, help="owners of untrusted archives")
    matcher.add_argument("--builders", type=int, default=1_000, help="in eight processor families")
    matcher.add_argument("--decisions", type=int, default=20_000, help="that are measured")
    restart = benchmarks.add_parser("restart", help="how soon a farm works again whose master is restarted")
    restart.add_argument("--builders", type=int, default=20, help="builders, each with a simulated slave")
    restart.add_argument("--seconds", type=float, default=30.0, help="of a build: more than the restart takes")
    restart.add_argument("--kill", action="store_true", help="kill -9 instead of SIGTERM")
    simulate = benchmarks.add_parser("simulate", help="builds a second in a simulated farm, on one core")
    simulate.add_argument("--builders", type=int, default=500)
    simulate.add_argument("--jobs", type=int, default=20_000)
    simulate.add_argument("--hours", type=float, default=24.0, help="of the farm's time")
    simulate.add_argument("--minutes", type=float, default=8.0, help="that a build takes in the middle")
    simulate.add_argument("--faults", choices=("none", "light", "heavy"), default="none")
    taps = benchmarks.add_parser("taps", help="what it costs that actors can be tapped while nobody does")
    taps.add_argument("--builders", type=int, default=10, help="builders, each with a simulated slave")
    taps.add_argument(
        "--comparisons", type=int, default=60, help="each of two spells, in which halves of the farm change places"
    )
    taps.add_argument("--seconds", type=float, default=2.0, help="of a spell")
    for benchmark in (dispatch, matcher, restart, simulate, taps):
        benchmark.add_argument("--json", action="store_true", help="one JSON line")
    options = parser.parse_args()
    found = _measure(options)
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:26} {number:10g}" for name, number in found.items()))


def _measure(options: argparse.Namespace) -> dict[str, float]:
    if options.name == "matcher":
        from bench import matcher  # noqa: PLC0415 - it weighs itself: nothing else is to be loaded

        return asdict(matcher.measure(options.jobs, options.owners, options.builders, options.decisions))
    if options.name == "restart":
        from bench import restart  # noqa: PLC0415

        return asdict(restart.measure(options.builders, options.seconds, kill=options.kill))
    if options.name == "simulate":
        from bench import simulate  # noqa: PLC0415

        return asdict(simulate.measure(options.builders, options.jobs, options.hours, options.minutes, options.faults))
    if options.name == "taps":
        from bench import taps  # noqa: PLC0415

        return asdict(taps.measure(options.builders, options.comparisons, options.seconds))
    from bench import dispatch  # noqa: PLC0415

    return asdict(dispatch.measure(options.builders, options.jobs, options.rate))


if __name__ == "__main__":
    main()
