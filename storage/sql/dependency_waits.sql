-- Builds that wait for dependencies (MANUALDEPWAIT); see storage/dependency_waits.py.

-- waits --
-- Those of `builds` (all, if it is null) after `after`, by id: at most `most_builds`, and no more of them than it takes
-- to have `most_lines` lines.  A build that says not what it misses waits for a person.
SELECT waiting.id AS build, arch.architecture, series.name AS series, archives_seen(waiting.archive) AS archives,
       waiting.dependencies, coalesce(waiting.ended, waiting.created) AS since, tries.tried, tries.missed, now() AS now
FROM (
    SELECT *, sum(cardinality(dependencies)) OVER (ORDER BY id) - cardinality(dependencies) AS lines_before
    FROM (
        SELECT id, archive, distroarchseries, dependencies, created, ended
        FROM build
        WHERE state = 'MANUALDEPWAIT' AND dependencies <> '{}' AND id > %(after)s
          AND (%(builds)s::bigint[] IS NULL OR id = ANY (%(builds)s::bigint[]))
        ORDER BY id
        LIMIT %(most_builds)s
    ) AS first
) AS waiting
JOIN distroarchseries AS arch ON arch.id = waiting.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
CROSS JOIN LATERAL (
    SELECT max(started) AS tried, count(*) FILTER (WHERE outcome = 'DEPFAIL') AS missed
    FROM attempt
    WHERE attempt.build = waiting.id
) AS tries
WHERE waiting.lines_before < %(most_lines)s
ORDER BY waiting.id;

-- awaiting --
-- Builds that wait for a name which one of `packages` has or provides, in an archive that sees it.
SELECT DISTINCT build.id
FROM binary_package AS package
JOIN build ON build.state = 'MANUALDEPWAIT' AND relation_names(build.dependencies) && package.offers
JOIN distroarchseries AS arch ON arch.id = build.distroarchseries AND arch.distroseries = package.distroseries
WHERE package.id = ANY (%(packages)s) AND package.archive = ANY (archives_seen(build.archive))
ORDER BY build.id;

-- of_job --
SELECT build.id
FROM attempt JOIN build ON build.id = attempt.build
WHERE attempt.job = %(job)s AND build.state = 'MANUALDEPWAIT'
LIMIT 1;

-- because --
-- What follows happens because of this.
SELECT set_config('farm.why', %(why)s, true);

-- settle --
-- What remains is stored; where nothing does, the build is queued again, and its new job returned (else null).
-- No row: somebody has changed the build, or is about to.
WITH held AS (
    SELECT id FROM build
    WHERE id = %(build)s AND state = 'MANUALDEPWAIT' AND dependencies = %(before)s::text[]
    FOR NO KEY UPDATE SKIP LOCKED
), settled AS (
    UPDATE build
    SET dependencies = %(remaining)s::text[],
        state = CASE WHEN %(remaining)s::text[] = '{}' THEN 'NEEDSBUILD' ELSE 'MANUALDEPWAIT' END,
        why = CASE WHEN %(remaining)s::text[] = '{}' THEN '' ELSE why END
    FROM held
    WHERE build.id = held.id
    RETURNING build.id, build.state
), queued AS (
    INSERT INTO buildqueue (build)
    SELECT id FROM settled WHERE state = 'NEEDSBUILD'
    ON CONFLICT (build) DO NOTHING
    RETURNING id, build
)
SELECT settled.id AS build, queued.id AS job FROM settled LEFT JOIN queued ON queued.build = settled.id;
