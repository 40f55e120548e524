"""`buildd-slave doctor`: real directories, ports, certificates and slaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from host.findings import Finding, Verdict
from slave.readiness import doctor, ordinary_user
from slave.readiness.doctor import Wish
from slave.readiness.ordinary_user import Lack
from tests.fix_certificates import Papers, builder_of, master_of
from tests.fix_slaves import CHECKOUT, RealSlave

BACKEND = "chroot" if os.geteuid() == 0 else "host"


def wish(directory: Path, **fields: Any) -> Wish:
    given = {"token_file": None, "listen": "127.0.0.1:0", "backend": ""} | fields
    return Wish(state_directory=directory, **given)


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def run(*options: str | Path) -> tuple[int, dict[str, dict[str, str]]]:
    command = [sys.executable, "-m", "slave", "doctor", "--json", *map(str, options)]
    ran = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    document = json.loads(ran.stdout)
    assert document["ok"] is (ran.returncode == 0)
    return ran.returncode, {one["check"]: one for one in document["checks"]}


def test_a_machine_that_will_do_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state"
    code, found = run("--state-directory", state, "--listen", "127.0.0.1:0", "--backend", BACKEND)
    assert code == 0, found
    assert found["state directory"]["found"] == f"{state}, made at the first start"
    assert found["token"]["verdict"] == "warning"
    assert found["slave"]["verdict"] == found["certificate"]["verdict"] == "does not apply"
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    assert found["architectures"]["found"].startswith(architecture.stdout.strip())
    assert not state.exists()


def test_a_slave_that_runs_is_recognized_and_its_port_is_its_own(tmp_path: Path) -> None:
    slave = RealSlave(tmp_path, "a-token")
    slave.start()
    try:
        assert slave.process is not None
        here = wish(slave.state_directory, listen=f"127.0.0.1:{slave.port}", token_file=slave.token_file)
        assert only(doctor.running(slave.state_directory)).found == f"runs (pid {slave.process.pid})"
        assert only(doctor.port(here)).found == f"127.0.0.1:{slave.port}, held by the slave that runs"
        assert only(doctor.token(here)).verdict is Verdict.OK
    finally:
        slave.end(signal.SIGTERM)
    assert only(doctor.running(slave.state_directory)).verdict is Verdict.DOES_NOT_APPLY
    assert only(doctor.port(here)).found.endswith("is free")


def test_a_taken_or_impossible_address_is_broken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = only(doctor.port(wish(tmp_path, listen=f"127.0.0.1:{port}")))
    assert (taken.verdict, taken.found) == (Verdict.BROKEN, f"127.0.0.1:{port}: Address already in use")
    assert only(doctor.port(wish(tmp_path, listen="0.0.0.0:8221"))).verdict is Verdict.BROKEN  # not enrolled


def test_a_token_that_others_may_read_is_broken(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    found = only(doctor.token(wish(tmp_path, token_file=token)))
    assert found.verdict is Verdict.BROKEN
    assert "open to others" in found.found


@pytest.mark.parametrize(
    ("backend", "verdict", "words"),
    [
        ("", Verdict.OK, f"{'chroot' if os.geteuid() == 0 else 'userns'}, since "),
        ("host", Verdict.OK, "host, as asked for"),
        ("docker", Verdict.BROKEN, "'docker' is none of chroot"),
    ],
)
def test_the_backend_is_told_with_the_reason(tmp_path: Path, backend: str, verdict: Verdict, words: str) -> None:
    found = only(doctor.backend(wish(tmp_path, backend=backend)))
    assert found.verdict is verdict
    assert found.found.startswith(words)


def test_what_an_ordinary_user_lacks_is_told_one_by_one_with_the_command_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = (Lack("newuidmap is missing", "apt-get install uidmap"), Lack("no namespaces", "sysctl -w …"))
    monkeypatch.setattr(ordinary_user, "lacking", lambda _: lacks)
    found = list(doctor.subordinate(wish(tmp_path, backend="userns")))
    assert [one.verdict for one in found] == [Verdict.BROKEN] * 2
    assert found[0].mend == "as root: apt-get install uidmap"
    assert only(doctor.subordinate(wish(tmp_path, backend="host"))).verdict is Verdict.DOES_NOT_APPLY


def test_programs_that_the_backend_runs_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = only(doctor.programs(wish(tmp_path, backend="host")))
    assert found.verdict is Verdict.BROKEN
    assert found.mend == "apt-get install util-linux tar coreutils dpkg dpkg-dev make"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_directory_from_which_nothing_can_be_run_is_broken(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from slave.readiness import doctor\n"
        f"print(*doctor.state_directory(Path({str(tmp_path / 'state')!r})))"
    )
    mounted = (
        f"mount -t tmpfs -o noexec none {tmp_path} && exec {sys.executable} -c '{script.replace(chr(39), chr(34))}'"
    )
    said = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    assert "BROKEN" in said
    assert f"mount -o remount,exec {tmp_path}" in said


@pytest.mark.parametrize(
    ("kind", "left", "verdict", "words"),
    [
        ("builder", 365, Verdict.OK, "of builder 'bob', valid until"),
        ("builder", 20, Verdict.WARNING, "of builder 'bob', expires on"),
        ("builder", -1, Verdict.BROKEN, "expired on"),
        ("master", 365, Verdict.BROKEN, "it is no builder's"),
    ],
)
def test_a_certificate_is_good_for_a_while_or_said_not_to_be(
    papers: Papers, kind: str, left: int, verdict: Verdict, words: str
) -> None:
    whose = builder_of("bob") if kind == "builder" else master_of()
    directory = papers.issue("tls", whose, began=timedelta(days=30), life=timedelta(days=30 + left)).parent
    found = only(doctor.certificate(directory))
    assert found.verdict is verdict
    assert found.found.startswith(words)
    assert only(doctor.token(wish(directory))).verdict is Verdict.DOES_NOT_APPLY


@pytest.mark.parametrize(("free", "verdict"), [(500_000, Verdict.WARNING), (8_000_000, Verdict.OK)])
def test_little_memory_is_a_warning(free: int, verdict: Verdict) -> None:
    found = only(doctor.memory(f"MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:  {free} kB\n"))
    assert found.verdict is verdict
