-- Where builds of a series find packages, for slaves that write their own sources.list; see storage/archives.py.

CREATE FUNCTION are_apt_sources(lines text[]) RETURNS boolean
IMMUTABLE
RETURN NOT EXISTS (
    SELECT FROM unnest(lines) AS line
    WHERE (line ~ '^deb(-src)? (\[[^][[:cntrl:]]*\] )?[a-z+]+:[^[:space:]@]+ [^[:space:]]+( [^[:space:]]+)*$') IS NOT TRUE
       OR length(line) > 1000
);
COMMENT ON FUNCTION are_apt_sources IS 'Lines of a sources.list, without any password: all who read the events would read it.';

ALTER TABLE distroseries
    ADD COLUMN apt_sources text[] NOT NULL DEFAULT '{}'
        CHECK (are_apt_sources(apt_sources) AND cardinality(apt_sources) <= 64);
COMMENT ON COLUMN distroseries.apt_sources IS 'Lines of a sources.list for launchpad-buildd slaves; none: as the chroot has it.';
