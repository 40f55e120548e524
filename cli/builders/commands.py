"""`buildd-master builder`: the machines that build."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.builders import quarantine
from cli.errors import BadInput
from cli.farm import open_farm
from cli.options import completing
from cli.options.saying_why import Why
from cli.options.tags import HadTags, NoRestrictedTags, NoTags, RestrictedTags, had
from cli.packages import host_apt
from cli.terminal.output import AsJson, plain, print_json, say, since, state, when
from cli.terminal.stories import LAST, print_story
from cli.terminal.tables import Facts, Rows
from storage.builders import Builders
from storage.events.log import Events
from storage.records import Builder, BuilderRuntime, RuntimeState
from storage.series import Series

app = typer.Typer(help="The machines that build.", no_args_is_help=True)
app.add_typer(quarantine.app)

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the builder.", show_default=False)]
Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the builder.", autocompletion=completing.builders, show_default=False),
]
Families = Annotated[
    list[str] | None,
    typer.Option("--family", metavar="FAMILY", help="Processor family it builds for, as amd64; may be repeated."),
]


def state_of(builder: Builder, runtime: BuilderRuntime | None) -> str:
    """Return the one word that says how a builder is: a key of `cli.terminal.output.STATES`."""
    if not builder.builderok:
        return "NOT OK"
    if builder.quarantined_until is not None and (runtime is None or runtime.state is RuntimeState.IDLE):
        return "QUARANTINED"
    if builder.frozen_until is not None:
        return "FROZEN"
    if builder.manual and (runtime is None or runtime.state is RuntimeState.IDLE):
        return "MANUAL"
    return runtime.state.value if runtime is not None else RuntimeState.DISCONNECTED.value


def document(builder: Builder, runtime: BuilderRuntime | None) -> dict[str, object]:
    """Return a builder as `--json` shows it."""
    return {
        "name": builder.name,
        "url": builder.url,
        "families": builder.families,
        "architectures": builder.architectures,
        "trusted": builder.trusted,
        "manual": builder.manual,
        "tags": builder.tags,
        "restricted_tags": builder.restricted_tags,
        "builderok": builder.builderok,
        "failnotes": builder.failnotes,
        "notok_by": builder.notok_by,
        "notok_kind": builder.notok_kind,
        "quarantined_until": builder.quarantined_until,
        "quarantine_why": builder.quarantine_why,
        "failures_in_row": builder.failures_in_row,
        "frozen_until": builder.frozen_until,
        "state": state_of(builder, runtime),
        "connected": runtime.connected if runtime else False,
        "since": _since(runtime),
    }


@app.command("list")
def list_builders(context: typer.Context, as_json: AsJson = False) -> None:
    """List the builders, how they are, and why they are not ok."""
    with open_farm(context) as farm:
        builders = Builders(farm.connection).all()
        runtimes = {one.builder: one for one in Builders(farm.connection).runtimes()}
    if as_json:
        print_json({"builders": [document(one, runtimes.get(one.name)) for one in builders]})
        return
    rows = Rows(
        "BUILDER",
        "STATE",
        "SINCE",
        "FAMILIES",
        "TRUST",
        "SLAVE, FAIL NOTES",
        fold=("SLAVE, FAIL NOTES",),
        less=("SINCE", "FAMILIES"),
    )
    for one in builders:
        runtime = runtimes.get(one.name)
        rows.add(
            one.name,
            state(state_of(one, runtime)),
            since(moment) if (moment := _since(runtime)) else "",
            " ".join(one.families),
            "trusted" if one.trusted else "untrusted",
            "\n".join(filter(None, (one.url, one.failnotes, _quarantine(one), _frozen(one)))),
        )
    rows.show("no builders: register one with `buildd-master builder add NAME buildd://HOST:PORT --family FAMILY`")


@app.command("show")
def show_builder(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show all that is known of a builder, and what happened to it last."""
    with open_farm(context) as farm:
        builder = Builders(farm.connection).get(name)
        runtime = next((one for one in Builders(farm.connection).runtimes() if one.builder == name), None)
        story = Events(farm.connection).story(f"builder:{name}")[-LAST:]
    if as_json:
        print_json({**document(builder, runtime), "events": plain(story)})
        return
    facts = Facts()
    facts.add("builder", builder.name)
    facts.add("state", state(state_of(builder, runtime)))
    if moment := _since(runtime):
        facts.add("since", f"{when(moment)} ({since(moment)})")
    facts.add("slave", builder.url)
    facts.add("families", f"{' '.join(builder.families)} (architectures {' '.join(builder.architectures)})")
    facts.add("trust", "trusted code only" if builder.trusted else "untrusted code only")
    facts.add("mode", "manual: gets only what an operator assigns" if builder.manual else "automatic")
    if builder.tags:
        facts.add("tags", " ".join(builder.tags))
    if builder.restricted_tags:
        facts.add("restricted", f"{' '.join(builder.restricted_tags)}: only jobs that ask for all of these")
    if not builder.builderok:
        facts.add("fail notes", builder.failnotes or "none")
        facts.add("marked by", builder.notok_by or "")
    if builder.failures_in_row:
        facts.add("failures", f"{builder.failures_in_row} in a row")
    if builder.quarantined_until is not None:
        facts.add("quarantine", f"{_quarantine(builder)}; `buildd-master builder release {name}` ends it")
    if builder.frozen_until is not None:
        facts.add("frozen", f"{_frozen(builder)}; the console's `thaw {name}` ends it")
    facts.show()
    print_story(story)


