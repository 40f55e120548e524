-- What the database knows of the librarian's files; see storage/files/library.py.

-- add_content --
INSERT INTO library_content (sha256, sha1, size)
VALUES (%(sha256)s, %(sha1)s, %(size)s)
ON CONFLICT (sha256) DO NOTHING;

-- add_alias --
-- The same name for the same content is the same alias.
WITH added AS (
    INSERT INTO library_alias (content, filename, mimetype)
    VALUES (%(sha256)s, %(filename)s, %(mimetype)s)
    ON CONFLICT (content, filename, mimetype) DO NOTHING
    RETURNING id
)
SELECT id FROM added
UNION ALL
SELECT id FROM library_alias
WHERE content = %(sha256)s AND filename = %(filename)s AND mimetype = %(mimetype)s
LIMIT 1;

-- alias --
SELECT alias.id, alias.filename, alias.mimetype, content.sha256, content.sha1, content.size, alias.created
FROM library_alias AS alias JOIN library_content AS content ON content.sha256 = alias.content
WHERE alias.id = %(alias)s;

-- aliases --
SELECT alias.id, alias.filename, alias.mimetype, content.sha256, content.sha1, content.size, alias.created
FROM library_alias AS alias JOIN library_content AS content ON content.sha256 = alias.content
WHERE alias.content = %(sha256)s
ORDER BY alias.id;

-- content --
SELECT sha256, sha1, size FROM library_content WHERE sha256 = %(sha256)s;
