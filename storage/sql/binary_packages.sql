-- Binary packages: what is published; see storage/binary_packages.py.

-- place --
-- Where the build of an attempt publishes, and what builds have left there of these names.  No row: it is not
-- FULLYBUILT by this attempt.
SELECT build.id AS build, build.archive, series.name AS series,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', package.id, 'name', package.name, 'version', package.version,
                                                     'architecture', package.architecture) ORDER BY package.id), '[]')
        FROM binary_package AS package
        WHERE package.archive = build.archive AND package.distroseries = arch.distroseries
          AND package.name = ANY (%(names)s) AND package.build IS NOT NULL) AS earlier
FROM attempt
JOIN build ON build.id = attempt.build
JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
WHERE attempt.id = %(attempt)s AND attempt.outcome = 'OK' AND build.state = 'FULLYBUILT';

-- publish --
-- In the place of those `superseded`.  Rows: the new ones.
WITH gone AS (
    DELETE FROM binary_package WHERE id = ANY (%(superseded)s)
)
INSERT INTO binary_package (archive, distroseries, name, version, architecture, provides, build)
SELECT archive.id, series.id, package.name, package.version, package.architecture, package.provides, %(build)s
FROM archive
JOIN distroseries AS series ON series.distribution = archive.distribution AND series.name = %(series)s
CROSS JOIN jsonb_to_recordset(%(packages)s::jsonb)
     AS package (name text, version text, architecture text, provides text[])
WHERE archive.id = %(archive)s
ON CONFLICT DO NOTHING
RETURNING id;

-- offered --
-- What is published by these names, as the package's own or provided, in these archives and series.
SELECT package.id, package.archive, series.name AS series, package.name, package.version, package.architecture,
       package.provides, package.build, package.created
FROM packages_offering(%(names)s::text[]) AS package
JOIN distroseries AS series ON series.id = package.distroseries
WHERE package.archive = ANY (%(archives)s) AND series.name = ANY (%(series)s)
ORDER BY package.id;

-- series_of --
-- No row: the archive's distribution has no such series.
SELECT series.id, ARRAY(SELECT architecture::text FROM distroarchseries WHERE distroseries = series.id ORDER BY 1)
FROM archive JOIN distroseries AS series ON series.distribution = archive.distribution
WHERE archive.id = %(archive)s AND series.name = %(series)s;

-- make_room --
-- An index of 60,000 packages takes longer than statements usually may.
SELECT set_config('statement_timeout', '120s', true);

-- make_table --
CREATE TEMPORARY TABLE arriving (name text, version text, architecture text, provides text[]) ON COMMIT DROP;

-- copy_in --
COPY arriving (name, version, architecture, provides) FROM STDIN;

-- look_at_table --
ANALYZE arriving;

-- drop_gone --
-- What was imported from this index before, and is not in it any more.
DELETE FROM binary_package AS package
WHERE package.archive = %(archive)s AND package.distroseries = %(distroseries)s AND package.imported_for = %(index)s::text
  AND NOT EXISTS (
      SELECT FROM arriving
      WHERE arriving.name = package.name AND arriving.version = package.version
        AND arriving.architecture = package.architecture AND arriving.provides = package.provides
  );

-- add_new --
-- What stays keeps its row, and so the time when it came.
INSERT INTO binary_package (archive, distroseries, name, version, architecture, provides, imported_for)
SELECT %(archive)s::bigint, %(distroseries)s::bigint, name, version, architecture, provides, %(index)s::text
FROM arriving
WHERE NOT EXISTS (
    SELECT FROM binary_package AS package
    WHERE package.archive = %(archive)s AND package.distroseries = %(distroseries)s
      AND package.imported_for = %(index)s::text AND package.name = arriving.name
      AND package.version = arriving.version AND package.architecture = arriving.architecture
)
ON CONFLICT DO NOTHING;

-- drop_table --
DROP TABLE arriving;
