-- The invariants of architecture §9 on a live database; see storage/check.py.  Each row is one violation, in words.

-- one_open_attempt --
SELECT format('build %%s has %%s open attempts', build, count(*))
FROM attempt WHERE outcome IS NULL GROUP BY build HAVING count(*) > 1
UNION ALL
SELECT format('builder %%s has %%s open attempts', builder, count(*))
FROM attempt WHERE outcome IS NULL GROUP BY builder HAVING count(*) > 1;

-- holder_has_attempt --
SELECT format('job %%s: builder is %%s, and no attempt of its build %%s is open there', job.id, job.builder, job.build)
FROM buildqueue AS job
WHERE job.builder IS NOT NULL
  AND NOT EXISTS (SELECT FROM attempt
                  WHERE attempt.build = job.build AND attempt.builder = job.builder AND attempt.outcome IS NULL)
UNION ALL
SELECT format('attempt %%s is open on %%s, and job %%s is not there', attempt.id, attempt.builder, attempt.job)
FROM attempt
WHERE attempt.outcome IS NULL
  AND NOT EXISTS (SELECT FROM buildqueue AS job
                  WHERE job.build = attempt.build AND job.builder = attempt.builder)
UNION ALL
SELECT format('build %%s is %%s, with %%s open attempts', build.id, build.state, count(attempt.id))
FROM build LEFT JOIN attempt ON attempt.build = build.id AND attempt.outcome IS NULL
GROUP BY build.id
HAVING (build.state IN ('BUILDING', 'GATHERING', 'CANCELLING')) <> (count(attempt.id) > 0)
UNION ALL
SELECT format('job %%s is there, and its build %%s is %%s', job.id, build.id, build.state)
FROM buildqueue AS job JOIN build ON build.id = job.build
WHERE build.state NOT IN ('NEEDSBUILD', 'BUILDING', 'GATHERING', 'CANCELLING');

-- trust --
SELECT format('attempt %%s was claimed as %%s, its build %%s is %%s', attempt.id,
              CASE WHEN attempt.trusted THEN 'trusted' ELSE 'untrusted' END, build.id,
              CASE WHEN archive.trusted THEN 'trusted' ELSE 'untrusted' END)
FROM attempt JOIN build ON build.id = attempt.build JOIN archive ON archive.id = build.archive
WHERE attempt.trusted <> archive.trusted
UNION ALL
SELECT format('attempt %%s is open on %%s, which is not trusted any more', attempt.id, attempt.builder)
FROM attempt JOIN builder ON builder.name = attempt.builder
WHERE attempt.outcome IS NULL AND attempt.trusted AND NOT builder.trusted;

-- deadlines --
SELECT format('attempt %%s on %%s should have ended at %%s', id, builder, deadline)
FROM attempt
WHERE outcome IS NULL AND deadline < now() - interval '1 minute'
UNION ALL
SELECT format('builder %%s is %%s, which should have ended at %%s', builder, state, deadline)
FROM builder_runtime
WHERE deadline < now() - interval '1 minute'
UNION ALL
SELECT format('attempt %%s on %%s is being cancelled, and may go on until %%s', attempt.id, attempt.builder, attempt.deadline)
FROM attempt JOIN build ON build.id = attempt.build
WHERE attempt.outcome IS NULL AND build.state = 'CANCELLING' AND attempt.deadline > now() + interval '70 seconds';

-- built_without_files --
SELECT format('build %%s is FULLYBUILT without a file', id)
FROM build
WHERE state = 'FULLYBUILT' AND NOT EXISTS (SELECT FROM build_file WHERE build_file.build = build.id)
UNION ALL
SELECT format('package %%s %%s is published by build %%s, which is %%s', package.name, package.version, build.id, build.state)
FROM binary_package AS package JOIN build ON build.id = package.build
WHERE build.state <> 'FULLYBUILT';

-- built_files --
SELECT build.id, alias.filename::text, alias.content::text
FROM build
JOIN build_file ON build_file.build = build.id
JOIN library_alias AS alias ON alias.id = build_file.alias
WHERE build.state = 'FULLYBUILT'
ORDER BY build.id, alias.filename;

-- one_outcome --
SELECT format('attempt %%s: outcome is %%s, ended is %%s', id, coalesce(outcome, 'none'), coalesce(ended::text, 'never'))
FROM attempt
WHERE (outcome IS NULL) <> (ended IS NULL)
UNION ALL
SELECT format('attempt %%s was closed %%s times: %%s', attempt.id, count(*),
              string_agg(event.after ->> 'outcome', ', ' ORDER BY event.id))
