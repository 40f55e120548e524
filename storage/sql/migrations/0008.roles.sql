-- Teams and tokens of people.  Who may do what is decided in actors/core/people/roles.py; here is who is who.

CREATE TABLE team (
    name word PRIMARY KEY
);
COMMENT ON TABLE team IS 'People with a role in common; its members count as owners of the archives whose owner has its name.';

CREATE TABLE team_member (
    team word NOT NULL REFERENCES team (name) ON UPDATE CASCADE ON DELETE CASCADE,
    person word NOT NULL REFERENCES person (name) ON UPDATE CASCADE ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, person)
);
CREATE INDEX ON team_member (person);

CREATE TABLE api_token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person word NOT NULL REFERENCES person (name) ON UPDATE CASCADE ON DELETE CASCADE,
    hash sha256 NOT NULL UNIQUE,
    label text NOT NULL DEFAULT '' CHECK (label ~ '^[^[:cntrl:]]{0,100}$'),
    created timestamptz NOT NULL DEFAULT now(),
    expires timestamptz,
    last_used timestamptz,
    revoked timestamptz
);
CREATE INDEX ON api_token (person);
COMMENT ON COLUMN api_token.hash IS 'SHA-256 of the token; the token itself is shown once, and kept by nobody here.';
COMMENT ON COLUMN api_token.expires IS 'NULL: never.';
COMMENT ON COLUMN api_token.last_used IS 'To a minute; not for what was refused.  No event.';

INSERT INTO team (name) VALUES ('buildd-admins');

CREATE TRIGGER keep_admins BEFORE DELETE OR UPDATE OF name ON team
FOR EACH ROW WHEN (OLD.name = 'buildd-admins')
EXECUTE FUNCTION refuse('the team buildd-admins stays as it is called: its members have the role buildd-admin');

CREATE TRIGGER keep_revoked BEFORE UPDATE OF revoked ON api_token
FOR EACH ROW WHEN (OLD.revoked IS NOT NULL AND NEW.revoked IS DISTINCT FROM OLD.revoked)
EXECUTE FUNCTION refuse('a revoked token stays revoked: create another');

CREATE TRIGGER keep_hash BEFORE UPDATE OF hash ON api_token
FOR EACH ROW WHEN (NEW.hash <> OLD.hash)
EXECUTE FUNCTION refuse('a token keeps its hash: create another');

-- As before, but for columns that are left out.
CREATE OR REPLACE FUNCTION record_event() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := to_jsonb(OLD);
    became jsonb := to_jsonb(NEW);
    subject text := TG_ARGV[0] || ':' || (coalesce(became, was) ->> TG_ARGV[1]);
    what text := lower(TG_OP);
BEGIN
    IF TG_NARGS > 2 THEN
        was := was - TG_ARGV[2:];
        became := became - TG_ARGV[2:];
    END IF;
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
    'Writes the change of one row.  Arguments: kind of subject, the column that names it, and columns to leave out.
Who and why are settings of the transaction; unset means a person at the SQL prompt.';

CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON team
FOR EACH ROW EXECUTE FUNCTION record_event('team', 'name');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON team_member
FOR EACH ROW EXECUTE FUNCTION record_event('team', 'team');
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON api_token
FOR EACH ROW EXECUTE FUNCTION record_event('token', 'id', 'hash', 'last_used');
