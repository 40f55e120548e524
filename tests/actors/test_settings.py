"""Settings: file, environment over it, command line over both; what is wrong is named with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.master.settings_file import BadSetting, load_settings
from actors.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("BUILDD_MASTER")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BUILDD_MASTER_STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildd-master.toml"


def refusal(file: Path | None = None, **command_line: object) -> str:
    with pytest.raises(BadSetting) as refused:
        load_settings(file, **command_line)
    return str(refused.value)


def test_the_command_line_goes_over_the_environment_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('stop_seconds = 1\nbuilders_per_nursery = 1\nuser = "a"\n[timers]\nconnect = 1\nlost = 1\n')
    monkeypatch.setenv("BUILDD_MASTER_BUILDERS_PER_NURSERY", "2")
    monkeypatch.setenv("BUILDD_MASTER_USER", "b")
    monkeypatch.setenv("BUILDD_MASTER_TIMERS__LOST", "2")
    settings = load_settings(file, user="c")
    assert (settings.stop_seconds, settings.builders_per_nursery, settings.user) == (1, 2, "c")
    assert (settings.timers.connect, settings.timers.lost) == (1, 2)
    assert settings.timers.heartbeat == Settings().timers.heartbeat


def test_what_is_not_given_on_the_command_line_takes_nothing_away(file: Path) -> None:
    file.write_text("stop_seconds = 1\n")
    assert load_settings(file, stop_seconds=None).stop_seconds == 1


def test_every_file_of_the_state_directory_has_its_place(tmp_path: Path) -> None:
    settings = load_settings()
    places = {
        settings.librarian_directory,
        settings.logs_directory,
        settings.key_file,
        settings.token_file,
        settings.run_file,
    }
    assert len(places) == 5
    assert {place.parent for place in places} == {tmp_path / "state"}


def test_an_unknown_key_of_the_file_is_refused_with_the_file(file: Path) -> None:
    file.write_text("walls = 1\n")
    assert refusal(file) == f"walls: no such setting ({file})"


def test_an_unknown_timer_is_refused_with_the_file(file: Path) -> None:
    file.write_text("[timers]\nconect = 1\n")
    assert "conect" in refusal(file)
    assert str(file) in refusal(file)


def test_an_unknown_environment_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDD_MASTER_WALL", "1")
    assert refusal() == "BUILDD_MASTER_WALL: no such setting (environment variable)"
    monkeypatch.delenv("BUILDD_MASTER_WALL")
    monkeypatch.setenv("BUILDD_MASTER_TIMERS__CONECT", "1")
    assert "BUILDD_MASTER_TIMERS__CONECT" in refusal()


def test_a_bad_value_is_refused_with_its_place(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("stop_seconds = -1\n")
    assert refusal(file).startswith("stop_seconds = -1: input should be greater than 0")
    assert refusal(file).endswith(f"({file})")
    monkeypatch.setenv("BUILDD_MASTER_STOP_SECONDS", "soon")
    assert "'soon'" in refusal(file)
    assert refusal(file).endswith("(environment variable BUILDD_MASTER_STOP_SECONDS)")
    assert refusal(file, stop_seconds="now").endswith("(command line)")


@pytest.mark.parametrize("value", ["0", "-3", "nan", "inf"])
def test_a_timer_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BUILDD_MASTER_TIMERS__CONNECT", value)
    assert "connect" in refusal()
    assert "environment variable" in refusal()


def test_an_environment_variable_that_is_no_json_where_a_section_is_wanted_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUILDD_MASTER_TIMERS", "fast")
    assert "timers" in refusal()


def test_every_fault_is_told(file: Path) -> None:
    file.write_text('walls = 1\nstop_seconds = 0\nadmin_port = 70000\nlog_level = "LOUD"\n')
    assert len(refusal(file).splitlines()) == 4


def test_a_file_that_is_no_toml_is_refused_with_the_line(file: Path) -> None:
    file.write_text("walls == 1\n")
    assert str(file) in refusal(file)
    assert "line 1" in refusal(file)


def test_a_file_that_was_named_must_be_there(file: Path) -> None:
    assert refusal(file) == f"{file}: no such file"


def test_a_password_in_the_dsn_is_not_shown(file: Path) -> None:
    file.write_text('database = "postgresql://me:geheim@localhost/farm"\n')
    assert "geheim" not in repr(load_settings(file))


def test_a_receiver_of_the_webhook_is_checked_and_no_secret_of_it_is_shown(file: Path) -> None:
    file.write_text('webhook = "https://me:geheim@hooks.example/geheim"\n')
    assert "geheim" not in repr(load_settings(file))
    file.write_text('webhook = "ftp://me:geheim@hooks.example"\n')
    assert refusal(file).startswith("webhook: must be a URL, as https://hooks.example/farm or ")
    assert "geheim" not in refusal(file)


def test_limits_are_written_as_people_write_them_and_the_rest_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[limits]\nwall_seconds = "2h"\nmemory_bytes = "4G"\nsilent_seconds = 60\nprocesses = "none"\n')
    monkeypatch.setenv("BUILDD_MASTER_LIMITS__DISK_BYTES", "20G")
    monkeypatch.setenv("BUILDD_MASTER_LIMITS__SILENT_SECONDS", "90")
    limits = load_settings(file).limits
    assert (limits.wall_seconds, limits.silent_seconds, limits.processes) == (7200, 90, None)
    assert (limits.memory_bytes, limits.disk_bytes, limits.file_bytes) == (4 << 30, 20 << 30, None)
    assert limits.log_bytes == Settings().limits.log_bytes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("walls = 1", "there is no limit 'walls'"),
        ("wall_seconds = 0", "wall_seconds can't be 0 s: 1 s to 30 d"),
        ('wall_seconds = "none"', "every build comes to an end"),
        ('wall_seconds = "soon"', "'soon' is no duration"),
        ("memory_bytes = 4", "16 MiB to 1024 TiB"),
        ("memory_bytes = 1.5", "memory_bytes can't be 1.5"),
        ("processes = true", "processes can't be True"),
    ],
)
def test_a_limit_that_can_not_be_is_refused_with_the_file(file: Path, line: str, words: str) -> None:
    file.write_text(f"[limits]\n{line}\n")
    assert words in refusal(file)
    assert str(file) in refusal(file)


def test_systemds_directories_are_the_defaults_of_a_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BUILDD_MASTER_STATE_DIRECTORY")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one")
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    (tmp_path / "buildd-master.toml").write_text("crashes = 5\n")
    settings = load_settings()
    assert (settings.state_directory, settings.crashes) == (Path("/var/lib/one"), 5)


# --- where slaves fetch files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, ""),
        ({"files_url": "http://farm.lan:8219"}, ""),
        ({"files_listen": "10.0.0.1:8219"}, "http://10.0.0.1:8219"),
        ({"files_listen": "[fd00::1]:8219"}, "http://[fd00::1]:8219"),
        ({"files_listen": "0.0.0.0:8219", "files_url": "http://farm.lan:8219/"}, "http://farm.lan:8219"),
    ],
)
def test_slaves_fetch_files_where_the_settings_say(given: dict[str, str], url: str) -> None:
    settings = load_settings(None, **given)
    assert settings.slaves_fetch_at == url
    place, why = settings.files_place()
    assert place is None
    assert "files_listen" in why if not given.get("files_listen") else "the key can't be read" in why


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"files_listen": "0.0.0.0:8219"}, "0.0.0.0:8219 is every address"),
        ({"files_listen": "10.0.0.1:0"}, "must have a port"),
        ({"files_listen": "farm:8219"}, "must be an IP address and a port"),
        ({"files_listen": "10.0.0.1:8219", "files_url": "https://farm.lan:8219"}, "must be http://HOST:PORT"),
        ({"files_listen": "10.0.0.1:8219", "files_url": "http://farm.lan"}, "must be http://HOST:PORT"),
        ({"files_listen": "10.0.0.1:8219", "files_url": "http://farm.lan:8219/files"}, "must be http://HOST:PORT"),
    ],
)
def test_a_place_that_no_slave_would_find_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        load_settings(None, **given)
