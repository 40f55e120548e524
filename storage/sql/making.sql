-- Builds of one source, many at once; see storage/making.py.

-- parents --
-- What is missing of the rows that builds need, and a series of another distribution than the archive.
SELECT EXISTS (SELECT FROM source_release WHERE id = %(source)s) AS source,
       EXISTS (SELECT FROM archive WHERE id = %(archive)s) AS archive,
       (SELECT min(wanted) FROM unnest(%(series)s::bigint[]) AS wanted
        WHERE NOT EXISTS (SELECT FROM distroarchseries WHERE id = wanted)) AS missing,
       (SELECT min(arch.id)
        FROM distroarchseries AS arch JOIN distroseries AS series ON series.id = arch.distroseries
        WHERE arch.id = ANY (%(series)s)
          AND series.distribution <> (SELECT distribution FROM archive WHERE id = %(archive)s)) AS stranger;

-- there --
-- The latest of each distroarchseries, where a person asked for it again.
SELECT DISTINCT ON (distroarchseries) distroarchseries, id
FROM build
WHERE source = %(source)s AND archive = %(archive)s
  AND (%(series)s::bigint[] IS NULL OR distroarchseries = ANY (%(series)s::bigint[]))
ORDER BY distroarchseries, again DESC;

-- create --
-- For each of these series.  No row for one: the source has a build there.
INSERT INTO build (source, archive, distroarchseries, pocket, arch_indep, again, tags, limits)
SELECT %(source)s, %(archive)s, wanted.series, %(pocket)s, wanted.arch_indep,
       coalesce((SELECT max(there.again) + 1 FROM build AS there
                 WHERE there.source = %(source)s AND there.archive = %(archive)s
                   AND there.distroarchseries = wanted.series), 0) * %(again)s::boolean::integer,
       %(tags)s, jsonb_strip_nulls(%(limits)s::jsonb)
FROM unnest(%(series)s::bigint[], %(arch_indep)s::boolean[]) WITH ORDINALITY AS wanted (series, arch_indep, place)
ORDER BY wanted.place
ON CONFLICT (source, archive, distroarchseries, again) DO NOTHING
RETURNING distroarchseries, id;

-- hold --
-- Lock builds, in the order in which everybody does who takes several, and say their states.
SELECT id, state FROM build WHERE id = ANY (%(builds)s) ORDER BY id FOR NO KEY UPDATE;

-- forget_failures --
-- Every builder may have them again.
UPDATE attempt SET excluded_until = NULL WHERE build = ANY (%(builds)s) AND excluded_until IS NOT NULL;

-- retry --
UPDATE build SET state = 'NEEDSBUILD', why = '' WHERE id = ANY (%(builds)s);

-- queue --
-- A build that has a job keeps it.
INSERT INTO buildqueue (build)
SELECT wanted.id FROM unnest(%(builds)s::bigint[]) WITH ORDINALITY AS wanted (id, place) ORDER BY wanted.place
ON CONFLICT (build) DO NOTHING;

-- change --
-- NULL among the limits takes one back; as tags it leaves them as they are.
UPDATE build
SET limits = jsonb_strip_nulls(limits || %(limits)s::jsonb), tags = coalesce(%(tags)s::text[], tags)
WHERE id = ANY (%(builds)s);
