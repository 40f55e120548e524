-- Distributions, series, architectures and processor families; see storage/series.py.

-- families --
SELECT name, architectures FROM processor_family ORDER BY name;

-- set_family --
INSERT INTO processor_family (name, architectures) VALUES (%(name)s, %(architectures)s)
ON CONFLICT (name) DO UPDATE SET architectures = excluded.architectures;

-- add_distribution --
INSERT INTO distribution (name) VALUES (%(distribution)s) ON CONFLICT (name) DO NOTHING;

-- set_series --
-- Add a series, or nominate another architecture; a nomination of nobody fails at commit.
INSERT INTO distroseries AS series (distribution, name, nominated_archindep)
SELECT id, %(series)s, %(nominated_archindep)s FROM distribution WHERE name = %(distribution)s
ON CONFLICT (distribution, name) DO UPDATE SET nominated_archindep = excluded.nominated_archindep
RETURNING series.id;

-- add_architecture --
INSERT INTO distroarchseries (distroseries, architecture, family)
VALUES (%(distroseries)s, %(architecture)s, %(family)s)
ON CONFLICT (distroseries, architecture) DO NOTHING;

-- series --
-- All architectures of all series.
SELECT arch.id, distribution.name AS distribution, series.name AS series, arch.architecture, arch.family,
       series.nominated_archindep = arch.architecture AS nominated_archindep, series.status, arch.ppas,
       series.apt_sources
FROM distroarchseries AS arch
JOIN distroseries AS series ON series.id = arch.distroseries
JOIN distribution ON distribution.id = series.distribution
ORDER BY distribution.name, series.name, arch.architecture;

-- change_series --
-- NULL leaves as it is.
UPDATE distroseries SET status = %(status)s
FROM distribution
WHERE distribution.id = distroseries.distribution AND distribution.name = %(distribution)s
  AND distroseries.name = %(series)s AND status <> %(status)s;

-- set_apt_sources --
UPDATE distroseries SET apt_sources = %(lines)s
FROM distribution
WHERE distribution.id = distroseries.distribution AND distribution.name = %(distribution)s
  AND distroseries.name = %(series)s AND apt_sources <> %(lines)s;

-- change_architectures --
UPDATE distroarchseries SET ppas = %(ppas)s WHERE id = ANY (%(ids)s) AND ppas <> %(ppas)s;

-- series_uses --
-- What is of a series.
SELECT (SELECT count(*) FROM build JOIN distroarchseries AS arch ON arch.id = build.distroarchseries
        WHERE arch.distroseries = series.id) AS builds,
       (SELECT count(*) FROM publication WHERE publication.distroseries = series.id) AS publications,
       (SELECT count(*) FROM binary_package WHERE binary_package.distroseries = series.id) AS packages,
       (SELECT count(*) FROM chroot JOIN distroarchseries AS arch ON arch.id = chroot.distroarchseries
        WHERE arch.distroseries = series.id) AS chroots
FROM distroseries AS series JOIN distribution ON distribution.id = series.distribution
WHERE distribution.name = %(distribution)s AND series.name = %(series)s;

-- remove_series --
-- In one statement, as its rows refer to each other; not while anything refers to it.
WITH gone AS (
    SELECT series.id
    FROM distroseries AS series JOIN distribution ON distribution.id = series.distribution
    WHERE distribution.name = %(distribution)s AND series.name = %(series)s
), architectures AS (
    DELETE FROM distroarchseries USING gone WHERE distroarchseries.distroseries = gone.id
)
DELETE FROM distroseries USING gone WHERE distroseries.id = gone.id;
