-- Rules that span rows, for whoever changes them, plain SQL included: what may follow what, and what a change of one
-- row means for the attempt that is open (architecture §6, dispatch-rules §4).

CREATE FUNCTION refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation';
END
$$;
COMMENT ON FUNCTION refuse() IS 'Raises its argument.';

CREATE TRIGGER keep_name BEFORE UPDATE OF name ON builder
FOR EACH ROW WHEN (OLD.name <> NEW.name)
EXECUTE FUNCTION refuse('a builder keeps its name: remove it and add another');

CREATE TRIGGER keep_purpose BEFORE UPDATE OF purpose ON archive
FOR EACH ROW WHEN (OLD.purpose <> NEW.purpose)
EXECUTE FUNCTION refuse('an archive keeps its purpose, because the trust of its builds follows from it');

CREATE TRIGGER keep_outcome BEFORE UPDATE OF outcome ON attempt
FOR EACH ROW WHEN (OLD.outcome IS NOT NULL AND NEW.outcome IS DISTINCT FROM OLD.outcome)
EXECUTE FUNCTION refuse('the attempt is closed: its outcome stands');

CREATE FUNCTION check_families() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    stranger text;
BEGIN
    SELECT family INTO stranger
    FROM unnest(NEW.families) AS family
    WHERE NOT EXISTS (SELECT FROM processor_family WHERE name = family)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'no processor family % here', quote_literal(stranger) USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_families() IS 'What a foreign key would do if arrays could have one.';

CREATE TRIGGER check_families BEFORE INSERT OR UPDATE OF families ON builder
FOR EACH ROW EXECUTE FUNCTION check_families();

CREATE FUNCTION complete_verdict() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.builderok THEN
        NEW.failnotes := '';
        NEW.notok_by := NULL;
        NEW.notok_kind := NULL;
    ELSIF NEW.notok_by IS NULL THEN
        NEW.notok_by := 'person';
        NEW.notok_kind := NULL;
    ELSIF TG_OP = 'UPDATE' AND coalesce(current_setting('farm.who', true), '') = ''
          AND NEW.notok_by IS NOT DISTINCT FROM OLD.notok_by THEN
        NEW.notok_by := 'person';
        NEW.notok_kind := NULL;
    ELSIF NEW.notok_by = 'person' THEN
        NEW.notok_kind := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION complete_verdict() IS
    'Whoever sets builderok need not know the columns that go with it; a person at the SQL prompt speaks as a person,
also about a builder that the machine had marked.';

CREATE TRIGGER complete_verdict BEFORE INSERT OR UPDATE OF builderok, failnotes, notok_by, notok_kind ON builder
FOR EACH ROW EXECUTE FUNCTION complete_verdict();

-- Fencing ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION fence_attempt(which uuid, told text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    held bigint;
BEGIN
    PERFORM FROM build WHERE id = (SELECT build FROM attempt WHERE id = which) FOR NO KEY UPDATE;
    UPDATE attempt SET outcome = 'FENCED', ended = now(), text = told
    WHERE id = which AND outcome IS NULL
    RETURNING build INTO held;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE build
    SET state = CASE state WHEN 'CANCELLING' THEN 'CANCELLED' ELSE 'NEEDSBUILD' END, why = told
    WHERE id = held AND state IN ('BUILDING', 'GATHERING', 'CANCELLING');
    RETURN true;
END
$$;
COMMENT ON FUNCTION fence_attempt(uuid, text) IS
    'Closes an open attempt without blame: its build waits again, with its place; one that was being cancelled is so.
Everybody locks builder, build, attempt and job in this order.';

CREATE FUNCTION check_move() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM build_move WHERE now = OLD.state AND wanted = NEW.state) THEN
        RAISE EXCEPTION 'build % is % and can''t become %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.ended := CASE
        WHEN NEW.state NOT IN ('NEEDSBUILD', 'BUILDING', 'GATHERING', 'CANCELLING') THEN now()
    END;
    IF NEW.state <> 'MANUALDEPWAIT' THEN
        NEW.dependencies := '{}';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_move() IS 'Refuses what is not in build_move; keeps the columns that go with a state.';

