"""The wheel carries every folder, and gets along with foreign packages of the same names."""

from __future__ import annotations

import ast
import configparser
import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from actors.settings import Settings
from buildd_master import __version__

TOP = Path(__file__).resolve().parent.parent
ROOMS = (
    "actors",
    "certificates",
    "cli",
    "console",
    "host",
    "protocol",
    "publishing",
    "simulation",
    "slave",
    "storage",
    "web",
)
APP = "buildd_master.app"


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(TOP / "setup.cfg")
    return parser


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def folders_of_the_product() -> set[str]:
    return {str(found.parent.relative_to(TOP)) for room in ROOMS for found in (TOP / room).rglob("*.py")}


def test_every_folder_of_the_product_is_a_package_of_the_wheel(config: configparser.ConfigParser) -> None:
    expected = {"buildd_master"} | {f"{APP}.{folder.replace('/', '.')}" for folder in folders_of_the_product()}
    assert set(lines(config["options"]["packages"])) == expected


def test_every_package_of_the_wheel_is_mapped_to_its_folder(config: configparser.ConfigParser) -> None:
    mapping = dict(line.split(" = ") for line in lines(config["options"]["package_dir"]))
    expected = {f"{APP}.{folder.replace('/', '.')}": folder for folder in folders_of_the_product()}
    assert mapping == {"buildd_master": "buildd_master", APP: "."} | expected


def test_every_folder_has_an_init_file() -> None:
    assert [folder for folder in folders_of_the_product() if not (TOP / folder / "__init__.py").exists()] == []


def test_every_file_that_is_no_python_is_package_data(config: configparser.ConfigParser) -> None:
    carried = {
        path
        for package, patterns in config["options.package_data"].items()
        for pattern in lines(patterns)
        for path in (TOP / package.removeprefix(f"{APP}.").replace(".", "/")).glob(pattern)
    }
    there = {
        path
        for room in ROOMS
        for path in (TOP / room).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert there == carried


def test_every_dependency_has_its_reason_in_the_documents(config: configparser.ConfigParser) -> None:
    wanted = lines(config["options"]["install_requires"]) + lines(config["options.extras_require"]["test"])
    names = {line.split("[")[0].split("=")[0].split(">")[0] for line in wanted}
    rows = (TOP / "docs" / "dependencies.md").read_text().splitlines()
    reasons = {row.split("`")[1]: row.split("|")[2].strip() for row in rows if row.startswith("| `")}
    assert set(reasons) == names
    assert all(reasons.values())


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    """Return the versions that our Debian packages carry."""
    listed = [line.split()[0] for line in lines((TOP / "debian" / "wheels.txt").read_text()) if line[0] != "#"]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in listed)}


def needed(requirement: Requirement) -> Iterator[str]:
    """Yield what a requirement needs, itself included, by what is installed here."""
    yield canonicalize_name(requirement.name)
    extras = {"", *requirement.extras}
    for text in metadata.requires(requirement.name) or ():
        below = Requirement(text)
        if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
            yield from needed(below)


def test_the_debian_packages_carry_what_setup_cfg_asks_for(
    config: configparser.ConfigParser, pins: dict[str, str]
) -> None:
    for wanted in map(Requirement, lines(config["options"]["install_requires"])):
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), f"{wanted}: run `.ci/wheels lock`"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the packages are for Python 3.11")
def test_the_debian_packages_carry_all_that_is_needed_and_no_more(
    config: configparser.ConfigParser, pins: dict[str, str]
) -> None:
    wanted = map(Requirement, lines(config["options"]["install_requires"]))
    assert set(pins) == {name for one in wanted for name in needed(one)}, "run `.ci/wheels lock`"


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (name.name.partition(".")[0] for name in names)
            case ast.ImportFrom(module=str(module)):
                yield module.partition(".")[0]


def imported_by(rooms: set[str]) -> set[str]:
    return {name for room in rooms for file in (TOP / room).rglob("*.py") for name in imports(file)}


def test_the_slaves_debian_package_carries_what_the_slave_imports() -> None:
    rooms = {"slave"}
    while more := (imported_by(rooms) & set(ROOMS)) - rooms:
        rooms |= more
    rules = (TOP / "debian" / "rules").read_text()
    (carried,) = (line.split()[2:] for line in lines(rules) if line.startswith("slave_rooms :="))
    assert set(carried) == rooms
    distributions = metadata.packages_distributions()
    foreign = imported_by(rooms) - {*ROOMS, "buildd_master"} - sys.stdlib_module_names
    assert {name for module in foreign for name in distributions[module]} == set(
        lines((TOP / "debian" / "slave-needs.txt").read_text())
    )


