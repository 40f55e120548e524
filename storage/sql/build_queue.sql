-- Jobs and attempts; see storage/build_queue.py.

-- every_job --
SELECT id FROM buildqueue ORDER BY id;

-- jobs --
-- Everything that dispatch looks at, of the jobs `ids`.
SELECT job.id, job.build, source.name AS source, source.version, arch.family, archive.trusted,
       archive.name AS archive,
       distribution.name || '/' || series.name || '/' || arch.architecture AS distroarchseries,
       build.pocket, coalesce(place.component, source.component) AS component, source.urgency, archive.purpose, person.name AS owner, archive.private, archive.relative_score,
       job.manual_score, job.created, job.builder, job.buildstart, build.state,
       coalesce(tarball.held_back = '', false) AS has_chroot,
       coalesce(tarball.held_back, '') AS chroot_held_back,
       archive.enabled AS archive_enabled,
       ARRAY(SELECT file.filename::text FROM source_file AS file
             WHERE file.source = source.id
               AND NOT EXISTS (SELECT FROM library_content AS content WHERE content.sha256 = file.sha256)
             ORDER BY file.filename) AS files_missing,
       series.status AS series_status,
       coalesce(place.live, false) AS published,
       CASE WHEN archive.tags <> '{}' OR build.tags <> '{}'
            THEN ARRAY(SELECT unnest(archive.tags) AS tag UNION SELECT unnest(build.tags) ORDER BY tag)
            ELSE '{}'::text[] END AS tags,
       job.assigned,
       CASE WHEN job.cooling_until > now() THEN job.cooling_until END AS cooling_until,
       job.given_back,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('builder', builder, 'until', until) ORDER BY builder), '[]')
        FROM (SELECT attempt.builder, max(attempt.excluded_until) AS until
              FROM attempt
              WHERE attempt.build = build.id AND attempt.excluded_until > now()
              GROUP BY attempt.builder) AS excluded) AS excluded,
       build.suspect
FROM buildqueue AS job
JOIN build ON build.id = job.build
JOIN archive ON archive.id = build.archive
LEFT JOIN person ON person.id = archive.owner
JOIN source_release AS source ON source.id = build.source
JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN distribution ON distribution.id = series.distribution
LEFT JOIN LATERAL (
    SELECT publication.component, publication.status IN ('PENDING', 'PUBLISHED') AS live
    FROM publication
    WHERE publication.source = build.source AND publication.archive = build.archive
      AND publication.distroseries = series.id
    ORDER BY live DESC, publication.pocket = build.pocket DESC, publication.id DESC
    LIMIT 1
) AS place ON true
LEFT JOIN LATERAL (
    SELECT chroot.held_back
    FROM chroot
    WHERE chroot.distroarchseries = arch.id AND chroot.pocket IN (build.pocket, 'RELEASE')
    ORDER BY chroot.pocket = 'RELEASE'
    LIMIT 1
) AS tarball ON true
WHERE job.id = ANY (%(ids)s::bigint[])
ORDER BY job.id;

-- jobs_of --
-- Jobs of builds of these sources, or in these archives.
SELECT job.id
FROM buildqueue AS job JOIN build ON build.id = job.build
WHERE build.source = ANY (%(sources)s::bigint[]) OR build.archive = ANY (%(archives)s::bigint[]);

-- supersede --
-- Builds that wait for nothing any more: their source is not published.  Returns the jobs that are gone.
WITH superseded AS (
    UPDATE build SET state = 'SUPERSEDED', why = 'its source is not published in the archive any more'
    FROM buildqueue AS job, distroarchseries AS arch
    WHERE job.id = ANY (%(jobs)s::bigint[]) AND build.id = job.build AND job.builder IS NULL
      AND arch.id = build.distroarchseries
      AND build.state = 'NEEDSBUILD'
      AND NOT EXISTS (SELECT FROM publication
                      WHERE publication.source = build.source AND publication.archive = build.archive
                        AND publication.distroseries = arch.distroseries
                        AND publication.status IN ('PENDING', 'PUBLISHED'))
    RETURNING job.id
)
SELECT id FROM superseded ORDER BY id;

