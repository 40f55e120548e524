-- What the rest of dispatch-rules §1-§4 looks at: tags, pauses and fences, series status, assignments, cooling down,
-- pair exclusion; and who is told of changes to it.

CREATE DOMAIN series_status AS text
    CHECK (VALUE IN ('EXPERIMENTAL', 'DEVELOPMENT', 'FROZEN', 'CURRENT', 'SUPPORTED', 'OBSOLETE'));

CREATE FUNCTION tags_can_be(tags text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN NOT EXISTS (SELECT FROM unnest(tags) AS tag WHERE tag IS NULL OR tag !~ '^[a-z0-9][a-z0-9+._-]{0,63}$');
COMMENT ON FUNCTION tags_can_be IS 'Each is a word.';

CREATE DOMAIN tags AS text[]
    CHECK (tags_can_be(VALUE));

-- 1. what an operator says of the farm
ALTER TABLE farm
    ADD COLUMN paused text NOT NULL DEFAULT '',
    ADD COLUMN minimum_score integer CHECK (minimum_score BETWEEN -1000000 AND 1000000);
COMMENT ON COLUMN farm.paused IS 'Why nothing is given away; empty: jobs are given away.';
COMMENT ON COLUMN farm.minimum_score IS 'Jobs whose score without age is less wait.';
ALTER TABLE processor_family
    ADD COLUMN minimum_score integer CHECK (minimum_score BETWEEN -1000000 AND 1000000);
COMMENT ON COLUMN processor_family.minimum_score IS 'As farm.minimum_score, of this family; the higher of the two counts.';

-- 2. series, archives, builds
ALTER TABLE distroseries ADD COLUMN status series_status NOT NULL DEFAULT 'DEVELOPMENT';
COMMENT ON COLUMN distroseries.status IS 'Which pockets are open to uploads: actors/core/dispatch/pockets.py.  PPAs don''t care.';
ALTER TABLE distroarchseries ADD COLUMN ppas boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN distroarchseries.ppas IS 'Whether sources in PPAs are built for it.';
ALTER TABLE archive ADD COLUMN tags tags NOT NULL DEFAULT '{}';
COMMENT ON COLUMN archive.tags IS 'Resource tags that every build in it asks for.';
ALTER TABLE build ADD COLUMN tags tags NOT NULL DEFAULT '{}';
COMMENT ON COLUMN build.tags IS 'Resource tags that it asks for, beside those of its archive.';

-- 3. builders
ALTER TABLE builder ALTER COLUMN tags TYPE tags;
ALTER TABLE builder ADD COLUMN restricted_tags tags NOT NULL DEFAULT '{}';
COMMENT ON COLUMN builder.tags IS 'Resource tags that it has.';
COMMENT ON COLUMN builder.restricted_tags IS 'More tags that it has; it takes only jobs that ask for all of these.';
ALTER TABLE builder_runtime
    ADD COLUMN quarantine_why text NOT NULL DEFAULT '',
    ADD COLUMN frozen_until timestamptz;
COMMENT ON COLUMN builder_runtime.frozen_until IS 'Its actor is held at the debug console.';
COMMENT ON TABLE builder_runtime IS
    'What only actors know; written when it changes.  Quarantine and freezing are told and are events, the rest is not.';

-- 4. jobs and attempts
ALTER TABLE buildqueue
    ADD COLUMN assigned word REFERENCES builder (name) ON DELETE SET NULL,
    ADD COLUMN cooling_until timestamptz,
    ADD COLUMN given_back integer NOT NULL DEFAULT 0 CHECK (given_back >= 0);
COMMENT ON COLUMN buildqueue.assigned IS 'The only builder that may take it, in manual mode or not: an operator''s word.';
COMMENT ON COLUMN buildqueue.cooling_until IS 'Given back by its slave: waits until then.';
COMMENT ON COLUMN buildqueue.given_back IS 'How often in a row.';
CREATE INDEX buildqueue_assigned ON buildqueue (assigned) WHERE assigned IS NOT NULL;
ALTER TABLE attempt ADD COLUMN excluded_until timestamptz;
COMMENT ON COLUMN attempt.excluded_until IS 'The build does not go to this builder again before (pair exclusion).';
CREATE INDEX attempt_excluded ON attempt (build) WHERE excluded_until IS NOT NULL;
CREATE INDEX build_source ON build (source);
CREATE INDEX build_archive ON build (archive);

-- 5. events and notifications
CREATE FUNCTION tell_one() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_notify('farm', jsonb_build_object(
        'table', TG_ARGV[0], 'op', TG_OP, 'ids', jsonb_build_array(to_jsonb(NEW) -> TG_ARGV[1]))::text);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tell_one IS 'As tell_farm, for one row; arguments: the table to name, and the column that names its row.';

CREATE TRIGGER event AFTER UPDATE ON builder_runtime FOR EACH ROW
    WHEN (OLD.quarantined_until IS DISTINCT FROM NEW.quarantined_until OR OLD.frozen_until IS DISTINCT FROM NEW.frozen_until)
    EXECUTE FUNCTION record_event('builder', 'builder');
CREATE TRIGGER tell_updated AFTER UPDATE ON builder_runtime FOR EACH ROW
    WHEN (OLD.quarantined_until IS DISTINCT FROM NEW.quarantined_until OR OLD.frozen_until IS DISTINCT FROM NEW.frozen_until)
    EXECUTE FUNCTION tell_one('builder', 'builder');
CREATE TRIGGER tell_inserted AFTER INSERT ON builder_runtime FOR EACH ROW
    WHEN (NEW.quarantined_until IS NOT NULL OR NEW.frozen_until IS NOT NULL)
    EXECUTE FUNCTION tell_one('builder', 'builder');
CREATE TRIGGER tell_excluded AFTER UPDATE ON attempt FOR EACH ROW
    WHEN (OLD.excluded_until IS DISTINCT FROM NEW.excluded_until)
    EXECUTE FUNCTION tell_one('build', 'build');

CREATE TRIGGER tell_inserted AFTER INSERT ON publication
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('source');
CREATE TRIGGER tell_updated AFTER UPDATE ON publication
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('source');
CREATE TRIGGER tell_deleted AFTER DELETE ON publication
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('source');
CREATE TRIGGER tell_updated AFTER UPDATE ON source_release
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_inserted AFTER INSERT ON source_file
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('source');
CREATE TRIGGER tell_updated AFTER UPDATE ON source_file
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('source');
CREATE TRIGGER tell_deleted AFTER DELETE ON source_file
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('source');
CREATE TRIGGER tell_deleted AFTER DELETE ON library_content
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('sha256');
CREATE TRIGGER tell_updated AFTER UPDATE ON distroseries
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_updated AFTER UPDATE ON distroarchseries
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_updated AFTER UPDATE ON person
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');

-- 6. times: `infinity` and the like are nothing that the farm could read
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT columns.table_name, columns.column_name
        FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
        WHERE columns.table_schema = 'public' AND columns.data_type = 'timestamp with time zone'
          AND tables.table_type = 'BASE TABLE' AND columns.table_name !~ 'yoyo'
        ORDER BY 1, 2
    LOOP
        EXECUTE format(
            'ALTER TABLE %1$I ADD CONSTRAINT %1$s_%2$s_readable '
            'CHECK (%2$I BETWEEN ''1900-01-01 00:00:00+00'' AND ''9000-01-01 00:00:00+00'')',
            one.table_name, one.column_name);
    END LOOP;
END
$$;
