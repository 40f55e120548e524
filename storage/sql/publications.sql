-- What is and was published; see storage/publications.py.

-- hold --
-- Whoever publishes or withdraws sources of this name in the archive does so one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('publication ' || %(archive)s || ' ' || %(name)s, 0));

-- publications --
-- NULL: of any name.
SELECT publication.id, source.id AS source_id, source.name AS source, source.version, archive.name AS archive,
       series.name AS series, publication.pocket, publication.component, publication.status, publication.created
FROM publication
JOIN source_release AS source ON source.id = publication.source
JOIN archive ON archive.id = publication.archive
JOIN distroseries AS series ON series.id = publication.distroseries
WHERE publication.archive = %(archive)s
  AND (%(name)s::text IS NULL OR source.name = %(name)s::text)
  AND (NOT %(live)s::boolean OR publication.status IN ('PENDING', 'PUBLISHED'))
ORDER BY source.name, series.name, publication.pocket, publication.id;

-- set_status --
UPDATE publication SET status = %(status)s WHERE id = ANY (%(publications)s) AND status <> %(status)s;

-- waiting_for_nothing --
-- Builds that wait for the source, archive and series of these publications, of which none counts any more.
WITH gone AS MATERIALIZED (
    SELECT DISTINCT source, archive, distroseries
    FROM publication
    WHERE id = ANY (%(publications)s)
      AND NOT EXISTS (SELECT FROM publication AS there
                      WHERE there.source = publication.source AND there.archive = publication.archive
                        AND there.distroseries = publication.distroseries
                        AND there.status IN ('PENDING', 'PUBLISHED'))
)
SELECT coalesce(sum(waiting.builds), 0)
FROM (SELECT (SELECT count(*) FROM build  -- one look into the unique index for each architecture, whatever is estimated
              WHERE build.source = gone.source AND build.archive = gone.archive AND build.distroarchseries = arch.id
                AND build.state = 'NEEDSBUILD') AS builds
      FROM gone JOIN distroarchseries AS arch ON arch.distroseries = gone.distroseries) AS waiting;

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
