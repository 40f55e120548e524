-- Distributions, series, archives, chroots, sources, publications; see storage/archives.py.

-- families --
SELECT name, architectures FROM processor_family ORDER BY name;

-- set_family --
INSERT INTO processor_family (name, architectures) VALUES (%(name)s, %(architectures)s)
ON CONFLICT (name) DO UPDATE SET architectures = excluded.architectures;

-- distribution --
-- No row: unknown distribution.
SELECT id FROM distribution WHERE name = %(distribution)s;

-- add_distribution --
INSERT INTO distribution (name) VALUES (%(distribution)s) ON CONFLICT (name) DO NOTHING;

-- set_series --
-- Add a series, or nominate another architecture; a nomination of nobody fails at commit.
INSERT INTO distroseries AS series (distribution, name, nominated_archindep)
SELECT id, %(series)s, %(nominated_archindep)s FROM distribution WHERE name = %(distribution)s
ON CONFLICT (distribution, name) DO UPDATE SET nominated_archindep = excluded.nominated_archindep
RETURNING series.id;

-- add_architecture --
INSERT INTO distroarchseries (distroseries, architecture, family)
VALUES (%(distroseries)s, %(architecture)s, %(family)s)
ON CONFLICT (distroseries, architecture) DO NOTHING;

-- series --
-- All architectures of all series.
SELECT arch.id, distribution.name AS distribution, series.name AS series, arch.architecture, arch.family,
       series.nominated_archindep = arch.architecture AS nominated_archindep, series.status, arch.ppas,
       series.apt_sources
FROM distroarchseries AS arch
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN distribution ON distribution.id = series.distribution
ORDER BY distribution.name, series.name, arch.architecture;

-- change_series --
-- NULL leaves as it is.
UPDATE distroseries SET status = %(status)s
FROM distribution
WHERE distribution.id = distroseries.distribution AND distribution.name = %(distribution)s
  AND distroseries.name = %(series)s AND status <> %(status)s;

-- set_apt_sources --
UPDATE distroseries SET apt_sources = %(lines)s
FROM distribution
WHERE distribution.id = distroseries.distribution AND distribution.name = %(distribution)s
  AND distroseries.name = %(series)s AND apt_sources <> %(lines)s;

-- change_architectures --
UPDATE distroarchseries SET ppas = %(ppas)s WHERE id = ANY (%(ids)s) AND ppas <> %(ppas)s;

-- add_archive --
-- No row: the name is taken.
INSERT INTO archive (distribution, name, purpose, owner, private, relative_score, limits, tags)
VALUES (%(distribution)s, %(name)s, %(purpose)s, (SELECT id FROM person WHERE name = %(owner)s), %(private)s,
        %(relative_score)s, jsonb_strip_nulls(%(limits)s::jsonb), %(tags)s)
ON CONFLICT (distribution, name) DO NOTHING
RETURNING id;

-- change_archive --
-- NULL leaves a column as it is; among the limits it takes one back.
UPDATE archive
SET enabled = coalesce(%(enabled)s::boolean, enabled),
    private = coalesce(%(private)s::boolean, private),
    relative_score = coalesce(%(relative_score)s::integer, relative_score),
    limits = jsonb_strip_nulls(limits || %(limits)s::jsonb),
    tags = coalesce(%(tags)s::text[], tags)
WHERE id = %(archive)s;

-- archives --
SELECT archive.id, archive.name, distribution.name AS distribution, archive.purpose, person.name AS owner,
       archive.private, archive.enabled, archive.relative_score, archive.limits, archive.tags
FROM archive
JOIN distribution ON distribution.id = archive.distribution
LEFT JOIN person ON person.id = archive.owner
ORDER BY distribution.name, archive.name;

-- set_chroot --
-- Add or replace; the same alias again changes nothing.
INSERT INTO chroot (distroarchseries, pocket, alias)
VALUES (%(distroarchseries)s, %(pocket)s, %(alias)s)
ON CONFLICT (distroarchseries, pocket) DO UPDATE SET alias = excluded.alias, created = now()
WHERE chroot.alias <> excluded.alias;

-- use_chroot --
UPDATE chroot SET held_back = '' WHERE distroarchseries = %(distroarchseries)s AND pocket = %(pocket)s;

-- chroot_users --
-- Builds that run in a chroot now.
SELECT build.id
FROM chroot
JOIN attempt ON attempt.chroot = chroot.alias AND attempt.outcome IS NULL
JOIN build ON build.id = attempt.build AND build.distroarchseries = chroot.distroarchseries
WHERE chroot.distroarchseries = %(distroarchseries)s AND chroot.pocket = %(pocket)s
ORDER BY build.id;

-- remove_chroot --
DELETE FROM chroot WHERE distroarchseries = %(distroarchseries)s AND pocket = %(pocket)s;

