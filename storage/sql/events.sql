-- The append-only event log; see storage/events.py.  Triggers write it.

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
