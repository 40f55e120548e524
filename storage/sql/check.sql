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
HAVING (build.state IN ('BUILDING', 'GATHERING', 'CANCELLING')) <> (count(attempt.id) > 0);

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
WHERE deadline < now() - interval '1 minute';

-- built_without_files --
SELECT format('build %%s is FULLYBUILT without a file', id)
FROM build
WHERE state = 'FULLYBUILT' AND NOT EXISTS (SELECT FROM build_file WHERE build_file.build = build.id);

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
HAVING count(*) > 1;

-- events_tell --
WITH fact AS (
    SELECT 'build:' || id AS subject, 'state' AS name, state::text AS value FROM build
    UNION ALL
    SELECT 'job:' || id, 'builder', builder::text FROM buildqueue
    UNION ALL
    SELECT 'builder:' || name, 'builderok', builderok::text FROM builder
    UNION ALL
    SELECT 'builder:' || name, 'trusted', trusted::text FROM builder
)
SELECT format('%%s: %%s is %%s, the last event says %%s', fact.subject, fact.name, coalesce(fact.value, 'none'),
              CASE WHEN last.told IS NULL THEN 'nothing' ELSE coalesce(last.value, 'none') END)
FROM fact
LEFT JOIN LATERAL (
    SELECT true AS told, event.after ->> fact.name AS value
    FROM event
    WHERE event.subject = fact.subject AND (event.after ? fact.name OR event.what = 'delete')
    ORDER BY event.id DESC
    LIMIT 1
) AS last ON true
WHERE last.told IS NULL OR last.value IS DISTINCT FROM fact.value
UNION ALL
SELECT format('%%s: it is gone, and no event says so', first.subject)
FROM event AS first
WHERE first.what = 'insert'
  AND (first.subject LIKE 'job:%%' AND NOT EXISTS (SELECT FROM buildqueue WHERE 'job:' || id = first.subject)
       OR first.subject LIKE 'build:%%' AND NOT EXISTS (SELECT FROM build WHERE 'build:' || id = first.subject)
       OR first.subject LIKE 'builder:%%' AND NOT EXISTS (SELECT FROM builder WHERE 'builder:' || name = first.subject))
  AND NOT EXISTS (SELECT FROM event AS last
                  WHERE last.subject = first.subject AND last.what = 'delete' AND last.id > first.id);