CREATE TRIGGER check_move BEFORE UPDATE OF state ON build
FOR EACH ROW WHEN (OLD.state <> NEW.state)
EXECUTE FUNCTION check_move();

CREATE FUNCTION follow_state() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IN ('BUILDING', 'GATHERING', 'CANCELLING') THEN
        IF NEW.state = 'CANCELLING' THEN
            UPDATE attempt SET deadline = least(deadline, now() + interval '70 seconds')
            WHERE build = NEW.id AND outcome IS NULL;
        ELSE
            PERFORM FROM attempt WHERE build = NEW.id AND outcome IS NULL;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'build % can''t be %: no attempt at it is open', NEW.id, NEW.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END IF;
    UPDATE attempt
    SET outcome = 'FENCED', ended = now(),
        text = coalesce(nullif(current_setting('farm.why', true), ''), 'the build was set to ' || NEW.state)
    WHERE build = NEW.id AND outcome IS NULL;
    IF NEW.state = 'NEEDSBUILD' THEN
        UPDATE buildqueue SET builder = NULL, buildstart = NULL WHERE build = NEW.id AND builder IS NOT NULL;
    ELSE
        DELETE FROM buildqueue WHERE build = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION follow_state() IS
    'Attempt and job follow the state of their build.  Who records the end of an attempt closes it first; an attempt
that is still open here was cut short by a verdict.  70 s: dispatch-rules §8, cancelling.';

CREATE TRIGGER follow_state AFTER UPDATE OF state ON build
FOR EACH ROW WHEN (OLD.state <> NEW.state)
EXECUTE FUNCTION follow_state();

CREATE FUNCTION fence_removed_job() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fence_attempt(id, format('job %s was removed', OLD.id))
    FROM attempt
    WHERE build = OLD.build AND outcome IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER follow_removal AFTER DELETE ON buildqueue
FOR EACH ROW EXECUTE FUNCTION fence_removed_job();

CREATE FUNCTION follow_holder() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fence_attempt(id, format('job %s was taken from %s', NEW.id, builder))
    FROM attempt
    WHERE build = NEW.build AND outcome IS NULL AND builder IS DISTINCT FROM NEW.builder;
    IF NEW.builder IS NOT NULL
       AND NOT EXISTS (SELECT FROM attempt WHERE build = NEW.build AND builder = NEW.builder AND outcome IS NULL) THEN
        RAISE EXCEPTION 'job % can''t be given to % without an attempt: the farm gives jobs away by claiming them',
            NEW.id, NEW.builder USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION follow_holder() IS 'A job has a builder if and only if an attempt there is open.';

CREATE TRIGGER follow_holder AFTER INSERT OR UPDATE OF builder ON buildqueue
FOR EACH ROW EXECUTE FUNCTION follow_holder();

CREATE FUNCTION fence_lowered_trust() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fence_attempt(id, format('%s is not trusted any more', NEW.name))
    FROM attempt
    WHERE builder = NEW.name AND outcome IS NULL AND trusted;
    RETURN NULL;
END
$$;

CREATE TRIGGER follow_trust AFTER UPDATE OF trusted ON builder
FOR EACH ROW WHEN (OLD.trusted AND NOT NEW.trusted)
EXECUTE FUNCTION fence_lowered_trust();

CREATE FUNCTION fence_removed_builder() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fence_attempt(id, format('builder %s was removed', OLD.name))
    FROM attempt
    WHERE builder = OLD.name AND outcome IS NULL;
    RETURN OLD;
END
$$;

CREATE TRIGGER follow_removal BEFORE DELETE ON builder
FOR EACH ROW EXECUTE FUNCTION fence_removed_builder();
