-- Tokens of people; see storage/access/tokens.py.  Nothing here returns a hash.

-- add --
INSERT INTO api_token (person, hash, label, expires)
VALUES (%(person)s, %(hash)s, %(label)s, now() + %(life)s::interval)
RETURNING id;

-- tokens --
SELECT id, person, label, created, expires, last_used, revoked, coalesce(expires <= now(), false) AS expired
FROM api_token
WHERE (%(id)s::bigint IS NULL OR id = %(id)s) AND (%(person)s::text IS NULL OR person = %(person)s)
ORDER BY id;

-- of_hash --
-- The one that was shown.  No row: this farm knows none.
SELECT id, person, label, created, expires, last_used, revoked, coalesce(expires <= now(), false) AS expired
FROM api_token
WHERE hash = %(hash)s;

-- revoke --
UPDATE api_token SET revoked = now() WHERE id = %(id)s AND revoked IS NULL;

-- used --
UPDATE api_token SET last_used = now()
WHERE id = %(id)s AND (last_used IS NULL OR last_used < now() - interval '1 minute');
