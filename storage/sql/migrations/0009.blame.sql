-- Verdicts by evidence (dispatch-rules §5, §6): who was charged, the builder's ladder, black holes, chroots held back.

-- In one statement: PostgreSQL refuses a savepoint between the two.
DO $$
BEGIN
    ALTER DOMAIN notok_kind DROP CONSTRAINT notok_kind_check;
    ALTER DOMAIN notok_kind ADD CONSTRAINT notok_kind_check
        CHECK (VALUE IN ('unreachable', 'crash', 'misfit', 'breach', 'failures', 'blackhole'));
END
$$;

-- 1. attempts
ALTER TABLE attempt
    ADD COLUMN charged boolean NOT NULL DEFAULT false,
    ADD COLUMN builder_induced boolean NOT NULL DEFAULT false,
    ADD COLUMN verdict text NOT NULL DEFAULT '';
COMMENT ON COLUMN attempt.charged IS 'Its failure counts against the job.';
COMMENT ON COLUMN attempt.builder_induced IS 'It failed there and passed elsewhere: the builder turned out to be broken.';
COMMENT ON COLUMN attempt.verdict IS 'What its outcome meant for build, job and builder, in words.';
CREATE INDEX attempt_builder ON attempt (builder, ended DESC) WHERE outcome IS NOT NULL;
CREATE INDEX attempt_chroot ON attempt (chroot, ended DESC) WHERE outcome IS NOT NULL;

-- 2. builds: tried once elsewhere, because this builder is under suspicion
ALTER TABLE build ADD COLUMN suspect word;
COMMENT ON COLUMN build.suspect IS 'Builder on which it failed so quickly that it is tried once elsewhere.  No reference: builders may be removed.';
CREATE INDEX build_suspect ON build (suspect) WHERE suspect IS NOT NULL;

-- 3. builders
ALTER TABLE builder_runtime ADD COLUMN cleared timestamptz
    CONSTRAINT builder_runtime_cleared_readable CHECK (cleared BETWEEN '1900-01-01 00:00:00+00' AND '9000-01-01 00:00:00+00');
COMMENT ON COLUMN builder_runtime.cleared IS 'Since when its results count as evidence against it: a person has set it ok, or it was cross-checked.';

DROP TRIGGER event ON builder_runtime;
CREATE TRIGGER event AFTER UPDATE ON builder_runtime FOR EACH ROW
    WHEN (OLD.quarantined_until IS DISTINCT FROM NEW.quarantined_until OR OLD.frozen_until IS DISTINCT FROM NEW.frozen_until
          OR OLD.failures_in_row IS DISTINCT FROM NEW.failures_in_row)
    EXECUTE FUNCTION record_event('builder', 'builder');

DROP TRIGGER tell_updated ON builder_runtime;
CREATE TRIGGER tell_updated AFTER UPDATE ON builder_runtime FOR EACH ROW
    WHEN (OLD.quarantined_until IS DISTINCT FROM NEW.quarantined_until OR OLD.frozen_until IS DISTINCT FROM NEW.frozen_until
          OR OLD.failures_in_row IS DISTINCT FROM NEW.failures_in_row)
    EXECUTE FUNCTION tell_one('builder', 'builder');

CREATE FUNCTION forgive_builder() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO builder_runtime (builder, state, connected, cleared) VALUES (NEW.name, 'DISCONNECTED', false, now())
    ON CONFLICT (builder) DO UPDATE
    SET failures_in_row = 0, quarantined_until = NULL, quarantine_why = '', cleared = now();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION forgive_builder IS 'A person says that it is ok: what it did before counts no more.';
CREATE TRIGGER forgive AFTER UPDATE OF builderok ON builder FOR EACH ROW
    WHEN (NEW.builderok AND NOT OLD.builderok
          AND (OLD.notok_by = 'person' OR OLD.notok_kind IN ('breach', 'failures', 'blackhole')))
    EXECUTE FUNCTION forgive_builder();

-- 4. chroots
ALTER TABLE chroot ADD COLUMN held_back text NOT NULL DEFAULT '';
COMMENT ON COLUMN chroot.held_back IS 'Why nothing is built in it; empty: it is used.  Another tarball takes its place and is used.';

CREATE FUNCTION use_replaced_chroot() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF NEW.held_back = OLD.held_back THEN
        NEW.held_back := '';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER use_replaced BEFORE UPDATE OF alias ON chroot FOR EACH ROW WHEN (OLD.alias <> NEW.alias)
    EXECUTE FUNCTION use_replaced_chroot();
