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
