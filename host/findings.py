"""What a doctor finds: one line a check, with the command that mends it; shown as a table, or as JSON for programs.

    {"ok": true, "checks": [{"check": "clock", "verdict": "ok", "found": "synchronised", "mend": ""}, …]}

The document's keys and the four verdicts stay as they are; checks may be added.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Verdict(StrEnum):
    """What is to be thought of it."""

    OK = "ok"
    WARNING = "warning"  #: it works, but not everything will, or not for long
    BROKEN = "broken"  #: something that is wanted can't work
    DOES_NOT_APPLY = "does not apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    found: str  #: one line
    mend: str = ""  #: one command, or one step; empty if nothing is to be mended


Check = Callable[[], Iterable[Finding]]

_SHAPES: Final = {
    Verdict.OK: ("✔", "#009E73"),
    Verdict.WARNING: ("▲", "#E69F00"),
    Verdict.BROKEN: ("✘", "#D55E00"),
    Verdict.DOES_NOT_APPLY: ("–", "bright_black"),  # noqa: RUF001 - the dash is the shape
}


def ok(check: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, mend: str) -> Finding:
    """Return what should be mended."""
    return Finding(check, Verdict.WARNING, found, mend)


def broken(check: str, found: str, mend: str) -> Finding:
    """Return what must be mended."""
    return Finding(check, Verdict.BROKEN, found, mend)


def does_not_apply(check: str, why: str) -> Finding:
    """Return that there was nothing to look at."""
    return Finding(check, Verdict.DOES_NOT_APPLY, why)


def examine(checks: Iterable[tuple[str, Check]]) -> Iterator[Finding]:
    """Make the checks, by name; one that this machine refuses is a finding, too."""
    for name, check in checks:
        try:
            yield from check()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            yield warning(name, f"can't be looked at: {where}{error.strerror}", "run this as root")


def report(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print what was found; return the exit code: 1 if something is broken."""
    healthy = all(one.verdict is not Verdict.BROKEN for one in findings)
    if as_json:
        json.dump(
            {"ok": healthy, "checks": [asdict(one) for one in findings]}, sys.stdout, indent=2, ensure_ascii=False
        )
        sys.stdout.write("\n")
    elif sys.stdout.isatty():
        _print_table(findings)
    else:
        for one in findings:
            sys.stdout.write(f"{one.check}  {one.verdict}  {one.found}" + f"; {one.mend}" * bool(one.mend) + "\n")
    return 0 if healthy else 1


def _print_table(findings: Sequence[Finding]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("CHECK", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("FOUND, AND HOW TO MEND IT", overflow="fold")
    for one in findings:
        shape, colour = _SHAPES[one.verdict]
        found = Text(one.found) if not one.mend else Text.assemble(one.found, "\n", (f"→ {one.mend}", "bold"))
        table.add_row(one.check, Text(f"{shape} {one.verdict}", style=colour), found)
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    counts = [(sum(one.verdict is kind for one in findings), kind) for kind in (Verdict.BROKEN, Verdict.WARNING)]
    console.print(Text(", ".join(f"{count} {kind}" for count, kind in counts if count) or "all is well", style="bold"))
