-- Archives; see storage/archives.py.

-- distribution --
-- No row: unknown distribution.
SELECT id FROM distribution WHERE name = %(distribution)s;

-- add_archive --
-- No row: the name is taken.
INSERT INTO archive (distribution, name, purpose, owner, private, relative_score, limits, tags)
VALUES (%(distribution)s, %(name)s, %(purpose)s, (SELECT id FROM person WHERE name = %(owner)s), %(private)s,
        %(relative_score)s, jsonb_strip_nulls(%(limits)s::jsonb), %(tags)s)
ON CONFLICT (distribution, name) DO NOTHING
RETURNING id;

-- change_archive --
-- NULL leaves a column as it is; among the limits it takes one back.
UPDATE archive
SET enabled = coalesce(%(enabled)s::boolean, enabled),
    private = coalesce(%(private)s::boolean, private),
    relative_score = coalesce(%(relative_score)s::integer, relative_score),
    limits = jsonb_strip_nulls(limits || %(limits)s::jsonb),
    tags = coalesce(%(tags)s::text[], tags)
WHERE id = %(archive)s;

-- archives --
SELECT archive.id, archive.name, distribution.name AS distribution, archive.purpose, person.name AS owner,
       archive.private, archive.enabled, archive.relative_score, archive.limits, archive.tags
FROM archive
JOIN distribution ON distribution.id = archive.distribution
LEFT JOIN person ON person.id = archive.owner
ORDER BY distribution.name, archive.name;
