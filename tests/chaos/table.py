"""The figures of docs/reliability.md, made from the records of runs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

from tests.chaos.plan import Kind

BEGIN, END = "<!-- chaos: made by `make chaos-table` -->", "<!-- chaos: end -->"
_WORDS: Final = {
    Kind.KILL_BUILDER: "a builder's actor: kill -9",
    Kind.STOP_BUILDER: "a builder's actor: SIGSTOP, 1-9 s",
    Kind.KILL_QUEUE: "the queue actor: kill -9",
    Kind.STOP_QUEUE: "the queue actor: SIGSTOP, 1-9 s",
    Kind.KILL_NURSERY: "a nursery: kill -9",
    Kind.STOP_NURSERY: "a nursery: SIGSTOP, 1-9 s",
    Kind.KILL_SUPERVISOR: "the supervisor: kill -9",
    Kind.STOP_SUPERVISOR: "the supervisor: SIGSTOP, 1-9 s",
    Kind.KILL_ADMIN: "Thespian's admin: kill -9",
    Kind.STOP_ADMIN: "Thespian's admin: SIGSTOP, 1-9 s",
    Kind.KILL_MASTER: "the whole master: kill -9",
    Kind.STOP_MASTER: "run_master: SIGSTOP, 1-4 s",
    Kind.KILL_SLAVE: "a slave: kill -9, back after 0-3 s",
    Kind.STOP_SLAVE: "a slave: SIGSTOP, 1-12 s",
    Kind.RESET_LINK: "a link: reset",
    Kind.CUT_LINK: "a link: cut, both ways, 1-12 s",
    Kind.MUTE_LINK: "a link: cut, slave to master, 1-12 s",
    Kind.DEAF_LINK: "a link: cut, master to slave, 1-12 s",
    Kind.SLOW_LINK: "a link: 20 kB/s, 2-8 s",
    Kind.STOP_POSTGRES: "PostgreSQL: stopped, 1-8 s",
    Kind.KILL_POSTGRES: "PostgreSQL: kill -9, back after 0-3 s",
    Kind.FREEZE_POSTGRES: "PostgreSQL: all processes SIGSTOP, 1-8 s",
    Kind.FILL_STATE: "disk of librarian, logs, keys: full, 3-8 s",
    Kind.FILL_POSTGRES: "disk of PostgreSQL: full, 3-8 s",
}


def table(directory: Path) -> str:
    """Return the figures of all records in `directory`, as Markdown."""
    records = [json.loads(file.read_text()) for file in sorted(directory.glob("seed-*.json"), key=_seed)]
    if not records:
        return "no records: `make chaos SEED=1` makes one\n"
    faults: Counter[str] = Counter()
    recovered: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for fault in record["faults"]:
            if fault["note"]:
                continue  # it was not done
            faults[fault["kind"]] += 1
            if fault["recovered"] is not None:
                recovered[fault["kind"]].append(fault["recovered"])
    lines = [
        *_summary(records, sum(faults.values())),
        "",
        "| fault | times | recovered: p50 | p99 |",
        "|---|---|---|---|",
    ]
    for kind, words in _WORDS.items():
        times = recovered[kind]
        p50, p99 = (f"{percentile(times, part):.1f} s" if times else "-" for part in (50, 99))
        lines.append(f"| {words} | {faults[kind]} | {p50} | {p99} |")
    every = [seconds for times in recovered.values() for seconds in times]
    if every:
        p50, p99 = (f"{percentile(every, part):.1f} s" for part in (50, 99))
        lines.append(f"| all | {sum(faults.values())} | {p50} | {p99} |")
    return "\n".join(lines) + "\n"


def write_into(document: Path, figures: str, begin: str = BEGIN, end: str = END) -> None:
    """Put the figures between the marks of a document."""
    text = document.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{begin}\n{figures}{end}{after}")


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def _summary(records: list[dict[str, Any]], faults: int) -> list[str]:
    jobs = sum(record["orders"]["jobs"] for record in records)
    ended: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for record in records:
        ended.update(record["ended"])
        outcomes.update(record["outcomes"])
    survived = sum(not record["wrong"] for record in records)
    acts = Counter(act["what"] for record in records for act in record["acts"])
    seeds = [record["orders"]["seed"] for record in records]
    return [
        f"| {len(records)} runs (seeds {_ranges(seeds)}) | |",
        "|---|---|",
        f"| survived | {survived} |",
        f"| jobs | {jobs} |",
        f"| faults | {faults} |",
        f"| lost | {sum(record['lost'] for record in records)} |",
        f"| accepted twice | {sum(record['double'] for record in records)} |",
        f"| builds ended | {_counted(ended)} |",
        f"| attempts | {_counted(outcomes)} |",
        f"| operator | {_counted(acts) or 'had nothing to do'} |",
        f"| a run takes | {percentile([record['seconds'] for record in records], 50):.0f} s (p50) |",
    ]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{what} {number}" for what, number in counter.most_common())


def _ranges(seeds: list[int]) -> str:
    ordered = sorted(seeds)
    if ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]}-{ordered[-1]}" if len(ordered) > 1 else str(ordered[0])
    return ", ".join(map(str, ordered))


def _seed(file: Path) -> int:
    return int(file.stem.partition("-")[2])