-- claim --
-- Architecture §5: the picks that still hold become attempts.  Rows are locked and tested as they are now; what
-- somebody else has locked falls out, as it is about to change; of two picks for one build or builder the unique
-- indexes let the first through.
WITH pick AS (
    SELECT place, job, builder, session
    FROM unnest(%(jobs)s::bigint[], %(builders)s::text[], %(sessions)s::bigint[]) WITH ORDINALITY
         AS pick (job, builder, session, place)
), fitting AS (
    SELECT pick.place, pick.session, job.id AS job, job.build, builder.name AS builder, archive.trusted, tarball.alias,
           %(limits)s::jsonb || archive.limits || build.limits AS limits,
           limits_from(archive.limits, build.limits) AS limits_from
    FROM pick
    JOIN buildqueue AS job ON job.id = pick.job
    JOIN build ON build.id = job.build
    JOIN archive ON archive.id = build.archive
    JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
    JOIN builder ON builder.name = pick.builder
    CROSS JOIN LATERAL (
        SELECT chroot.alias, chroot.held_back
        FROM chroot
        WHERE chroot.distroarchseries = arch.id AND chroot.pocket IN (build.pocket, 'RELEASE')
        ORDER BY chroot.pocket = 'RELEASE'
        LIMIT 1
    ) AS tarball
    LEFT JOIN builder_runtime AS runtime ON runtime.builder = builder.name
    WHERE job.builder IS NULL
      AND build.state = 'NEEDSBUILD'
      AND tarball.held_back = ''
      AND archive.enabled
      AND (job.cooling_until > now()) IS NOT TRUE
      AND builder.builderok
      AND (runtime.quarantined_until > now()) IS NOT TRUE
      AND CASE WHEN job.assigned IS NULL THEN NOT builder.manual ELSE job.assigned = builder.name END
      AND builder.trusted = archive.trusted
      AND arch.family = ANY (builder.families)
      AND CASE WHEN archive.tags <> '{}' OR build.tags <> '{}' OR builder.restricted_tags <> '{}'
               THEN ARRAY(SELECT unnest(archive.tags) UNION SELECT unnest(build.tags))
                    <@ ARRAY(SELECT unnest(builder.tags) UNION SELECT unnest(builder.restricted_tags))
                AND builder.restricted_tags <@ ARRAY(SELECT unnest(archive.tags) UNION SELECT unnest(build.tags))
               ELSE true END
    ORDER BY pick.place
    FOR NO KEY UPDATE OF job, build, builder SKIP LOCKED
), claimed AS (
    INSERT INTO attempt (build, job, builder, session, trusted, chroot, limits, limits_from, wall_seconds, deadline)
    SELECT build, job, builder, session, trusted, alias, limits, limits_from, wall_seconds,
           now() + make_interval(secs => wall_seconds)
    FROM fitting CROSS JOIN LATERAL (SELECT (limits ->> 'wall_seconds')::double precision AS wall_seconds) AS wall
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING id, build, job, builder, session, trusted, started, deadline, ended, outcome, text, log, limits,
              limits_from
), assigned AS (
    UPDATE buildqueue SET builder = claimed.builder, buildstart = now()
    FROM claimed
    WHERE buildqueue.id = claimed.job
), begun AS (
    UPDATE build SET state = 'BUILDING', started = now(), why = ''
    FROM claimed
    WHERE build.id = claimed.build
)
SELECT claimed.*
FROM claimed JOIN fitting USING (job, builder)
ORDER BY fitting.place;

-- orders --
-- What a builder actor needs, of the open ones among `attempts`.
SELECT attempt.id AS attempt, attempt.job, attempt.build, attempt.builder, attempt.trusted,
       'binarypackage' AS build_type, source.name AS source, source.version,
       jsonb_build_object('filename', tarball.filename, 'sha256', content.sha256, 'size', content.size,
                          'sha1', content.sha1) AS chroot,
       files.files, files.dsc,
       arch.architecture, build.arch_indep, series.name AS suite, attempt.wall_seconds,
       attempt.limits, attempt.limits_from,
       coalesce(place.component, source.component) AS component, archive.purpose, archive.private, series.apt_sources
FROM attempt
JOIN build ON build.id = attempt.build
JOIN archive ON archive.id = build.archive
JOIN source_release AS source ON source.id = build.source
JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN library_alias AS tarball ON tarball.id = attempt.chroot
JOIN library_content AS content ON content.sha256 = tarball.content
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('filename', file.filename, 'sha256', file.sha256, 'size', file.size,
                                        'sha1', coalesce(stored.sha1, ''))
                     ORDER BY file.filename) AS files,
           min(file.filename) FILTER (WHERE file.sha256 = source.dsc AND file.filename LIKE '%%.dsc') AS dsc
    FROM source_file AS file
    LEFT JOIN library_content AS stored ON stored.sha256 = file.sha256
    WHERE file.source = source.id
) AS files
LEFT JOIN LATERAL (
    SELECT publication.component
    FROM publication
    WHERE publication.source = build.source AND publication.archive = build.archive
      AND publication.distroseries = series.id
    ORDER BY publication.status IN ('PENDING', 'PUBLISHED') DESC, publication.pocket = build.pocket DESC,
             publication.id DESC
    LIMIT 1
) AS place ON true
WHERE attempt.id = ANY (%(attempts)s) AND attempt.outcome IS NULL
ORDER BY attempt.started, attempt.id;

-- attempt --
SELECT id, build, job, builder, session, trusted, started, deadline, ended, outcome, text, log,
       limits, limits_from, charged, builder_induced, verdict
FROM attempt
WHERE id = %(attempt)s;

-- open_attempts --
SELECT id, build, job, builder, session, trusted, started, deadline, ended, outcome, text, log,
       limits, limits_from, charged, builder_induced, verdict
FROM attempt
WHERE outcome IS NULL
ORDER BY started, id;

-- overdue --
SELECT id, build, job, builder, session, trusted, started, deadline, ended, outcome, text, log,
       limits, limits_from, charged, builder_induced, verdict
