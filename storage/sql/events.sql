-- The append-only event log; see storage/events/log.py.  Triggers write it.

-- since --
SELECT id, at, who, why, subject, what, before, after, cause
FROM event
WHERE id > %(since_id)s
ORDER BY id
LIMIT %(limit)s;

-- of_subject --
SELECT id, at, who, why, subject, what, before, after, cause
FROM event
WHERE subject = %(subject)s AND id > %(since_id)s
ORDER BY id
LIMIT %(limit)s;

-- note --
-- Who, why and cause are settings of the transaction, as for the triggers.
INSERT INTO event (who, why, subject, what, cause)
VALUES (coalesce(nullif(current_setting('farm.who', true), ''), current_setting('application_name')),
        coalesce(current_setting('farm.why', true), ''),
        %(subject)s, %(what)s, nullif(current_setting('farm.cause', true), '')::bigint)
RETURNING id;

-- because_of --
SELECT set_config('farm.cause', %(event)s::bigint::text, true);

-- last_id --
SELECT coalesce(max(id), 0) FROM event;

-- horizon --
SELECT coalesce((SELECT max(id) FROM event), 0),
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint;

-- one --
SELECT id, at, who, why, subject, what, before, after, cause FROM event WHERE id = %(event)s;

-- before --
SELECT id, at, who, why, subject, what, before, after, cause
FROM event
WHERE id < %(event)s AND subject = ANY (%(subjects)s::text[])
  AND (%(at)s::timestamptz IS NULL OR at = %(at)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND starts_with(what, %(what)s)
ORDER BY id DESC
LIMIT 1;

-- latest --
SELECT id, at, who, why, subject, what, before, after, cause
FROM event
WHERE id > %(after)s
  AND (%(subjects)s::text[] IS NULL OR subject = ANY (%(subjects)s::text[]))
  AND (%(who)s::text IS NULL OR who = %(who)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY id DESC
LIMIT %(limit)s;

-- about_build --
-- A build, all attempts at it, and all its jobs: of one that is gone, only the event that made it tells (index event_job_of_build).
SELECT 'build:' || %(build)s::bigint
UNION SELECT 'build_file:' || %(build)s::bigint
UNION SELECT 'attempt:' || id FROM attempt WHERE build = %(build)s
UNION SELECT 'job:' || job FROM attempt WHERE build = %(build)s
UNION SELECT 'job:' || id FROM buildqueue WHERE build = %(build)s
UNION SELECT subject FROM event
WHERE what = 'insert' AND starts_with(subject, 'job:') AND after ->> 'build' = (%(build)s::bigint)::text;

-- attempts_like --
-- Attempts whose id is of this range: what begins with the digits that tables show.
SELECT id::text FROM attempt WHERE id BETWEEN %(first)s AND %(last)s;

-- relatives --
-- What the subject of an event hangs together with, by the rows, or where those are gone by the event that made them.
WITH this AS (
    SELECT id, at, split_part(subject, ':', 1) AS kind, substr(subject, strpos(subject, ':') + 1) AS name, after
    FROM event
    WHERE id = %(event)s
), named AS (
    SELECT this.*,
           CASE kind
               WHEN 'build' THEN name::bigint
               WHEN 'build_file' THEN name::bigint
               WHEN 'attempt' THEN (SELECT build FROM attempt WHERE attempt.id = name::uuid)
               WHEN 'archive' THEN (SELECT max(build) FROM binary_package WHERE archive = this.name::bigint AND created = this.at)
               WHEN 'job' THEN coalesce(
                   (SELECT build FROM buildqueue WHERE buildqueue.id = name::bigint),
                   (SELECT (made.after ->> 'build')::bigint
                    FROM event AS made
                    WHERE made.subject = 'job:' || name AND made.what = 'insert'
                    ORDER BY made.id
                    LIMIT 1))
           END AS build,
           CASE kind
               WHEN 'builder' THEN name
               WHEN 'attempt' THEN (SELECT builder FROM attempt WHERE attempt.id = name::uuid)
           END AS builder
    FROM this
)
SELECT build,
       (SELECT source FROM build WHERE id = named.build) AS source,
       builder,
       ARRAY(SELECT id::text FROM attempt WHERE build = named.build ORDER BY started) AS attempts,
       ARRAY(SELECT job FROM attempt WHERE build = named.build AND job IS NOT NULL
             UNION SELECT id FROM buildqueue WHERE build = named.build) AS jobs,
       ARRAY(SELECT id::text FROM attempt WHERE builder = named.name AND named.kind = 'builder' AND started <= named.at
             ORDER BY started DESC LIMIT 1) AS last_attempts,
       (SELECT marked.after ->> 'notok_kind'
        FROM event AS marked
        WHERE marked.subject = 'builder:' || named.name AND named.kind = 'builder'
          AND marked.id <= named.id AND marked.after ? 'notok_kind'
        ORDER BY marked.id DESC LIMIT 1) AS notok_kind,
       coalesce((SELECT archives_seen(archive) FROM build WHERE id = named.build), '{}') AS archives
FROM named;
