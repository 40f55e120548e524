-- Builders and what their actors say of them; see storage/builders.py.

-- add --
-- No row: the name is taken.
INSERT INTO builder (name, url, families, trusted, manual, tags, restricted_tags)
VALUES (%(name)s, %(url)s, %(families)s, %(trusted)s, %(manual)s, %(tags)s, %(restricted_tags)s)
ON CONFLICT (name) DO NOTHING
RETURNING name;

-- of_slave --
-- Who has the slave of this URL.
SELECT name::text FROM builder WHERE slave_address(url) = slave_address(%(url)s);

-- all --
-- All builders by name, or those of `names`; architectures are the tags of their families.  The latest
-- certificates are enough: earlier ones have expired.
SELECT id, name, url, families, trusted, builderok, failnotes, notok_by, notok_kind, manual, tags, restricted_tags,
       CASE WHEN quarantined_until > now() THEN quarantined_until END AS quarantined_until,
       CASE WHEN quarantined_until > now() THEN quarantine_why ELSE '' END AS quarantine_why,
       CASE WHEN frozen_until > now() THEN frozen_until END AS frozen_until,
       coalesce(failures_in_row, 0) AS failures_in_row,
       ARRAY(SELECT DISTINCT tag
             FROM processor_family AS family, unnest(family.architectures) AS tag
             WHERE family.name = ANY (builder.families)
             ORDER BY tag) AS architectures,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'serial', serial,
                   'revoked', to_char(revoked AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
                   'pem', CASE WHEN latest THEN pem ELSE '' END) ORDER BY issued, serial), '[]')
        FROM (SELECT serial, revoked, pem, issued,
                     revoked IS NULL
                     AND serial = first_value(serial) OVER (ORDER BY revoked IS NULL DESC, not_after DESC, issued DESC)
                         AS latest
              FROM certificate
              WHERE role = 'builder' AND certificate.name = builder.name AND issued >= builder.created
              ORDER BY issued DESC, serial
              LIMIT 16) AS known) AS certificates
FROM builder LEFT JOIN builder_runtime ON builder_runtime.builder = builder.name
WHERE %(names)s::text[] IS NULL OR name = ANY (%(names)s::text[])
ORDER BY name;

-- change --
-- NULL leaves a column as it is.  No row: unknown builder.
UPDATE builder
SET url = coalesce(%(url)s::text, url),
    families = coalesce(%(families)s::text[], families),
    trusted = coalesce(%(trusted)s::boolean, trusted),
    manual = coalesce(%(manual)s::boolean, manual),
    tags = coalesce(%(tags)s::text[], tags),
    restricted_tags = coalesce(%(restricted_tags)s::text[], restricted_tags)
WHERE name = %(name)s;

-- set_ok --
-- A person's word.  No row: unknown builder.
UPDATE builder
SET builderok = %(ok)s, failnotes = %(notes)s, notok_by = CASE WHEN NOT %(ok)s THEN 'person' END, notok_kind = NULL
WHERE name = %(name)s;

-- have_runtime --
-- A builder no actor spoke of yet.
INSERT INTO builder_runtime (builder, state, connected)
SELECT name, 'DISCONNECTED', false FROM builder WHERE name = %(name)s
ON CONFLICT (builder) DO NOTHING;

-- quarantine --
-- No row: unknown builder.
UPDATE builder_runtime
SET quarantined_until = now() + make_interval(secs => %(seconds)s::double precision), quarantine_why = %(why)s
WHERE builder = %(name)s;

-- release --
-- Its results up to now are no evidence any more, or the farm would quarantine it again for them.
UPDATE builder_runtime SET quarantined_until = NULL, quarantine_why = '', cleared = now()
WHERE builder = %(name)s AND quarantined_until IS NOT NULL;

-- freeze --
-- Without seconds: thaw.  No row: unknown builder, or it was not frozen.
UPDATE builder_runtime SET frozen_until = now() + make_interval(secs => %(seconds)s::double precision)
WHERE builder = %(name)s AND (%(seconds)s::double precision IS NOT NULL OR frozen_until IS NOT NULL);

-- remove --
-- A trigger fences what runs there.  No row: unknown builder.
DELETE FROM builder WHERE name = %(name)s;

-- mark_not_ok --
-- The machine's word: never over a person's, nor what heals over what does not.
UPDATE builder
SET builderok = false, failnotes = %(failnotes)s, notok_by = 'machine', notok_kind = %(kind)s
WHERE name = %(name)s
  AND notok_by IS DISTINCT FROM 'person'
  AND (notok_kind IS NULL
       OR notok_kind IN ('unreachable', 'crash', 'misfit')
       OR %(kind)s NOT IN ('unreachable', 'crash', 'misfit'));

-- heal --
-- Dispatch-rules §6: what a person marked, only a person clears; so for a breach, failures in a row, a black hole.
UPDATE builder SET builderok = true
WHERE name = %(name)s AND notok_by = 'machine' AND notok_kind IN ('unreachable', 'crash', 'misfit');

-- runtimes --
SELECT builder.name AS builder,
       coalesce(state, 'DISCONNECTED') AS state,
       coalesce(connected, false) AS connected,
       coalesce(since, builder.created) AS since,
       deadline,
       quarantined_until,
       coalesce(failures_in_row, 0) AS failures_in_row,
       coalesce(quarantine_why, '') AS quarantine_why,
       frozen_until,
       cleared
FROM builder LEFT JOIN builder_runtime ON builder_runtime.builder = builder.name
ORDER BY builder.name;

-- record_runtime --
-- `since` is when the state began.  No row: unknown builder.
INSERT INTO builder_runtime AS runtime (builder, state, connected, deadline)
SELECT name, %(state)s, %(connected)s, %(deadline)s FROM builder WHERE name = %(name)s
ON CONFLICT (builder) DO UPDATE
SET since = CASE WHEN runtime.state = excluded.state THEN runtime.since ELSE now() END,
    state = excluded.state,
    connected = excluded.connected,
    deadline = excluded.deadline;

-- open_session --
-- No row: unknown builder.
SELECT nextval('session_epoch') FROM builder WHERE name = %(name)s;

-- families --
SELECT array_agg(name::text ORDER BY name) FROM processor_family;
