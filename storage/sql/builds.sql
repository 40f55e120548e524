-- Builds, their attempts and files; see storage/builds.py.

-- builds --
-- Those of `ids`; or the newest `limit`, of those in `state` if it is given; newest first.
SELECT build.id, source.name AS source, source.version, archive.name AS archive,
       distribution.name || '/' || series.name || '/' || arch.architecture AS distroarchseries,
       arch.architecture, arch.family, build.pocket, coalesce(place.component, source.component) AS component,
       source.urgency, archive.trusted,
       build.arch_indep, build.state, build.dependencies, build.why, build.created, build.started, build.ended,
       attempt.builder, build.limits, build.tags, person.name AS owner, archive.private
FROM build
JOIN archive ON archive.id = build.archive
LEFT JOIN person ON person.id = archive.owner
JOIN source_release AS source ON source.id = build.source
JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN distribution ON distribution.id = series.distribution
LEFT JOIN attempt ON attempt.build = build.id AND attempt.outcome IS NULL
LEFT JOIN LATERAL (
    SELECT publication.component
    FROM publication
    WHERE publication.source = build.source AND publication.archive = build.archive
      AND publication.distroseries = series.id
    ORDER BY publication.status IN ('PENDING', 'PUBLISHED') DESC, publication.pocket = build.pocket DESC,
             publication.id DESC
    LIMIT 1
) AS place ON true
WHERE build.id = ANY (coalesce(
    %(ids)s::bigint[],
    CASE
        WHEN %(state)s::text IS NULL THEN ARRAY(SELECT id FROM build ORDER BY id DESC LIMIT %(limit)s)
        ELSE ARRAY(SELECT id FROM build WHERE state = %(state)s::text ORDER BY id DESC LIMIT %(limit)s)
    END
))
ORDER BY build.id DESC;

-- find --
-- The latest, where a person asked for it again.
SELECT id FROM build
WHERE source = %(source)s AND archive = %(archive)s AND distroarchseries = %(distroarchseries)s
ORDER BY again DESC
LIMIT 1;

-- hold --
-- Lock a build and say its state.  No row: unknown build.
SELECT state FROM build WHERE id = %(build)s FOR NO KEY UPDATE;

-- of_kind --
-- Ids of all builds in a state; NULL does not choose.
SELECT coalesce(array_agg(build.id), '{}')
FROM build
JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN distribution ON distribution.id = series.distribution
WHERE build.state = %(state)s
  AND (%(archive)s::bigint IS NULL OR build.archive = %(archive)s::bigint)
  AND (%(series)s::text IS NULL OR (distribution.name = %(distribution)s::text AND series.name = %(series)s::text));

-- forget_failures --
-- Every builder may have it again.
UPDATE attempt SET excluded_until = NULL WHERE build = %(build)s AND excluded_until IS NOT NULL;

-- cool_no_longer --
UPDATE buildqueue SET cooling_until = NULL, given_back = 0
WHERE build = %(build)s AND (cooling_until IS NOT NULL OR given_back > 0);

-- exclude --
-- The build is not to go where it is now for a while; NULL: it may.  No row: no attempt is open.
UPDATE attempt SET excluded_until = now() + make_interval(secs => %(seconds)s::double precision)
WHERE build = %(build)s AND outcome IS NULL
RETURNING id;

-- hold_builder --
-- Builders are locked before builds, as everywhere.  No row: unknown builder.
SELECT name FROM builder WHERE name = %(builder)s FOR KEY SHARE;

-- assign --
UPDATE buildqueue SET assigned = %(builder)s WHERE id = %(job)s;

-- job_of --
SELECT id FROM buildqueue WHERE build = %(build)s;

-- change_limits --
-- NULL takes a limit back.
UPDATE build SET limits = jsonb_strip_nulls(limits || %(limits)s::jsonb) WHERE id = %(build)s;

-- set_state --
-- Attempt and job follow by trigger.
UPDATE build SET state = %(state)s, why = %(why)s WHERE id = %(build)s;

-- files --
SELECT DISTINCT alias.id, alias.filename, alias.mimetype, content.sha256, content.sha1, content.size, alias.created
FROM build_file AS file
JOIN library_alias AS alias ON alias.id = file.alias
JOIN library_content AS content ON content.sha256 = alias.content
WHERE file.build = %(build)s
ORDER BY alias.filename;

-- attempts --
SELECT id, build, job, builder, session, trusted, started, deadline, ended, outcome, text, log,
       limits, limits_from, charged, builder_induced, verdict
FROM attempt
WHERE build = %(build)s
ORDER BY started, id;

-- log --
SELECT alias.id, alias.filename, alias.mimetype, content.sha256, content.sha1, content.size, alias.created
FROM attempt
JOIN library_alias AS alias ON alias.id = attempt.log
JOIN library_content AS content ON content.sha256 = alias.content
WHERE attempt.build = %(build)s
ORDER BY attempt.started DESC, attempt.id
LIMIT 1;