def test_the_settings_file_of_the_debian_package_shows_the_defaults() -> None:
    text = (TOP / "debian" / "buildd-master.toml").read_text()
    assert tomllib.loads(text) == {}
    shown = tomllib.loads("\n".join(line.removeprefix("#") for line in lines(text) if not line.startswith("# ")))
    del shown["state_directory"]  # who we are decides; root's is shown
    assert shown == {name: Settings.model_fields[name].default for name in shown}
    assert {"database", "log_level"} <= set(shown)


def outside() -> dict[str, str]:
    """Return the environment of somebody who knows nothing of this checkout."""
    return {name: text for name, text in os.environ.items() if name not in {"PYTHONPATH", "PYTHONPYCACHEPREFIX"}}


@dataclass(frozen=True, slots=True)
class Installation:
    """A virtual environment with our wheel, and distributions of others beside it."""

    folder: Path

    def run(self, *command: str, cwd: Path) -> str:
        done = subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            check=False, cwd=cwd, env=outside(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def build_wheel(workplace: Path) -> Path:
    """Build outside the checkout: setuptools leaves files beside the sources."""
    source = workplace / "source"
    for name in (*ROOMS, "buildd_master"):
        shutil.copytree(TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "run_master.py"):
        shutil.copy(TOP / name, source / name)
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(workplace), str(source)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *command], check=True)
    (wheel,) = workplace.glob("*.whl")
    return wheel


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return our wheel installed after foreign packages named `actors` and `protocol`."""
    workplace = tmp_path_factory.mktemp("wheel")
    environment = workplace / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    # Our dependencies are taken over from the environment that the tests run in: no index is asked.
    shutil.copytree(sysconfig.get_path("purelib"), packages, copy_function=link_or_copy, dirs_exist_ok=True)
    for name in ("actors", "protocol"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text("raise ImportError('the foreign package was imported')\n")
    target = ["install", "--quiet", "--no-deps", "--no-index", str(build_wheel(workplace))]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment / "bin" / "python")]
    subprocess.run([*pip, *target], check=True)
    return Installation(environment)


@pytest.mark.slow
def test_the_wheel_leaves_foreign_packages_of_the_same_names_alone(installation: Installation) -> None:
    (packages,) = installation.folder.glob("lib/python3*/site-packages")
    assert [path.name for path in (packages / "actors").glob("*.py")] == ["__init__.py"]
    assert "foreign" in (packages / "actors" / "__init__.py").read_text()
    assert not (packages / "storage").exists()


@pytest.mark.slow
def test_the_installed_command_finds_its_own_packages_first(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "actors.py").write_text("raise ImportError('a file in the current directory was imported')\n")
    assert __version__ in installation.run("buildd-master", "--version", cwd=tmp_path)
    assert "--listen" in installation.run("buildd-slave", "--help", cwd=tmp_path)
    assert __version__ in installation.run("python", "-m", "buildd_master", "--version", cwd=tmp_path)


@pytest.mark.slow
def test_the_wheel_carries_the_sql(installation: Installation) -> None:
    (app,) = installation.folder.glob("lib/python3*/site-packages/buildd_master/app")
    assert {path.relative_to(app) for path in app.rglob("*.sql")} == {
        path.relative_to(TOP) for path in (TOP / "storage").rglob("*.sql")
    }


@pytest.mark.slow
def test_a_farm_starts_and_stops_from_the_wheel(installation: Installation, tmp_path: Path) -> None:
    state = tmp_path / "state"
    words = tmp_path / "words"
    command = [str(installation.folder / "bin" / "buildd-master"), "--state-directory", str(state), "up"]
    with words.open("w") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=outside()) as up:
        try:
            assert up.stdout is not None
            assert up.stdout.readline().startswith(b"READY "), words.read_text()
            installation.run("buildd-master", "--state-directory", str(state), "status", cwd=tmp_path)
        finally:
            up.terminate()
            code = up.wait(timeout=20)
    assert code == 0, words.read_text()
    assert not (state / "run.json").exists()
    assert processes_that_name(str(installation.folder)) == []


def processes_that_name(text: str) -> list[str]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text in words:
                found.append(words)
    return found