@app.command("add")
def add_builder(
    context: typer.Context,
    name: NewName,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Its slave, as buildd://HOST:PORT; http://HOST:PORT of launchpad-buildd.",
            show_default=False,
        ),
    ],
    family: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAMILY",
            help="Processor family it builds for, else this machine's; may be repeated.",
            show_default=False,
        ),
    ] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted/--untrusted", help="It builds trusted code only, or untrusted code only.")
    ] = False,
    manual: Annotated[bool, typer.Option("--manual/--auto", help="It gets only what an operator assigns.")] = False,
    tag: HadTags = None,
    restricted_tag: RestrictedTags = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Register a builder.

    The running farm connects to its slave at once.
    """
    tags = had(tag, restricted_tag)
    with open_farm(context) as farm, farm.acting(why or f"builder add {name}", Action.CHANGE_BUILDERS):
        families = family or [Series(farm.connection).family_of(host_apt.architecture())]
        builder = Builders(farm.connection).add(name, url, families, trusted=trusted, manual=manual, **tags)
    if as_json:
        print_json(document(builder, None))
    else:
        side = "trusted" if builder.trusted else "untrusted"
        say(f"registered builder {builder.name}: {builder.url}, {' '.join(builder.families)}, {side} code only")


@app.command("set")
def set_builder(
    context: typer.Context,
    name: Name,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where its slave is now.")] = None,
    family: Families = None,
    trusted: Annotated[
        bool | None,
        typer.Option("--trusted/--untrusted", help="Lowering it fences a trusted build that runs there."),
    ] = None,
    manual: Annotated[bool | None, typer.Option("--manual/--auto", help="Manual mode.")] = None,
    ok: Annotated[
        bool | None, typer.Option("--ok/--not-ok", help="Whether it may get work; a person's word stands.")
    ] = None,
    notes: Annotated[str | None, typer.Option(metavar="TEXT", help="Fail notes: why it is not ok.")] = None,
    tag: HadTags = None,
    no_tags: NoTags = False,
    restricted_tag: RestrictedTags = None,
    no_restricted_tags: NoRestrictedTags = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Change a builder.

    The running farm follows within milliseconds.
    """
    tags = had(tag, restricted_tag, no_tags=no_tags, no_restricted_tags=no_restricted_tags)
    changes = {"url": url, "families": family, "trusted": trusted, "manual": manual, **tags}
    given = {key: value for key, value in changes.items() if value is not None}
    if notes is not None and ok is not False:
        raise BadInput("fail notes say why a builder is not ok: --notes goes with --not-ok")
    if not given and ok is None:
        raise BadInput(
            f"nothing to change: see `buildd-master builder set --help`; `builder show {name}` shows what is set"
        )
    with open_farm(context) as farm, farm.acting(why or notes or f"builder set {name}", Action.CHANGE_BUILDERS):
        builders = Builders(farm.connection)
        builder = builders.change(name, **given) if given else builders.get(name)  # type: ignore[arg-type]
        if ok is not None:
            builder = builders.set_ok(name, ok, notes or "")
        runtime = next((one for one in builders.runtimes() if one.builder == name), None)
    if as_json:
        print_json(document(builder, runtime))
    else:
        flags = {"trusted": ("untrusted", "trusted"), "manual": ("automatic", "manual")}
        named = {key: key.replace("_", " ") for key in given}
        done = [flags[key][value is True] if key in flags else named[key] for key, value in given.items()]
        done += [] if ok is None else ["ok" if ok else "not ok"]
        say(f"changed builder {name}: {', '.join(done)}")


@app.command("remove")
def remove_builder(context: typer.Context, name: Name, why: Why = None, as_json: AsJson = False) -> None:
    """Forget a builder.

    A build that runs there goes back into the queue, with its place.
    """
    with open_farm(context) as farm, farm.acting(why or f"builder remove {name}", Action.CHANGE_BUILDERS):
        Builders(farm.connection).remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"removed builder {name}")


def _quarantine(builder: Builder) -> str:
    if builder.quarantined_until is None:
        return ""
    return f"quarantined until {when(builder.quarantined_until)}: {builder.quarantine_why or 'nobody said why'}"


def _frozen(builder: Builder) -> str:
    return "" if builder.frozen_until is None else f"frozen at the debug console until {when(builder.frozen_until)}"


def _since(runtime: BuilderRuntime | None) -> datetime | None:
    return runtime.since if runtime else None
