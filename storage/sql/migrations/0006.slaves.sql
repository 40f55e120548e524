-- One slave is one builder: two builders of one slave would take its session, and its builds, from each other, and a
-- trusted and an untrusted one would share a machine.

CREATE FUNCTION slave_address(url text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN regexp_replace(rtrim(lower(url), '/'), '^([a-z]+://)localhost:', '\1127.0.0.1:');
COMMENT ON FUNCTION slave_address IS 'A builder''s URL in the one way to write it.';

CREATE UNIQUE INDEX builder_slave ON builder (slave_address(url));
