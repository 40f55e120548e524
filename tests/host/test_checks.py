"""What both doctors look at, and how findings are shown."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from host import checks
from host.findings import Finding, Verdict, broken, examine, ok, report, warning


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.mark.parametrize(
    ("environment", "verdict", "found"),
    [
        ({"LANG": "C.UTF-8"}, Verdict.OK, "LANG=C.UTF-8"),
        ({"LANG": "de_DE.utf8@euro"}, Verdict.OK, "LANG=de_DE.utf8@euro"),
        ({"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, Verdict.WARNING, "LC_ALL=POSIX is not UTF-8"),
        ({"LANG": "de_DE.ISO-8859-1"}, Verdict.WARNING, "LANG=de_DE.ISO-8859-1 is not UTF-8"),
        ({"LANG": "de_DE.klingon"}, Verdict.WARNING, "LANG=de_DE.klingon is not UTF-8"),
        ({"LANG": ""}, Verdict.WARNING, "unset: names that are not ASCII may be shown wrong"),
    ],
)
def test_a_locale_is_right_if_what_counts_of_it_is_utf_8(
    environment: dict[str, str], verdict: Verdict, found: str
) -> None:
    finding = only(checks.locale(environment))
    assert (finding.verdict, finding.found) == (verdict, found)
    assert bool(finding.mend) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("needed", "wanted", "verdict"),
    [(0, 0, Verdict.OK), (0, 1 << 60, Verdict.WARNING), (1 << 60, 1 << 60, Verdict.BROKEN)],
)
def test_room_is_looked_for_where_the_directory_is_or_will_be(
    needed: int, wanted: int, verdict: Verdict, tmp_path: Path
) -> None:
    finding = only(checks.space("disk", tmp_path / "not" / "there", needed=needed, wanted=wanted))
    assert finding.verdict is verdict
    assert finding.found.partition(":")[0].endswith(f"free at {tmp_path}")


def test_missing_programs_are_named_with_the_one_command_that_installs_them() -> None:
    wanted = {"sh": "dash", "no-such-a": "alpha", "no-such-b": "beta", "no-such-c": "alpha"}
    finding = only(checks.programs("programs", wanted, "everything", must=True))
    assert finding.verdict is Verdict.BROKEN
    assert finding.found == "no-such-a, no-such-b, no-such-c: missing; needed for everything"
    assert finding.mend == "apt-get install alpha beta"
    assert only(checks.programs("programs", {"sh": "dash"}, "everything", must=True)).verdict is Verdict.OK


@pytest.mark.parametrize(("limit", "verdict"), [(1024, Verdict.WARNING), (4096, Verdict.OK), (-1, Verdict.OK)])
def test_a_low_limit_of_open_files_is_a_warning(limit: int, verdict: Verdict) -> None:
    assert only(checks.open_files(limit, needed=4096)).verdict is verdict


@pytest.mark.parametrize(
    ("status", "verdict"), [(0x2001, Verdict.OK), (0x40, Verdict.WARNING), (0x2041, Verdict.WARNING)]
)
def test_a_clock_that_nobody_keeps_is_a_warning(status: int, verdict: Verdict) -> None:
    assert only(checks.clock(status)).verdict is verdict


def test_the_kernel_says_whether_the_clock_is_kept() -> None:
    assert only(checks.clock()).found in {"synchronised", "nobody keeps it right (in a container: the host may)"}


def test_what_this_machine_refuses_to_tell_is_a_finding_and_the_others_are_made() -> None:
    def closed() -> Iterator[Finding]:
        yield ok("first", "fine")
        raise PermissionError(13, "Permission denied", "/root/secret")

    found = list(examine([("closed", closed), ("open", lambda: [ok("open", "fine")])]))
    assert found == [
        ok("first", "fine"),
        warning("closed", "can't be looked at: /root/secret: Permission denied", "run this as root"),
        ok("open", "fine"),
    ]


FINDINGS = (ok("a", "well"), warning("b", "so so", "try harder"), broken("c", "gone", "find it"))


def test_the_exit_code_is_1_if_something_is_broken_and_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(FINDINGS, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["checks"][1] == {"check": "b", "verdict": "warning", "found": "so so", "mend": "try harder"}
    assert report(FINDINGS[:2], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_a_pipe_gets_one_line_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(FINDINGS, as_json=False) == 1
    assert capsys.readouterr().out == "a  ok  well\nb  warning  so so; try harder\nc  broken  gone; find it\n"


def test_a_terminal_gets_a_table_with_what_mends_it_and_a_sum() -> None:
    script = "from host.findings import *; report([ok('a', 'well'), broken('c', 'gone', 'find it')], as_json=False)"
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=follower, env={**os.environ, "TERM": "dumb"})
    os.close(follower)
    said = b""
    while chunk := _read(leader):
        said += chunk
    process.wait()
    os.close(leader)
    lines = said.decode().splitlines()
    assert "✔ ok" in lines[1]
    assert "✘ broken" in lines[2]
    assert lines[3].strip() == "→ find it"
    assert lines[4].strip() == "1 broken"


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # the other end is closed
        return b""
