-- Limits of builds: what an archive and a build say of their own, and what is in force for each attempt.

CREATE FUNCTION limits_can_be(limits jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN jsonb_typeof(limits) = 'object' AND NOT EXISTS (
    SELECT
    FROM jsonb_each(limits) AS one (name, value)
    LEFT JOIN (VALUES
        ('wall_seconds', 1, 2592000),
        ('silent_seconds', 1, 2592000),
        ('memory_bytes', 16777216, 1125899906842624),
        ('processes', 8, 4194304),
        ('file_bytes', 65536, 1125899906842624),
        ('log_bytes', 1024, 268435456),
        ('disk_bytes', 1048576, 1125899906842624)
    ) AS known (name, least, most) USING (name)
    WHERE CASE
        WHEN known.name IS NULL OR one.value::text !~ '^[0-9]+$' THEN true
        ELSE one.value::numeric NOT BETWEEN known.least AND known.most
    END
);
COMMENT ON FUNCTION limits_can_be(jsonb) IS 'Names and ranges: storage/limits.py, for whoever writes plain SQL.';

CREATE DOMAIN limits AS jsonb
    CHECK (limits_can_be(VALUE));

CREATE FUNCTION limits_from(archive limits, build limits) RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN (
    SELECT coalesce(
        array_agg(name || CASE WHEN jsonb_exists(build, name) THEN '=build' ELSE '=archive' END ORDER BY name COLLATE "C"),
        '{}'
    )
    FROM jsonb_object_keys(archive || build) AS name
);
COMMENT ON FUNCTION limits_from(limits, limits) IS 'Who said the limits that are not from the settings.';

ALTER TABLE archive ADD COLUMN limits limits NOT NULL DEFAULT '{}';
COMMENT ON COLUMN archive.limits IS
    'Of every build in it, over the settings, as {"memory_bytes": 4294967296, "wall_seconds": 7200}.';
ALTER TABLE build ADD COLUMN limits limits NOT NULL DEFAULT '{}';
COMMENT ON COLUMN build.limits IS 'Its own, over those of its archive; for attempts that are claimed from now on.';
ALTER TABLE attempt
    ADD COLUMN limits limits NOT NULL DEFAULT '{}',
    ADD COLUMN limits_from text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN attempt.limits IS 'In force for it: what settings, archive and build said when it was claimed.';