FROM attempt
JOIN event ON event.subject = 'attempt:' || attempt.id AND event.after ->> 'outcome' IS NOT NULL
GROUP BY attempt.id
HAVING count(*) > 1
UNION ALL
SELECT format('attempt %%s: outcome is %%s, and it is %%s', attempt.id, coalesce(outcome, 'none'), blame.told)
FROM attempt
CROSS JOIN LATERAL (VALUES
    ('charged to the job', charged, outcome IN ('GIVENBACK', 'BUILDERFAIL', 'LOST', 'ABORTED', 'CHROOTFAIL')),
    ('the builder''s fault', builder_induced, outcome = 'PACKAGEFAIL'),
    ('judged', verdict <> '', outcome IS NOT NULL),
    ('kept from its builder', excluded_until IS NOT NULL, outcome IS NOT NULL)
) AS blame (told, given, due)
WHERE blame.given AND blame.due IS NOT TRUE;

-- events_tell --
-- `untold`: a value that needs no event; of what a row has beside its first fact, any: one line tells that it is unknown.
WITH fact (subject, name, value, untold) AS (
    SELECT 'build:' || id, 'state', to_jsonb(state), NULL::jsonb FROM build
    UNION ALL
    SELECT 'build:' || id, 'suspect', coalesce(to_jsonb(suspect), 'null'), coalesce(to_jsonb(suspect), 'null') FROM build
    UNION ALL
    SELECT 'job:' || id, one.name, to_jsonb(job) -> one.name, CASE WHEN one.name <> 'builder' THEN to_jsonb(job) -> one.name END
    FROM buildqueue AS job,
         (VALUES ('builder'), ('assigned'), ('manual_score'), ('cooling_until'), ('given_back')) AS one (name)
    UNION ALL
    SELECT 'builder:' || builder.name, one.name, to_jsonb(builder) -> one.name,
           CASE WHEN one.name <> 'builderok' THEN to_jsonb(builder) -> one.name END
    FROM builder, (VALUES ('builderok'), ('notok_by'), ('notok_kind'), ('trusted'), ('manual')) AS one (name)
    UNION ALL
    SELECT 'builder:' || builder, one.name, to_jsonb(builder_runtime) -> one.name, one.untold
    FROM builder_runtime, (VALUES ('quarantined_until', 'null'::jsonb), ('frozen_until', 'null'), ('failures_in_row', '0'))
         AS one (name, untold)
    UNION ALL
    SELECT 'chroot:' || id, 'held_back', to_jsonb(held_back), NULL FROM chroot
    UNION ALL
    SELECT 'farm:' || id, 'paused', to_jsonb(paused), '""' FROM farm
)
SELECT format('%%s: %%s is %%s, the last event says %%s', fact.subject, fact.name,
              coalesce(nullif(fact.value #>> '{}', ''), 'none'),
              CASE WHEN last.told IS NULL THEN 'nothing' ELSE coalesce(nullif(last.value #>> '{}', ''), 'none') END)
FROM fact
LEFT JOIN LATERAL (
    SELECT true AS told, coalesce(event.after -> fact.name, fact.untold, 'null') AS value
    FROM event
    WHERE event.subject = fact.subject AND (event.after ? fact.name OR event.what = 'delete')
    ORDER BY event.id DESC
    LIMIT 1
) AS last ON true
WHERE CASE
    WHEN last.told IS NULL THEN fact.value IS DISTINCT FROM fact.untold
    WHEN fact.name LIKE '%%\_until' THEN  -- written with the time zone of whoever wrote it
        (fact.value #>> '{}')::timestamptz IS DISTINCT FROM (last.value #>> '{}')::timestamptz
    ELSE fact.value IS DISTINCT FROM last.value
END
UNION ALL
SELECT format('%%s: it is gone, and no event says so', first.subject)
FROM event AS first
WHERE first.what = 'insert'
  AND (first.subject LIKE 'job:%%' AND NOT EXISTS (SELECT FROM buildqueue WHERE 'job:' || id = first.subject)
       OR first.subject LIKE 'build:%%' AND NOT EXISTS (SELECT FROM build WHERE 'build:' || id = first.subject)
       OR first.subject LIKE 'builder:%%' AND NOT EXISTS (SELECT FROM builder WHERE 'builder:' || name = first.subject))
  AND NOT EXISTS (SELECT FROM event AS last
                  WHERE last.subject = first.subject AND last.what = 'delete' AND last.id > first.id);