-- series_uses --
-- What is of a series.
SELECT (SELECT count(*) FROM build JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
        WHERE arch.distroseries = series.id) AS builds,
       (SELECT count(*) FROM publication WHERE publication.distroseries = series.id) AS publications,
       (SELECT count(*) FROM binary_package WHERE binary_package.distroseries = series.id) AS packages,
       (SELECT count(*) FROM chroot JOIN distroarchseries AS arch ON arch.id = chroot.distroarchseries
        WHERE arch.distroseries = series.id) AS chroots
FROM distroseries AS series JOIN distribution ON distribution.id = series.distribution
WHERE distribution.name = %(distribution)s AND series.name = %(series)s;

-- remove_series --
-- In one statement, as its rows refer to each other; not while anything refers to it.
WITH gone AS (
    SELECT series.id
    FROM distroseries AS series JOIN distribution ON distribution.id = series.distribution
    WHERE distribution.name = %(distribution)s AND series.name = %(series)s
), architectures AS (
    DELETE FROM distroarchseries USING gone WHERE distroarchseries.distroseries = gone.id
)
DELETE FROM distroseries USING gone WHERE distroseries.id = gone.id;

-- chroots --
SELECT distribution.name || '/' || series.name || '/' || arch.architecture AS distroarchseries, chroot.pocket,
       alias.filename, content.sha256, content.size, chroot.created, chroot.held_back
FROM chroot
JOIN distroarchseries AS arch ON arch.id = chroot.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN distribution ON distribution.id = series.distribution
JOIN library_alias AS alias ON alias.id = chroot.alias
JOIN library_content AS content ON content.sha256 = alias.content
WHERE %(id)s::bigint IS NULL OR (arch.id = %(id)s AND chroot.pocket = %(pocket)s)
ORDER BY distroarchseries, chroot.pocket;

-- exist --
-- Whether these rows are there.
SELECT EXISTS (SELECT FROM distroarchseries WHERE id = %(distroarchseries)s) AS arch,
       EXISTS (SELECT FROM library_alias WHERE id = %(alias)s) AS alias;

-- components --
SELECT array_agg(name::text ORDER BY name) FROM component;

-- add_source --
-- No row: this very source is there.
INSERT INTO source_release (name, version, component, urgency, architectures, dsc)
VALUES (%(name)s, %(version)s, %(component)s, %(urgency)s, %(architectures)s, %(dsc)s)
ON CONFLICT (name, version, dsc) DO NOTHING
RETURNING id;

-- same_source --
SELECT id FROM source_release WHERE name = %(name)s AND version = %(version)s AND dsc = %(dsc)s;

-- add_source_files --
INSERT INTO source_file (source, filename, sha256, size)
SELECT %(source)s, file.filename, file.sha256, file.size
FROM unnest(%(filenames)s::text[], %(sha256s)s::text[], %(sizes)s::bigint[]) AS file (filename, sha256, size);

-- source --
SELECT source.id, source.name, source.version, source.component, source.urgency, source.architectures,
       (SELECT jsonb_agg(jsonb_build_object('filename', file.filename, 'sha256', file.sha256, 'size', file.size)
                         ORDER BY file.filename)
        FROM source_file AS file WHERE file.source = source.id) AS files,
       source.created
FROM source_release AS source
WHERE source.id = %(source)s;

-- place --
-- Where a source is to be published; NULL is what does not exist.
SELECT (SELECT dsc FROM source_release WHERE id = %(source)s) AS dsc,
       archive.id AS archive,
       (SELECT min(wanted) FROM unnest(%(series)s::text[]) AS wanted
        WHERE NOT EXISTS (SELECT FROM distroseries AS series
                          WHERE series.distribution = archive.distribution AND series.name = wanted)) AS missing
FROM (SELECT) AS one LEFT JOIN archive ON archive.id = %(archive)s;

-- rival --
-- Another source of this name and version, published in the archive.  No row: there is none.
SELECT other.id
FROM source_release AS source
JOIN source_release AS other ON other.name = source.name AND other.version = source.version AND other.id <> source.id
JOIN publication ON publication.source = other.id AND publication.archive = %(archive)s
WHERE source.id = %(source)s
LIMIT 1;

-- publish --
-- In each of these series.
INSERT INTO publication AS there (source, archive, distroseries, pocket, component, status)
SELECT %(source)s, archive.id, series.id, %(pocket)s, %(component)s, %(status)s
FROM unnest(%(series)s::text[]) WITH ORDINALITY AS wanted (name, place)
CROSS JOIN archive
JOIN distroseries AS series ON series.distribution = archive.distribution AND series.name = wanted.name
WHERE archive.id = %(archive)s
ORDER BY wanted.place
ON CONFLICT (source, archive, distroseries, pocket) DO UPDATE
SET component = excluded.component, status = excluded.status
RETURNING there.id;
