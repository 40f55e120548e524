-- How far the event log has been told; see storage/events/webhook.py.

-- begin --
-- Where we stand: at the first time, at the end of the log; never after it, as in a database that was restored.
INSERT INTO webhook AS known (cursor) SELECT coalesce(max(id), 0) FROM event
ON CONFLICT (one) DO UPDATE SET cursor = least(known.cursor, excluded.cursor)
RETURNING cursor, told;

-- keep --
INSERT INTO webhook (cursor, told) VALUES (%(cursor)s, %(told)s::bigint[])
ON CONFLICT (one) DO UPDATE SET cursor = excluded.cursor, told = excluded.told;

-- horizon --
SELECT coalesce((SELECT max(id) FROM event), 0),
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       now();

-- page --
-- The next events, and of those in which one of `columns` changed, all; chroots by their names.
WITH page AS (
    SELECT * FROM event WHERE id > %(since)s ORDER BY id LIMIT %(limit)s
)
SELECT id, at, who, why,
       coalesce((SELECT format('chroot:%%s/%%s/%%s/%%s', distribution.name, series.name, arch.architecture, chroot.pocket)
                 FROM chroot
                 JOIN distroarchseries AS arch ON arch.id = chroot.distroarchseries
                 JOIN distroseries AS series ON series.id = arch.distroseries
                 JOIN distribution ON distribution.id = series.distribution
                 WHERE page.subject LIKE 'chroot:%%' AND 'chroot:' || chroot.id = page.subject), subject) AS subject,
       what, before, after, cause
FROM page
WHERE after ?| %(columns)s::text[] OR id = (SELECT max(id) FROM page)
ORDER BY id;
