-- Base systems; see storage/chroots.py.

-- set_chroot --
-- Add or replace; the same alias again changes nothing.
INSERT INTO chroot (distroarchseries, pocket, alias)
VALUES (%(distroarchseries)s, %(pocket)s, %(alias)s)
ON CONFLICT (distroarchseries, pocket) DO UPDATE SET alias = excluded.alias, created = now()
WHERE chroot.alias <> excluded.alias;

-- use_chroot --
UPDATE chroot SET held_back = '' WHERE distroarchseries = %(distroarchseries)s AND pocket = %(pocket)s;

-- chroot_users --
-- Builds that run in a chroot now.
SELECT build.id
FROM chroot
JOIN attempt ON attempt.chroot = chroot.alias AND attempt.outcome IS NULL
JOIN build ON build.id = attempt.build AND build.distroarchseries = chroot.distroarchseries
WHERE chroot.distroarchseries = %(distroarchseries)s AND chroot.pocket = %(pocket)s
ORDER BY build.id;

-- remove_chroot --
DELETE FROM chroot WHERE distroarchseries = %(distroarchseries)s AND pocket = %(pocket)s;

-- chroots --
SELECT distribution.name || '/' || series.name || '/' || arch.architecture AS distroarchseries, chroot.pocket,
       alias.filename, content.sha256, content.size, chroot.created, chroot.held_back
FROM chroot
JOIN distroarchseries AS arch ON arch.id = chroot.distroarchseries
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN distribution ON distribution.id = series.distribution
JOIN library_alias AS alias ON alias.id = chroot.alias
JOIN library_content AS content ON content.sha256 = alias.content
WHERE %(id)s::bigint IS NULL OR (arch.id = %(id)s AND chroot.pocket = %(pocket)s)
ORDER BY distroarchseries, chroot.pocket;

-- exist --
-- Whether these rows are there.
SELECT EXISTS (SELECT FROM distroarchseries WHERE id = %(distroarchseries)s) AS arch,
       EXISTS (SELECT FROM library_alias WHERE id = %(alias)s) AS alias;
