-- Binary packages: what builds may depend on, and which of the builds that wait for dependencies wait for them.

CREATE FUNCTION relation_names(relations text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 100
    RETURN ARRAY(
        SELECT DISTINCT found[1]
        FROM unnest(relations) AS relation,
             regexp_matches(relation, '(?:^|[|,])\s*([a-z0-9][a-z0-9+.-]*)', 'g') AS found
    );
COMMENT ON FUNCTION relation_names IS
    'Package names in relations, as those of build.dependencies and binary_package.provides.  To find rows by; what a
relation means is read by actors/core/dependencies/relations.py.';

CREATE FUNCTION archives_seen(which bigint) RETURNS bigint[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ARRAY(
        SELECT seen.id
        FROM archive AS own
        JOIN archive AS seen ON seen.id = own.id OR (seen.distribution = own.distribution AND seen.purpose = 'PRIMARY')
        WHERE own.id = which
        ORDER BY seen.id
    );
COMMENT ON FUNCTION archives_seen IS 'Whose packages builds in an archive see: its own, and its distribution''s primary.';

CREATE TABLE binary_package (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    archive bigint NOT NULL REFERENCES archive,
    distroseries bigint NOT NULL REFERENCES distroseries,
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9+.-]{0,254}$'),
    version text NOT NULL CHECK (version ~ '^([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+:~-]*$' AND length(version) <= 255),
    architecture word NOT NULL,
    provides text[] NOT NULL DEFAULT '{}',
    build bigint REFERENCES build,
    imported_for word,
    created timestamptz NOT NULL DEFAULT now(),
    offers text[] NOT NULL GENERATED ALWAYS AS (
        CASE provides WHEN '{}' THEN ARRAY[name] ELSE ARRAY[name] || relation_names(provides) END
    ) STORED,
    CHECK (build IS NULL OR imported_for IS NULL),
    CONSTRAINT binary_package_created_readable
        CHECK (created BETWEEN '1900-01-01 00:00:00+00' AND '9000-01-01 00:00:00+00'),
    UNIQUE NULLS NOT DISTINCT (archive, distroseries, name, architecture, version, build, imported_for)
);
COMMENT ON TABLE binary_package IS 'What is published: by builds, by `archive import-packages`, by plain SQL.';
COMMENT ON COLUMN binary_package.architecture IS 'A Debian architecture tag, or `all`: for every architecture.';
COMMENT ON COLUMN binary_package.provides IS 'Virtual packages, as `mail-transport-agent` or `libfoo-abi (= 3)`.';
COMMENT ON COLUMN binary_package.build IS 'Which left it; null: it comes from outside the farm.';
COMMENT ON COLUMN binary_package.imported_for IS
    'Architecture of the index that it was imported from: the next import of that index replaces it.';
COMMENT ON COLUMN binary_package.offers IS 'Names by which it may be depended on.';
-- Without the list of entries that are still to be sorted in: thousands of look-ups would each read all of it.
CREATE INDEX binary_package_offers ON binary_package USING gin (offers) WITH (fastupdate = off);
CREATE INDEX binary_package_build ON binary_package (build) WHERE build IS NOT NULL;
CREATE INDEX build_awaits ON build USING gin (relation_names(dependencies)) WITH (fastupdate = off)
    WHERE state = 'MANUALDEPWAIT';

CREATE FUNCTION packages_offering(names text[]) RETURNS SETOF binary_package
    LANGUAGE sql STABLE ROWS 1000
    SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT DISTINCT ON (package.id) package.*
        FROM unnest(names) AS wanted (name)
        JOIN binary_package AS package ON package.offers @> ARRAY[wanted.name];
    END;
COMMENT ON FUNCTION packages_offering IS
    'What goes by one of these names.  By the index, one name at a time, whatever the planner thinks of a table that was
empty a moment ago or of thousands of names at once: it would read all rows for each.';

CREATE FUNCTION record_packages() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO event (who, why, subject, what, before, after, cause)
    SELECT coalesce(nullif(current_setting('farm.who', true), ''), 'sql'),
           coalesce(current_setting('farm.why', true), ''),
           'archive:' || archive,
           'packages: ' || lower(TG_OP),
           CASE WHEN TG_OP = 'DELETE' THEN told END,
           CASE WHEN TG_OP <> 'DELETE' THEN told END,
           nullif(current_setting('farm.cause', true), '')::bigint
    FROM (
        SELECT archive,
               jsonb_build_object(
                   'distroseries', distroseries,
                   'count', count(*),
                   'packages', (array_agg(name || ' ' || version || ' ' || architecture ORDER BY id))[:20]
               ) AS told
        FROM touched
        GROUP BY archive, distroseries
    ) AS place;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION record_packages IS
    'One event for each statement, archive and series, with the first names: an import has tens of thousands of rows.';

CREATE TRIGGER event_inserted AFTER INSERT ON binary_package REFERENCING NEW TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION record_packages();
CREATE TRIGGER event_updated AFTER UPDATE ON binary_package REFERENCING NEW TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION record_packages();
CREATE TRIGGER event_deleted AFTER DELETE ON binary_package REFERENCING OLD TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION record_packages();

-- Removals are not told: nothing that waits is helped by them.
CREATE TRIGGER tell_inserted AFTER INSERT ON binary_package REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_updated AFTER UPDATE ON binary_package REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
