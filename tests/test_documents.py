"""What the documents say about settings, roles and the life of a build is what the code has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from actors.core.attempts.verdict import VerdictRules, verdict
from actors.core.dispatch.pockets import OPEN
from actors.core.people.roles import NEEDS, NEEDS_IF_PRIVATE, Action, Role
from actors.core.timers import Timers
from actors.master.reload import RELOADED
from actors.settings import Settings
from cli.builders import quarantine
from cli.builds import verbs as build_verbs
from cli.jobs import verbs as job_verbs
from cli.whole_farm import dispatch
from storage.limits import parse
from storage.records import BuildState, Outcome, Pocket, SeriesStatus
from storage.transitions import MOVES

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
    verdicts = {one.name: str(one.default) for one in fields(VerdictRules)}
    sections = {"timers", "limits", "verdicts"}
    others = {name: str(one.default) for name, one in Settings.model_fields.items() if name not in sections}
    others["state_directory"] = "/var/lib/buildd-master"  # who we are decides; root's is documented
    assert documented == others | timers | limits | verdicts


def _limit(name: str, value: int | None) -> str:
    """Return the spelling of a limit in the documents, which the settings read back as this value."""
    spelt = {key: default for key, default, _ in rows_of_settings()}.get(name, "")
    assert value == (None if spelt == "none" else parse(name, spelt, bare=True))
    return spelt


def test_the_documents_say_of_every_setting_whether_it_changes_while_the_master_runs() -> None:
    documented = {name: when for name, _, when in rows_of_settings() if name in Settings.model_fields}
    others = Settings.model_fields.keys() - {"timers", "limits", "verdicts"}
    assert documented == {name: "running" if name in RELOADED else "next start" for name in others}


def rows_of_life(heading: str) -> list[tuple[str, str]]:
    """Return the first and the last cell of each row of one table in the chapter on the life of a build."""
    chapter = (DOCS / "operating.md").read_text().partition("\n## The life of a build\n")[2].partition("\n## ")[0]
    table = chapter.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in row.removeprefix("|").removesuffix("|").split("|")] for row in table]
    return [(first, last) for first, *_, last in rows]


def test_the_moves_of_a_build_stand_in_the_documents() -> None:
    moves = [(now.value, ", ".join(one for one in BuildState if one in MOVES[now])) for now in BuildState]
    assert rows_of_life("state") == moves


def test_what_becomes_of_a_build_by_an_outcome_stands_in_the_documents() -> None:
    becomes = [(one.value, verdict(one, BuildState.BUILDING).build.value) for one in Outcome]
    assert rows_of_life("outcome") == becomes


def test_every_verb_of_an_operator_stands_in_the_documents() -> None:
    told = " ".join(first for first, _ in rows_of_life("command")) + " farm resume farm show builder release"
    verbs = {
        f"{group} {command.name}"
        for group, app in (("build", build_verbs), ("build", job_verbs), ("farm", dispatch), ("builder", quarantine))
        for command in app.app.registered_commands
    }
    assert {verb for verb in verbs if verb not in told} == set()


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


def test_the_documents_say_which_pockets_a_status_opens() -> None:
    table = (DOCS / "archives.md").read_text().partition("| status | open pockets |")[2].partition("\n\n")[0]
    documented: dict[SeriesStatus, set[Pocket]] = {}
    for row in table.strip().splitlines()[1:]:
        states, pockets = (cell.replace("(a new series)", "").strip() for cell in row.strip("| ").split("|"))
        named = {"all": list(Pocket), "none": []}.get(pockets)
        opened = {Pocket(word) for word in (pockets.split(", ") if named is None else named)}
        documented |= {SeriesStatus(state.strip()): opened for state in states.split(",")}
    assert documented == OPEN
