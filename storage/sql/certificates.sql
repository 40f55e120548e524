-- Certificates and enrolment tokens; see storage/access/certificates.py.

-- record --
INSERT INTO certificate (serial, role, name, not_before, not_after, pem)
VALUES (%(serial)s, %(role)s, %(name)s, %(not_before)s, %(not_after)s, %(pem)s);

-- all --
-- All certificates by holder, the latest last.
SELECT serial, role, name, not_before, not_after, issued, revoked, warned, pem
FROM certificate
ORDER BY role DESC, name, issued, serial;

-- revoke --
-- One serial, or whatever of a holder is not revoked yet.
UPDATE certificate SET revoked = now()
WHERE revoked IS NULL AND (serial = %(serial)s OR (role = %(role)s AND name = %(name)s))
RETURNING serial, role, name, not_before, not_after, issued, revoked, warned, pem;

-- warned --
UPDATE certificate SET warned = now() WHERE serial = %(serial)s;

-- alone --
-- Whoever issues waits for others who do; whoever reads does not.
LOCK TABLE certificate IN SHARE ROW EXCLUSIVE MODE;

-- forget_tokens --
DELETE FROM enrolment WHERE builder = %(builder)s AND used IS NULL;

-- add_token --
INSERT INTO enrolment (secret, builder, expires) VALUES (%(secret)s, %(builder)s, now() + %(life)s)
RETURNING expires;

-- use_token --
-- No row: unknown, used or expired.
UPDATE enrolment SET used = now() WHERE secret = %(secret)s AND used IS NULL AND expires > now()
RETURNING builder;

-- token --
SELECT builder, expires, used FROM enrolment WHERE secret = %(secret)s;
