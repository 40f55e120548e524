-- What the farm's authority has issued, and the one-time tokens that slaves enrol with.  Its key is on the master's disk.

CREATE DOMAIN certificate_role AS text
    CHECK (VALUE IN ('master', 'builder'));

CREATE TABLE certificate (
    serial text PRIMARY KEY CHECK (serial ~ '^[1-9a-f][0-9a-f]{0,39}$'),
    role certificate_role NOT NULL,
    name word NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    issued timestamptz NOT NULL DEFAULT now(),
    revoked timestamptz,
    warned timestamptz,
    pem text NOT NULL,
    CHECK (role = 'builder' OR name = 'master')
);
CREATE INDEX ON certificate (name);
COMMENT ON COLUMN certificate.name IS 'Of the builder, or `master`.  A copy: what was issued outlives the builder.';
COMMENT ON COLUMN certificate.warned IS 'When people were told that it expires soon.';

CREATE TABLE enrolment (
    secret sha256 PRIMARY KEY,
    builder word NOT NULL REFERENCES builder (name) ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now(),
    expires timestamptz NOT NULL,
    used timestamptz
);
COMMENT ON COLUMN enrolment.secret IS 'Hash of what the slave must show.';

CREATE TRIGGER keep_revoked BEFORE UPDATE OF revoked ON certificate
FOR EACH ROW WHEN (OLD.revoked IS NOT NULL AND NEW.revoked IS DISTINCT FROM OLD.revoked)
EXECUTE FUNCTION refuse('a revoked certificate stays revoked: issue another');

CREATE TRIGGER keep_used BEFORE UPDATE OF used ON enrolment
FOR EACH ROW WHEN (OLD.used IS NOT NULL)
EXECUTE FUNCTION refuse('an enrolment token is used once: issue another');

CREATE FUNCTION revoke_removed_builder() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE certificate SET revoked = now() WHERE role = 'builder' AND name = OLD.name AND revoked IS NULL;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION revoke_removed_builder() IS 'Whoever is registered by this name next is somebody else.';

CREATE TRIGGER revoke_certificates BEFORE DELETE ON builder
FOR EACH ROW EXECUTE FUNCTION revoke_removed_builder();

CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON certificate
FOR EACH ROW EXECUTE FUNCTION record_event('certificate', 'name');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON enrolment
FOR EACH ROW EXECUTE FUNCTION record_event('enrolment', 'builder');

CREATE TRIGGER tell_inserted AFTER INSERT ON certificate REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');
CREATE TRIGGER tell_updated AFTER UPDATE ON certificate REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');
CREATE TRIGGER tell_deleted AFTER DELETE ON certificate REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION tell_farm('name');
