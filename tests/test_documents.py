"""What the documents say about settings is what the code has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from actors.core.roles import NEEDS, NEEDS_IF_PRIVATE, Action, Role
from actors.core.timers import Timers
from actors.reload import RELOADED
from actors.settings import Settings
from storage.limits import parse

DOCS = Path(__file__).resolve().parent.parent / "docs"


def rows_of_settings() -> Iterator[tuple[str, str, str]]:
    for row in (DOCS / "settings.md").read_text().splitlines():
        if row.startswith("| `"):
            name, default, *others = (cell.strip().strip("`") for cell in row.strip("|").split("|"))
            yield name, default, others[0]


def test_every_setting_stands_in_the_documents_with_its_default() -> None:
    documented = {name: default for name, default, _ in rows_of_settings()}
    timers = {one.name: str(one.default) for one in fields(Timers)}
    defaults = Settings.model_fields["limits"].default
    limits = {name: _limit(name, value) for name, value in asdict(defaults).items()}
    sections = {"timers", "limits"}
    others = {name: str(one.default) for name, one in Settings.model_fields.items() if name not in sections}
    others["state_directory"] = "/var/lib/buildd-master"  # who we are decides; root's is documented
    assert documented == others | timers | limits


def _limit(name: str, value: int | None) -> str:
    """Return the spelling of a limit in the documents, which the settings read back as this value."""
    spelt = {key: default for key, default, _ in rows_of_settings()}.get(name, "")
    assert value == (None if spelt == "none" else parse(name, spelt, bare=True))
    return spelt


def test_the_documents_say_of_every_setting_whether_it_changes_while_the_master_runs() -> None:
    documented = {name: when for name, _, when in rows_of_settings() if name in Settings.model_fields}
    others = Settings.model_fields.keys() - {"timers", "limits"}
    assert documented == {name: "running" if name in RELOADED else "next start" for name in others}


_ROLES = {Role.BUILDD_ADMIN: "buildd-admin", Role.OWNER: "the archive's owner", Role.ONESELF: "that person"}


def test_what_needs_which_role_stands_in_the_documents() -> None:
    rows = [row.strip("|").split("|") for row in (DOCS / "roles.md").read_text().splitlines() if row.startswith("| ")]
    told = {to.strip(): needs.strip() for to, needs, *_ in rows}
    for action in Action:
        private = NEEDS_IF_PRIVATE.get(action)
        for roles, article in (
            (NEEDS[action], " a public archive" if private else ""),
            (private, " a private archive"),
        ):
            if roles is not None:
                needs = ", or ".join(_ROLES[role] for role in roles if role is not Role.ANYBODY) or "nothing"
                assert [told[to] for to in told if to.startswith(f"{action.value}{article}")] == [needs], action
