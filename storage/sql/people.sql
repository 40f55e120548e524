-- People, and the teams they are members of; see storage/access/people.py.

-- add --
INSERT INTO person (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING;

-- people --
SELECT id, name, ARRAY(SELECT team FROM team_member WHERE person = person.name ORDER BY team)::text[] AS teams
FROM person
WHERE %(name)s::text IS NULL OR name = %(name)s
ORDER BY name;

-- archives_of --
SELECT distribution.name || '/' || archive.name
FROM archive
JOIN distribution ON distribution.id = archive.distribution
JOIN person ON person.id = archive.owner
WHERE person.name = %(name)s
ORDER BY 1;

-- remove --
DELETE FROM person WHERE name = %(name)s;

-- add_team --
INSERT INTO team (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING;

-- teams --
SELECT name, ARRAY(SELECT person FROM team_member WHERE team = team.name ORDER BY person)::text[] AS members
FROM team
WHERE %(name)s::text IS NULL OR name = %(name)s
ORDER BY name;

-- remove_team --
DELETE FROM team WHERE name = %(name)s;

-- add_member --
INSERT INTO team_member (team, person) VALUES (%(team)s, %(person)s) ON CONFLICT (team, person) DO NOTHING;

-- remove_member --
DELETE FROM team_member WHERE team = %(team)s AND person = %(person)s;
