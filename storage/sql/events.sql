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

-- last_id --
SELECT coalesce(max(id), 0) FROM event;
