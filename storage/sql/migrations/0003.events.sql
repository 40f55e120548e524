-- What happened, and who is told: events in the transaction of the change, notifications at its commit.
-- `event` sorts before `follow_…`, and triggers fire by name: causes are written before what they cause.

CREATE FUNCTION record_event() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := to_jsonb(OLD);
    became jsonb := to_jsonb(NEW);
    subject text := TG_ARGV[0] || ':' || (coalesce(became, was) ->> TG_ARGV[1]);
    what text := lower(TG_OP);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT string_agg(key, ', ' ORDER BY key), jsonb_object_agg(key, was -> key), jsonb_object_agg(key, value)
        INTO what, was, became
        FROM jsonb_each(became)
        WHERE value IS DISTINCT FROM was -> key;
        IF what IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO event (who, why, subject, what, before, after, cause)
    VALUES (coalesce(nullif(current_setting('farm.who', true), ''), 'sql'),
            coalesce(current_setting('farm.why', true), ''),
            subject, what, was, became,
            nullif(current_setting('farm.cause', true), '')::bigint);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION record_event() IS
    'Writes the change of one row: kind of subject, and the column that names it, are the arguments.  Who and why are
settings of the transaction; unset means a person at the SQL prompt.';

CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON farm
FOR EACH ROW EXECUTE FUNCTION record_event('farm', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON person
FOR EACH ROW EXECUTE FUNCTION record_event('person', 'name');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON processor_family
FOR EACH ROW EXECUTE FUNCTION record_event('family', 'name');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON component
FOR EACH ROW EXECUTE FUNCTION record_event('component', 'name');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON distribution
FOR EACH ROW EXECUTE FUNCTION record_event('distribution', 'name');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON distroseries
FOR EACH ROW EXECUTE FUNCTION record_event('distroseries', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON distroarchseries
FOR EACH ROW EXECUTE FUNCTION record_event('distroarchseries', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON library_alias
FOR EACH ROW EXECUTE FUNCTION record_event('alias', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON chroot
FOR EACH ROW EXECUTE FUNCTION record_event('chroot', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON archive
FOR EACH ROW EXECUTE FUNCTION record_event('archive', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON source_release
FOR EACH ROW EXECUTE FUNCTION record_event('source', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON publication
FOR EACH ROW EXECUTE FUNCTION record_event('publication', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON build
FOR EACH ROW EXECUTE FUNCTION record_event('build', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON builder
FOR EACH ROW EXECUTE FUNCTION record_event('builder', 'name');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON buildqueue
FOR EACH ROW EXECUTE FUNCTION record_event('job', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON attempt
FOR EACH ROW EXECUTE FUNCTION record_event('attempt', 'id');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON build_file
FOR EACH ROW EXECUTE FUNCTION record_event('build_file', 'build');

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
FOR EACH STATEMENT EXECUTE FUNCTION refuse('the event log is append-only');

CREATE FUNCTION tell_farm() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    ids jsonb;
    most constant integer := 100;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_agg(DISTINCT to_jsonb(changed) -> TG_ARGV[0]) INTO ids
        FROM (SELECT * FROM new_rows EXCEPT SELECT * FROM old_rows) AS changed;
    ELSIF TG_OP = 'INSERT' THEN
        SELECT jsonb_agg(DISTINCT to_jsonb(new_rows) -> TG_ARGV[0]) INTO ids FROM new_rows;
    ELSE
        SELECT jsonb_agg(DISTINCT to_jsonb(old_rows) -> TG_ARGV[0]) INTO ids FROM old_rows;
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM pg_notify('farm', jsonb_build_object(
            'table', TG_TABLE_NAME,
            'op', TG_OP,
            'ids', CASE WHEN jsonb_array_length(ids) <= most THEN ids END
        )::text);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tell_farm() IS
    'Says on channel farm which rows changed; the argument is the column that names them.  Too many for one payload
(8000 bytes): ids is null, and who listens loads the table again.  Statements that changed nothing are silent.';

CREATE TRIGGER tell_inserted AFTER INSERT ON builder REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');
CREATE TRIGGER tell_updated AFTER UPDATE ON builder REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');
CREATE TRIGGER tell_deleted AFTER DELETE ON builder REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');
CREATE TRIGGER tell_inserted AFTER INSERT ON buildqueue REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_updated AFTER UPDATE ON buildqueue REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_deleted AFTER DELETE ON buildqueue REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_inserted AFTER INSERT ON build REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_updated AFTER UPDATE ON build REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_updated AFTER UPDATE ON attempt REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_inserted AFTER INSERT ON chroot REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('distroarchseries');
CREATE TRIGGER tell_updated AFTER UPDATE ON chroot REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('distroarchseries');
CREATE TRIGGER tell_deleted AFTER DELETE ON chroot REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('distroarchseries');
CREATE TRIGGER tell_updated AFTER UPDATE ON archive REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
CREATE TRIGGER tell_inserted AFTER INSERT ON library_content REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('sha256');
CREATE TRIGGER tell_updated AFTER UPDATE ON processor_family REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');
CREATE TRIGGER tell_updated AFTER UPDATE ON farm REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('id');
