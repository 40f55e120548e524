-- People; see storage/people.py.

-- add --
INSERT INTO person (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING;

-- people --
SELECT id, name FROM person WHERE %(name)s::text IS NULL OR name = %(name)s ORDER BY name;
