-- What a person at the SQL prompt could still break: the farm's own row, arrays of arrays, half an address, and a build
-- that waits again without a job.

CREATE TRIGGER keep_row BEFORE DELETE OR TRUNCATE ON farm FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('the farm keeps its one row: change it by UPDATE');

-- What is there already keeps its words, as they were read.  `array_ndims` of an empty array is null.
UPDATE archive SET tags = ARRAY(SELECT unnest(tags)) WHERE array_ndims(tags) > 1;
UPDATE build SET tags = ARRAY(SELECT unnest(tags)) WHERE array_ndims(tags) > 1;
UPDATE builder SET tags = ARRAY(SELECT unnest(tags)) WHERE array_ndims(tags) > 1;
UPDATE builder SET restricted_tags = ARRAY(SELECT unnest(restricted_tags)) WHERE array_ndims(restricted_tags) > 1;
UPDATE builder SET families = ARRAY(SELECT unnest(families)) WHERE array_ndims(families) > 1;
UPDATE build SET dependencies = ARRAY(SELECT unnest(dependencies)) WHERE array_ndims(dependencies) > 1;
UPDATE attempt SET limits_from = ARRAY(SELECT unnest(limits_from)) WHERE array_ndims(limits_from) > 1;
UPDATE binary_package SET provides = ARRAY(SELECT unnest(provides)) WHERE array_ndims(provides) > 1;
UPDATE processor_family SET architectures = ARRAY(SELECT unnest(architectures)) WHERE array_ndims(architectures) > 1;
UPDATE source_release SET architectures = ARRAY(SELECT unnest(architectures)) WHERE array_ndims(architectures) > 1;
ALTER DOMAIN tags ADD CONSTRAINT tags_flat CHECK (array_ndims(VALUE) <= 1);
ALTER TABLE builder ADD CONSTRAINT builder_families_flat CHECK (array_ndims(families) <= 1);
ALTER TABLE build ADD CONSTRAINT build_dependencies_flat CHECK (array_ndims(dependencies) <= 1);
ALTER TABLE attempt ADD CONSTRAINT attempt_limits_from_flat CHECK (array_ndims(limits_from) <= 1);
ALTER TABLE binary_package ADD CONSTRAINT binary_package_provides_flat CHECK (array_ndims(provides) <= 1);
ALTER TABLE processor_family ADD CONSTRAINT processor_family_architectures_flat CHECK (array_ndims(architectures) <= 1);
ALTER TABLE source_release ADD CONSTRAINT source_release_architectures_flat CHECK (array_ndims(architectures) <= 1);

-- As `slave_url` in storage/words/builders.py: an IPv6 address stands in brackets, and nothing else does.
ALTER TABLE builder DROP CONSTRAINT builder_url_check;
ALTER TABLE builder ADD CONSTRAINT builder_url_check
    CHECK (url ~ '^[a-z]+://(\[[^][:space:]/@[]+\]|[^][:space:]/@:[]+):[0-9]+/?$');

-- A cross-check is over when its build has ended, whoever ended it.
CREATE OR REPLACE FUNCTION check_move() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM build_move WHERE now = OLD.state AND wanted = NEW.state) THEN
        RAISE EXCEPTION 'build % is % and can''t become %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.ended := CASE
        WHEN NEW.state NOT IN ('NEEDSBUILD', 'BUILDING', 'GATHERING', 'CANCELLING') THEN now()
    END;
    IF NEW.ended IS NOT NULL THEN
        NEW.suspect := NULL;
    END IF;
    IF NEW.state <> 'MANUALDEPWAIT' THEN
        NEW.dependencies := '{}';
    END IF;
    RETURN NEW;
END
$$;

-- A person at the prompt who lets an ended build wait again gets its job with it; commands queue it themselves.
CREATE OR REPLACE FUNCTION follow_state() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
        IF coalesce(current_setting('farm.who', true), '') = ''
           AND OLD.state NOT IN ('BUILDING', 'GATHERING', 'CANCELLING') THEN
            INSERT INTO buildqueue (build) VALUES (NEW.id) ON CONFLICT (build) DO NOTHING;
        END IF;
    ELSE
        DELETE FROM buildqueue WHERE build = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
