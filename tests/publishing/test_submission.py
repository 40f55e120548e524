"""Sources go into archives and out again: the room `publishing`, on PostgreSQL and in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from actors.core.people.roles import Caller
from actors.core.sources.making import Step
from actors.core.sources.places import Wish
from publishing.architectures import architecture_table
from publishing.stores import Stores, stores_on
from publishing.submission import Submission, Submitted, choose_places, plan, submit
from publishing.withdrawal import Withdrawn, unpublish
from storage.database.connection import acting, connect
from storage.errors import BadValue, DatabaseUnreachable, StorageError, UnknownComponent, UnknownSource
from storage.records import BuildState, NewSource, Outcome, Pocket, PublishingStatus, Urgency
from tests.fix_storage import Farm, Stage, named, stored

ANN = Caller("ann")
PRIMARY = Wish("primary")


@pytest.fixture
def wide(stage: Stage) -> Stage:
    """Give three series: hoary (i386), warty (i386, amd64 nominated), sarge (amd64), all with chroots."""
    with stage.acting("stage"):
        chroot = stage.library.add(stored("chroot"), "chroot.tar.zst").id
        for name, tags in (("warty", ("i386", "amd64")), ("sarge", ("amd64",))):
            families = {tag: stage.series.family_of(tag) for tag in tags}
            for one in stage.series.add("ubuntu", name, families, nominated_archindep="amd64"):
                stage.chroots.set(one.id, Pocket.RELEASE, chroot)
    return stage


def stores(stage: Stage) -> Stores:
    return Stores(
        stage.series,
        stage.chroots,
        stage.archives,
        stage.sources,
        stage.publications,
        stage.making,
        stage.library,
    )


def new(
    version: str = "1.0-1", hints: str = "any", *, present: bool = True, name: str = "foo", **more: object
) -> Submission:
    files = (named(f"{name}_{version}.dsc"), named(f"{name}_{version}.tar.xz"))
    contents = {file.filename: stored(file.filename) for file in files} if present else {}
    source = NewSource(name, version, "main", Urgency.LOW, tuple(hints.split()), files)
    return Submission(source, contents, **more)  # type: ignore[arg-type]


def send(stage: Stage, submission: Submission, wish: Wish = PRIMARY) -> Submitted:
    """Submit as a door does: places, plan, and one transaction."""
    ours = stores(stage)
    source = submission.source
    planned = plan(
        ours,
        choose_places(ours, wish, ANN),
        source.name,
        source.version,
        hints=source.architectures,
        table=architecture_table(),
    )
    with stage.acting("ann", "submit"):
        return submit(ours, planned, submission)


def made(done: Submitted) -> list[tuple[str, bool, Step]]:
    return [(one.build.distroarchseries, one.build.arch_indep, one.step) for one in done.taken]


def published(stage: Stage, name: str = "foo", archive: str = "primary") -> list[tuple[str, str, str, str]]:
    where = stage.archives.get("ubuntu", archive).id
    return [(one.version, one.series, one.pocket, one.status) for one in stage.publications.all(where, name)]


def test_a_source_goes_into_several_series_at_once(wide: Stage) -> None:
    done = send(wide, new(hints="any all"), Wish("primary", ("warty", "sarge")))
    assert made(done) == [
        ("ubuntu/warty/amd64", True, Step.MAKE),
        ("ubuntu/warty/i386", False, Step.MAKE),
        ("ubuntu/sarge/amd64", True, Step.MAKE),
    ]
    assert [job.build for job in wide.queue.jobs()] == [one.build.id for one in done.taken]
    assert published(wide) == [
        ("1.0-1", "sarge", "RELEASE", "PUBLISHED"),
        ("1.0-1", "warty", "RELEASE", "PUBLISHED"),
    ]


def test_series_without_anything_to_build_are_left_out_of_all_and_not_published(wide: Stage) -> None:
    ours = stores(wide)
    places = choose_places(ours, Wish("primary", ("all",)), ANN)
    planned = plan(ours, places, "foo", "1.0", hints=("i386",), table=architecture_table())
    assert planned.remarks == ("foo has nothing to build in ubuntu/sarge: amd64 not meant by the source",)
    with wide.acting("ann"):
        submit(ours, planned, new("1.0", "i386"))
    assert {series for _, series, _, _ in published(wide)} == {"hoary", "warty"}


def test_all_or_nothing(wide: Stage) -> None:
    send(wide, new("2.0"), Wish("primary", ("sarge",)))
    last = wide.events.last_id()
    for submission, wish, match in (
        (new("1.0"), Wish("primary", ("warty", "sarge")), "foo 2.0 is published in primary for sarge RELEASE"),
        (new("3.0", "i386"), Wish("primary", ("warty", "sarge")), "nothing to build in ubuntu/sarge"),
        (new("3.0", tags=("Odd Tag",)), Wish("primary", ("warty",)), "tag 'Odd Tag' can't be"),
        (new("3.0", limits={"wall_seconds": -1}), Wish("primary", ("warty",)), "wall"),
        (new("3.0", component="mainly"), Wish("primary", ("warty",)), "no component 'mainly'"),
    ):
        with pytest.raises(StorageError, match=match):
            send(wide, submission, wish)
    assert wide.events.last_id() == last


def test_a_source_without_any_file_record_is_refused(stage: Stage) -> None:
    bare = NewSource("foo", "1.0", "main", Urgency.LOW, ("any",), ())
    with pytest.raises(BadValue, match=r"foo 1.0 has 0 .dsc files"):
        send(stage, Submission(bare, {}))
    assert stage.queue.jobs() == ()


def test_a_source_whose_files_have_no_content_yet_waits(stage: Stage) -> None:
    send(stage, new("1.0", present=False))
    (job,) = stage.queue.jobs()
    assert job.files_missing == ("foo_1.0.dsc", "foo_1.0.tar.xz")


def test_the_same_source_again_makes_nothing_again_and_queues_what_has_ended(stage: Stage) -> None:
    (first,) = send(stage, new()).taken
    (second,) = send(stage, new()).taken
    assert (second.build.id, second.step, second.before) == (first.build.id, Step.QUEUE, first.build)
    with stage.acting("ann"):
        stage.builds.cancel(first.build.id)
    (third,) = send(stage, new()).taken
    assert (third.build.id, third.build.state) == (first.build.id, BuildState.NEEDSBUILD)
    assert len(stage.queue.jobs()) == 1


def test_what_was_built_is_kept_unless_it_is_asked_for_again(stage: Stage) -> None:
    (first,) = send(stage, new()).taken
    with stage.acting("ann"):
        stage.builders.add("bob", "buildd://bob.example:8221", ("x86",), trusted=True)
    attempt = stage.claim(stage.queue.job(next(job.id for job in stage.queue.jobs())))
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    (kept,) = send(stage, new(tags=("gpu",))).taken
    assert (kept.build.id, kept.step, kept.build.tags) == (first.build.id, Step.KEEP, ())
    assert stage.queue.jobs() == ()
    (again,) = send(stage, new(tags=("gpu",), again=True)).taken
    assert (again.step, again.build.state, again.build.tags) == (Step.MAKE_AGAIN, BuildState.NEEDSBUILD, ("gpu",))
    assert again.build.id != first.build.id
    (there,) = send(stage, new()).taken
    assert there.build.id == again.build.id


def test_tags_and_limits_go_with_each_build_and_replace_those_that_a_waiting_one_had(wide: Stage) -> None:
    where = Wish("primary", ("warty",))
    done = send(wide, new(tags=("gpu", "big"), limits={"wall_seconds": 60}), where)
    assert {(one.build.tags, one.build.limits.wall_seconds) for one in done.taken} == {(("big", "gpu"), 60)}
    done = send(wide, new(), where)
    assert {one.build.tags for one in done.taken} == {("big", "gpu")}
    done = send(wide, new(tags=(), limits={"wall_seconds": None}), where)
    assert {(one.build.tags, one.build.limits.wall_seconds) for one in done.taken} == {((), None)}


def test_jobs_ask_for_the_tags_of_archive_and_build(stage: Stage) -> None:
    with stage.acting("ann"):
        stage.archives.change("ubuntu", "primary", tags=("kvm",))
    send(stage, new(tags=("gpu",)))
    (job,) = stage.queue.jobs()
    assert job.tags == ("gpu", "kvm")


def test_a_component_that_is_said_goes_before_the_sources_own(stage: Stage) -> None:
    (one,) = send(stage, new(component="universe")).taken
    (job,) = stage.queue.jobs()
    assert (one.build.component, job.component) == ("universe", "universe")
    (again,) = send(stage, new()).taken
    assert again.build.component == "main"
    with pytest.raises(UnknownComponent, match=r"'mainly'.*main, multiverse"):
        send(stage, new(component="mainly"))


def test_a_newer_version_supersedes_the_older_one_and_says_how_many_builds_waited(wide: Stage) -> None:
    send(wide, new("1.0"), Wish("primary", ("warty", "sarge")))
    done = send(wide, new("1.1"), Wish("primary", ("warty",)))
    assert [(one.version, one.series) for one in done.superseded] == [("1.0", "warty")]
    assert done.waiting == 2
    assert published(wide) == [
        ("1.0", "sarge", "RELEASE", "PUBLISHED"),
        ("1.0", "warty", "RELEASE", "SUPERSEDED"),
        ("1.1", "warty", "RELEASE", "PUBLISHED"),
    ]
    with wide.acting("queue"):
        gone = wide.queue.supersede([job.id for job in wide.queue.jobs()])
    assert len(gone) == done.waiting
    assert sorted((job.version, job.distroarchseries) for job in wide.queue.jobs()) == [
        ("1.0", "ubuntu/sarge/amd64"),
        ("1.1", "ubuntu/warty/amd64"),
        ("1.1", "ubuntu/warty/i386"),
    ]


def test_a_build_that_runs_is_not_counted_as_superseded(stage: Stage) -> None:
    send(stage, new("1.0"))
    stage.builder("bob")
    stage.claim(stage.queue.jobs()[0])
    done = send(stage, new("1.1"))
    assert ([one.version for one in done.superseded], done.waiting) == (["1.0"], 0)


def test_other_pockets_and_archives_keep_their_versions(stage: Stage) -> None:
    send(stage, new("1.0"))
    send(stage, new("1.1"), Wish("cprov/ppa"))
    done = send(stage, new("1.2"), Wish("primary", pocket=Pocket.PROPOSED))
    assert (done.superseded, done.waiting) == ((), 0)
    assert published(stage, archive="cprov/ppa") == [("1.1", "hoary", "RELEASE", "PUBLISHED")]
    assert published(stage) == [
        ("1.2", "hoary", "PROPOSED", "PUBLISHED"),
        ("1.0", "hoary", "RELEASE", "PUBLISHED"),
    ]


def test_a_version_published_in_another_pocket_too_is_built_though_one_of_them_is_superseded(stage: Stage) -> None:
    send(stage, new("1.0"))
    send(stage, new("1.0"), Wish("primary", pocket=Pocket.PROPOSED))
    done = send(stage, new("1.1"), Wish("primary", pocket=Pocket.PROPOSED))
    assert ([one.pocket for one in done.superseded], done.waiting) == ([Pocket.PROPOSED], 0)


def test_what_is_withdrawn_is_deleted_and_can_be_submitted_again(wide: Stage) -> None:
    send(wide, new("1.0"), Wish("primary", ("warty", "sarge")))
    primary = wide.archives.get("ubuntu", "primary")

    def take_out(name: str = "foo", *, version: str | None = None, series: Sequence[str] = ()) -> Withdrawn:
        with wide.acting("ann", "unpublish"):
            return unpublish(stores(wide), primary, name, version=version, series=series)

    done = take_out(series=("warty",))
    assert ([one.series for one in done.publications], done.waiting) == (["warty"], 2)
    with pytest.raises(UnknownSource, match=r"'foo 2.0' here \(there are: 1.0 in sarge RELEASE\)"):
        take_out(version="2.0")
    with pytest.raises(UnknownSource, match="'bar'"):
        take_out("bar")
    assert take_out(version="1.0").waiting == 1
    assert {status for *_, status in published(wide)} == {PublishingStatus.DELETED}
    with pytest.raises(UnknownSource, match="'foo'"):
        take_out()
    send(wide, new("0.9"), Wish("primary", ("sarge",)))
    send(wide, new("1.0"), Wish("primary", ("sarge",)))
    assert ("1.0", "sarge", "RELEASE", "PUBLISHED") in published(wide)


def test_two_versions_submitted_at_once_end_with_the_newer_one(farm: Farm, shared_database: str) -> None:
    ours = stores(farm)
    places = choose_places(ours, PRIMARY, ANN)
    planned = {
        version: plan(ours, places, "foo", version, hints=("any",), table=architecture_table())
        for version in ("1.0", "1.1")
    }
    refused: list[str] = []
    ready = threading.Barrier(2, timeout=10)

    def run(version: str) -> None:
        with connect(shared_database, application=version) as connection:
            ready.wait()
            try:
                with acting(connection, version, "submit"):
                    submit(stores_on(connection), planned[version], new(version))
            except BadValue as error:
                refused.append(str(error))

    threads = [threading.Thread(target=run, args=(version,)) for version in planned]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live = [(version, status) for version, _, _, status in published(farm) if status == "PUBLISHED"]
    assert live == [("1.1", "PUBLISHED")]
    assert bool(refused) == (("1.0", "hoary", "RELEASE", "SUPERSEDED") not in published(farm))


def test_while_one_publishes_a_name_another_waits(farm: Farm, shared_database: str) -> None:
    archive = farm.archives.get("ubuntu", "primary").id
    with connect(shared_database, application="other") as other, acting(other, "other", "submit"):
        stores_on(other).publications.hold(archive, "foo")
        farm.conn.execute("SET lock_timeout = '20ms'")
        with pytest.raises(DatabaseUnreachable, match="lock timeout"), farm.acting("ann"):
            farm.publications.hold(archive, "foo")
        farm.conn.execute("RESET lock_timeout")
        with farm.acting("ann"):
            farm.publications.hold(archive, "bar")