FROM attempt
WHERE outcome IS NULL AND deadline + make_interval(secs => %(grace_seconds)s) <= now()
ORDER BY deadline, id;

-- started --
-- The wall time counts from the slave's acceptance; said twice, from the first.  No row: closed.
UPDATE attempt
SET accepted = coalesce(accepted, now()),
    deadline = CASE
        WHEN accepted IS NULL
             AND EXISTS (SELECT FROM build WHERE build.id = attempt.build AND build.state = 'BUILDING')
        THEN now() + make_interval(secs => wall_seconds)
        ELSE deadline
    END
WHERE id = %(attempt)s AND outcome IS NULL;

-- gathering --
-- Results are being fetched, with a new deadline; a build that is being cancelled stays so.  No row: closed.
WITH gathered AS (
    UPDATE build SET state = 'GATHERING'
    FROM attempt
    WHERE attempt.id = %(attempt)s AND attempt.outcome IS NULL
      AND build.id = attempt.build AND build.state = 'BUILDING'
    RETURNING build.id
)
UPDATE attempt
SET deadline = CASE
        WHEN EXISTS (SELECT FROM gathered) THEN now() + make_interval(secs => %(seconds)s)
        ELSE deadline
    END
WHERE id = %(attempt)s AND outcome IS NULL;

-- prolong --
-- Not of a build that is being cancelled: nobody waits for what it leaves.
UPDATE attempt SET deadline = greatest(deadline, now() + make_interval(secs => %(seconds)s))
FROM build
WHERE attempt.id = %(attempt)s AND attempt.outcome IS NULL
  AND build.id = attempt.build AND build.state <> 'CANCELLING';

-- hold --
-- Lock a build, then its attempt: what `record` is about to change.  No row: unknown attempt.
SELECT attempt.build, attempt.job, attempt.outcome, build.state,
       EXISTS (SELECT FROM publication JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
               WHERE publication.source = build.source AND publication.archive = build.archive
                 AND publication.distroseries = arch.distroseries
                 AND publication.status IN ('PENDING', 'PUBLISHED')) AS published
FROM build JOIN attempt ON attempt.build = build.id
WHERE attempt.id = %(attempt)s
FOR NO KEY UPDATE OF build, attempt;

-- keep_files --
-- What an attempt left, log included: contents and names of all, and the build's list of its results.
WITH file AS (
    SELECT *
    FROM jsonb_to_recordset(%(files)s::jsonb)
         AS file (sha256 text, sha1 text, size bigint, filename text, mimetype text, result boolean)
), content AS (
    INSERT INTO library_content (sha256, sha1, size)
    SELECT DISTINCT ON (sha256) sha256, sha1, size FROM file
    ON CONFLICT (sha256) DO NOTHING
), alias AS (
    INSERT INTO library_alias (content, filename, mimetype)
    SELECT DISTINCT sha256, filename, mimetype FROM file
    ON CONFLICT (content, filename, mimetype) DO UPDATE SET expires = NULL
    RETURNING id, content, filename
), kept AS (
    INSERT INTO build_file (build, attempt, alias)
    SELECT DISTINCT %(build)s::bigint, %(attempt)s::uuid, alias.id
    FROM file JOIN alias ON alias.content = file.sha256 AND alias.filename = file.filename
    WHERE file.result
    ON CONFLICT DO NOTHING
)
UPDATE attempt SET log = alias.id
FROM file JOIN alias ON alias.content = file.sha256 AND alias.filename = file.filename
WHERE NOT file.result AND attempt.id = %(attempt)s AND attempt.outcome IS NULL;

-- close --
UPDATE attempt
SET outcome = %(outcome)s, ended = now(), text = %(text)s, charged = %(charged)s, verdict = %(verdict)s,
    excluded_until = now() + make_interval(secs => %(exclude_seconds)s::double precision)
WHERE id = %(attempt)s AND outcome IS NULL;

-- cool_down --
-- A job that was given back waits for a while; one that ended otherwise and is kept begins to count anew.
UPDATE buildqueue
SET cooling_until = now() + make_interval(secs => %(seconds)s::double precision),
    given_back = CASE WHEN %(seconds)s::double precision IS NULL THEN 0 ELSE least(given_back, 1000000) + 1 END
WHERE id = %(job)s AND (given_back > 0 OR %(seconds)s::double precision IS NOT NULL);

-- move --
-- The build at the end of an attempt; its job follows by trigger.
UPDATE build SET state = %(state)s, why = %(why)s, dependencies = %(dependencies)s::text[]
WHERE id = %(build)s;

-- fence --
-- False: it was closed already, or never there.
SELECT fence_attempt(%(attempt)s, %(text)s);

-- remove --
-- A trigger fences the open attempt.  The build is locked first, as everywhere.  No row: gone already.
WITH held AS (
    SELECT id FROM build WHERE id = (SELECT build FROM buildqueue WHERE id = %(job)s) FOR NO KEY UPDATE
)
DELETE FROM buildqueue USING held WHERE buildqueue.id = %(job)s AND buildqueue.build = held.id;

-- set_manual_score --
-- No row: unknown job.
UPDATE buildqueue SET manual_score = %(score)s WHERE id = %(job)s;
