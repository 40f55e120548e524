"""`buildd-master builder` on a real database."""

from __future__ import annotations

from cli.given import login_name
from cli.packages import host_apt
from tests.fix_cli import Command
from tests.fix_storage import Farm

URL = "buildd://127.0.0.1:8221"


def test_a_builder_is_registered_and_listed(command: Command) -> None:
    added = command("builder", "add", "bob", URL, "--family", "x86", "--trusted")
    assert (added.code, added.err) == (0, "")
    assert "registered builder bob" in added.out
    assert "trusted code only" in added.out
    (bob,) = command("builder", "list", "--json").json["builders"]
    assert (bob["name"], bob["url"], bob["families"], bob["trusted"]) == ("bob", URL, ["x86"], True)
    assert bob["state"] == "DISCONNECTED"


def test_a_table_into_a_pipe_has_one_line_a_builder(command: Command) -> None:
    for port, name in enumerate(("bob", "frog"), 8221):
        command("builder", "add", name, f"buildd://127.0.0.1:{port}", "--family", "x86")
    lines = command("builder", "list").out.splitlines()
    assert lines[0].split()[:3] == ["BUILDER", "STATE", "SINCE"]
    assert [line.split()[0] for line in lines[1:]] == ["bob", "frog"]


def test_a_change_is_the_persons_and_says_why(command: Command) -> None:
    command("builder", "add", "bob", URL, "--family", "x86")
    assert command("builder", "set", "bob", "--not-ok", "--notes", "smells of smoke").code == 0
    shown = command("builder", "show", "bob", "--json").json
    assert (shown["builderok"], shown["failnotes"], shown["notok_by"], shown["state"]) == (
        False,
        "smells of smoke",
        "person",
        "NOT OK",
    )
    assert shown["events"][-1]["why"] == "smells of smoke"
    assert shown["events"][-1]["who"] == login_name()
    assert command("builder", "set", "bob", "--ok").code == 0
    assert command("builder", "show", "bob", "--json").json["failnotes"] == ""


def test_a_builder_without_a_family_is_for_this_machines(command: Command) -> None:
    assert command("builder", "add", "bob", URL, "--json").json["architectures"] == [host_apt.architecture()]


def test_a_change_is_said_as_it_is_now(command: Command) -> None:
    command("builder", "add", "bob", URL, "--family", "x86", "--trusted", "--manual")
    assert command("builder", "set", "bob", "--auto", "--untrusted", "--ok").out == (
        "changed builder bob: untrusted, automatic, ok\n"
    )
    assert command("builder", "set", "bob", "--manual", "--trusted").out == "changed builder bob: trusted, manual\n"


def test_several_fields_change_at_once(command: Command) -> None:
    command("builder", "add", "bob", URL, "--family", "x86")
    changed = command(
        "builder", "set", "bob", "--trusted", "--manual", "--family", "amd64", "--tag", "big", "--json"
    ).json
    assert (changed["trusted"], changed["manual"], changed["families"], changed["tags"]) == (
        True,
        True,
        ["amd64"],
        ["big"],
    )


def test_a_removed_builder_is_gone(command: Command) -> None:
    command("builder", "add", "bob", URL, "--family", "x86")
    assert command("builder", "remove", "bob").code == 0
    assert command("builder", "list", "--json").json == {"builders": []}


BAD_INPUT = [
    (("add", "bob", "https://127.0.0.1:8221", "--family", "x86"), "the scheme must be buildd"),
    (("add", "bob", "nonsense", "--family", "x86"), "'nonsense' is no slave's URL"),
    (("add", "bob", "buildd://127.0.0.1", "--family", "x86"), "the port is missing"),
    (("add", "Bob!", URL, "--family", "x86"), "builder 'Bob!' can't be"),
    (("add", "bob", URL, "--family", "vax"), "no processor family 'vax'"),
    (("add", "bob"), "Missing argument 'URL'"),
    (("show", "nobody"), "no builder 'nobody'"),
    (("set", "nobody", "--ok"), "no builder 'nobody'"),
    (("set", "nobody"), "nothing to change"),
    (("set", "nobody", "--ok", "--notes", "x"), "--notes goes with --not-ok"),
    (("remove", "nobody"), "no builder 'nobody'"),
    (("frobnicate",), "No such command 'frobnicate'"),
    (("list", "--frobnicate"), "No such option: --frobnicate"),
]


def test_bad_input_is_one_line_and_exit_code_2(command: Command) -> None:
    for arguments, words in BAD_INPUT:
        ran = command("builder", *arguments)
        assert (ran.code, ran.out) == (2, ""), ran
        assert words in ran.err, arguments
        assert ran.err.startswith("buildd-master: ")
        assert ran.err.count("\n") == 1


def test_a_second_builder_of_one_name_is_refused(command: Command) -> None:
    command("builder", "add", "bob", URL, "--family", "x86")
    second = command("builder", "add", "bob", "buildd://127.0.0.1:9", "--family", "x86")
    assert second.code == 2
    assert "a builder 'bob' already" in second.err
    assert command("builder", "show", "bob", "--json").json["url"] == URL


def test_an_error_is_json_too_where_json_was_asked_for(command: Command) -> None:
    ran = command("builder", "show", "nobody", "--json")
    assert ran.json["error"]["exit"] == ran.code == 2
    assert "no builder 'nobody'" in ran.json["error"]["text"]


def test_why_a_builder_was_changed_and_removed_is_in_the_event_log(command: Command, laid_out: Farm) -> None:
    laid_out.builder("bob")
    command("builder", "set", "bob", "--manual", "--why", "for the rebuild")
    command("builder", "set", "bob", "--not-ok", "--notes", "no disk", "--why", "waits for the shop")
    command("builder", "remove", "bob", "--why", "sold")
    told = laid_out.events.story("builder:bob")
    assert [one.why for one in told[-3:]] == ["for the rebuild", "waits for the shop", "sold"]
