-- The rows of the farm.  Rules that span rows are in 0002, events and notifications in 0003.

CREATE DOMAIN pocket AS text
    CHECK (VALUE IN ('RELEASE', 'SECURITY', 'UPDATES', 'PROPOSED', 'BACKPORTS'));
CREATE DOMAIN archive_purpose AS text
    CHECK (VALUE IN ('PRIMARY', 'PARTNER', 'COPY', 'PPA'));
CREATE DOMAIN urgency AS text
    CHECK (VALUE IN ('low', 'medium', 'high', 'emergency'));
CREATE DOMAIN publishing_status AS text
    CHECK (VALUE IN ('PENDING', 'PUBLISHED', 'SUPERSEDED', 'DELETED'));
CREATE DOMAIN build_state AS text
    CHECK (VALUE IN ('NEEDSBUILD', 'BUILDING', 'CANCELLING', 'GATHERING', 'FULLYBUILT', 'FAILEDTOBUILD',
                     'MANUALDEPWAIT', 'CHROOTWAIT', 'SUPERSEDED', 'FAILEDTOUPLOAD', 'CANCELLED', 'INFRAFAILED'));
CREATE DOMAIN outcome AS text
    CHECK (VALUE IN ('OK', 'UNVERIFIED', 'PACKAGEFAIL', 'DEPFAIL', 'CHROOTFAIL', 'GIVENBACK', 'BUILDERFAIL', 'LOST',
                     'BREACH', 'ABORTED', 'TIMEOUT', 'FENCED'));
CREATE DOMAIN notok_by AS text
    CHECK (VALUE IN ('person', 'machine'));
CREATE DOMAIN notok_kind AS text
    CHECK (VALUE IN ('unreachable', 'crash', 'misfit', 'breach'));
CREATE DOMAIN runtime_state AS text
    CHECK (VALUE IN ('DISCONNECTED', 'CONNECTING', 'IDLE', 'PREPARING', 'BUILDING', 'GATHERING', 'ABORTING',
                     'CLEANING'));
-- A word of a path or URL: names of distributions, series, archives, people, builders, families, tags.
CREATE DOMAIN word AS text
    CHECK (VALUE ~ '^[a-z0-9][a-z0-9+._-]{0,63}$');
-- A single component of a path.
CREATE DOMAIN filename AS text
    CHECK (VALUE ~ '^[^/[:cntrl:]]{1,255}$' AND VALUE NOT IN ('.', '..'));
CREATE DOMAIN sha256 AS text
    CHECK (VALUE ~ '^[0-9a-f]{64}$');

CREATE TABLE farm (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE farm IS 'One row: the identity that slaves remember, and later what holds for the whole farm.';

CREATE TABLE person (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name word NOT NULL UNIQUE,
    created timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE processor_family (
    name word PRIMARY KEY,
    architectures text[] NOT NULL CHECK (cardinality(architectures) > 0)
);
COMMENT ON COLUMN processor_family.architectures IS 'Debian architecture tags; each belongs to one family.';

CREATE TABLE component (
    name word PRIMARY KEY
);

CREATE TABLE distribution (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name word NOT NULL UNIQUE,
    created timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE distroseries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    distribution bigint NOT NULL REFERENCES distribution,
    name word NOT NULL,
    nominated_archindep text NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (distribution, name)
);

CREATE TABLE distroarchseries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    distroseries bigint NOT NULL REFERENCES distroseries,
    architecture word NOT NULL,
    family word NOT NULL REFERENCES processor_family,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (distroseries, architecture)
);
ALTER TABLE distroseries
    ADD FOREIGN KEY (id, nominated_archindep) REFERENCES distroarchseries (distroseries, architecture)
    DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE library_content (
    sha256 sha256 PRIMARY KEY,
    sha1 text NOT NULL CHECK (sha1 ~ '^[0-9a-f]{40}$'),
    size bigint NOT NULL CHECK (size >= 0),
    created timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE library_alias (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content sha256 NOT NULL REFERENCES library_content,
    filename filename NOT NULL,
    mimetype text NOT NULL CHECK (mimetype <> ''),
    created timestamptz NOT NULL DEFAULT now(),
    expires timestamptz,
    UNIQUE (content, filename, mimetype)
);

CREATE TABLE chroot (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    distroarchseries bigint NOT NULL REFERENCES distroarchseries,
    pocket pocket NOT NULL,
    alias bigint NOT NULL REFERENCES library_alias,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (distroarchseries, pocket)
);

CREATE TABLE archive (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    distribution bigint NOT NULL REFERENCES distribution,
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9+._-]{0,63}(/[a-z0-9][a-z0-9+._-]{0,63})?$'),
    purpose archive_purpose NOT NULL,
    owner bigint REFERENCES person CHECK (purpose <> 'PPA' OR owner IS NOT NULL),
    private boolean NOT NULL DEFAULT false,
    enabled boolean NOT NULL DEFAULT true,
    relative_score integer NOT NULL DEFAULT 0,
    trusted boolean NOT NULL GENERATED ALWAYS AS (purpose <> 'PPA') STORED,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (distribution, name)
);
COMMENT ON COLUMN archive.trusted IS 'Trust of every build in it; as the purpose never changes, neither does this.';

CREATE TABLE source_release (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9+.-]{1,127}$'),
    version text NOT NULL CHECK (version ~ '^([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+:~-]*$' AND length(version) <= 255),
    component word NOT NULL REFERENCES component,
    urgency urgency NOT NULL,
    architectures text[] NOT NULL CHECK (cardinality(architectures) > 0),
    dsc sha256 NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, version, dsc)
);
COMMENT ON COLUMN source_release.dsc IS 'Content of the .dsc, which names all other files: two sources of one name and
version are the same if and only if this is.';

CREATE TABLE source_file (
    source bigint NOT NULL REFERENCES source_release ON DELETE CASCADE,
    filename filename NOT NULL,
    sha256 sha256 NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    PRIMARY KEY (source, filename)
);
COMMENT ON COLUMN source_file.sha256 IS 'As announced; no reference, because the content may come to the librarian later.';
CREATE INDEX source_file_sha256 ON source_file (sha256);

CREATE TABLE publication (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source bigint NOT NULL REFERENCES source_release,
    archive bigint NOT NULL REFERENCES archive,
    distroseries bigint NOT NULL REFERENCES distroseries,
    pocket pocket NOT NULL,
    component word NOT NULL REFERENCES component,
    status publishing_status NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, archive, distroseries, pocket)
);
CREATE INDEX publication_archive ON publication (archive, distroseries);

CREATE TABLE build_move (
    now build_state NOT NULL,
    wanted build_state NOT NULL,
    PRIMARY KEY (now, wanted)
);
COMMENT ON TABLE build_move IS 'The moves that a build may make: storage/transitions.py, for whoever writes plain SQL.';

CREATE TABLE build (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source bigint NOT NULL REFERENCES source_release,
    archive bigint NOT NULL REFERENCES archive,
    distroarchseries bigint NOT NULL REFERENCES distroarchseries,
    pocket pocket NOT NULL,
    arch_indep boolean NOT NULL,
    again integer NOT NULL DEFAULT 0 CHECK (again >= 0),
    state build_state NOT NULL DEFAULT 'NEEDSBUILD',
    dependencies text[] NOT NULL DEFAULT '{}',
    why text NOT NULL DEFAULT '',
    created timestamptz NOT NULL DEFAULT now(),
    started timestamptz,
    ended timestamptz,
    UNIQUE (source, archive, distroarchseries, again)
);
COMMENT ON COLUMN build.again IS '0, unless a person asked for another build of what there was a build of.';
COMMENT ON COLUMN build.dependencies IS 'What was missing, while MANUALDEPWAIT.';
COMMENT ON COLUMN build.why IS 'What the last attempt ended with, for people.';
COMMENT ON COLUMN build.started IS 'When the last attempt was claimed.';
CREATE INDEX build_state ON build (state, id);

CREATE TABLE builder (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name word NOT NULL UNIQUE CHECK (name !~ '^(supervisor|queue|console|nursery-.*)$'),
    url text NOT NULL CHECK (url ~ '^[a-z]+://[^[:space:]/@]+:[0-9]+/?$'),
    families text[] NOT NULL CHECK (cardinality(families) > 0),
    trusted boolean NOT NULL DEFAULT false,
    builderok boolean NOT NULL DEFAULT true,
    failnotes text NOT NULL DEFAULT '',
    notok_by notok_by,
    notok_kind notok_kind,
    manual boolean NOT NULL DEFAULT false,
    tags text[] NOT NULL DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now(),
    CHECK (builderok = (notok_by IS NULL)),
    CHECK ((notok_by IS NOT DISTINCT FROM 'machine') = (notok_kind IS NOT NULL))
);
COMMENT ON COLUMN builder.name IS 'Also the name of its actor; those of the other actors are taken.';
COMMENT ON COLUMN builder.trusted IS 'It builds only trusted builds; otherwise only untrusted ones.';
COMMENT ON COLUMN builder.manual IS 'It gets work only when an operator assigns it.';

CREATE TABLE builder_runtime (
    builder word PRIMARY KEY REFERENCES builder (name) ON DELETE CASCADE,
    state runtime_state NOT NULL,
    connected boolean NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    deadline timestamptz,
    quarantined_until timestamptz,
    failures_in_row integer NOT NULL DEFAULT 0 CHECK (failures_in_row >= 0)
);
COMMENT ON TABLE builder_runtime IS 'What only actors know; written when it changes, without event or notification.';

CREATE SEQUENCE session_epoch;
COMMENT ON SEQUENCE session_epoch IS 'Numbers the connections between master and slaves; an older one is dead.';

CREATE TABLE buildqueue (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    build bigint NOT NULL UNIQUE REFERENCES build,
    manual_score integer CHECK (manual_score BETWEEN -1000000 AND 1000000),
    builder word REFERENCES builder (name),
    buildstart timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    CHECK ((builder IS NULL) = (buildstart IS NULL))
);
COMMENT ON COLUMN buildqueue.created IS 'The place of the job in the queue; kept when an attempt failed.';
CREATE INDEX buildqueue_builder ON buildqueue (builder) WHERE builder IS NOT NULL;

CREATE TABLE attempt (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    build bigint NOT NULL REFERENCES build,
    job bigint NOT NULL,
    builder word NOT NULL,
    session bigint NOT NULL,
    trusted boolean NOT NULL,
    chroot bigint NOT NULL REFERENCES library_alias,
    wall_seconds double precision NOT NULL CHECK (wall_seconds > 0),
    started timestamptz NOT NULL DEFAULT now(),
    accepted timestamptz,
    deadline timestamptz NOT NULL,
    ended timestamptz,
    outcome outcome,
    text text NOT NULL DEFAULT '',
    log bigint REFERENCES library_alias,
    CHECK ((outcome IS NULL) = (ended IS NULL))
);
COMMENT ON COLUMN attempt.job IS 'No reference: jobs are gone when their build has ended, attempts stay.';
COMMENT ON COLUMN attempt.builder IS 'No reference: builders may be removed, attempts stay.';
COMMENT ON COLUMN attempt.trusted IS 'Of build and builder when it was claimed; results are accepted under this.';
COMMENT ON COLUMN attempt.started IS 'When it was claimed.';
COMMENT ON COLUMN attempt.accepted IS 'When the slave accepted the build.';
CREATE UNIQUE INDEX attempt_open_build ON attempt (build) WHERE outcome IS NULL;
CREATE UNIQUE INDEX attempt_open_builder ON attempt (builder) WHERE outcome IS NULL;
CREATE INDEX attempt_build ON attempt (build, started);

CREATE TABLE build_file (
    build bigint NOT NULL REFERENCES build,
    attempt uuid NOT NULL REFERENCES attempt,
    alias bigint NOT NULL REFERENCES library_alias,
    PRIMARY KEY (build, alias)
);

CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    why text NOT NULL,
    subject text NOT NULL,
    what text NOT NULL,
    before jsonb,
    after jsonb,
    cause bigint REFERENCES event
);
COMMENT ON COLUMN event.before IS 'Changed columns only; the whole row where it was deleted.';
COMMENT ON COLUMN event.after IS 'Changed columns only; the whole row where it was inserted.';
CREATE INDEX event_subject ON event (subject, id);

INSERT INTO farm DEFAULT VALUES;

INSERT INTO component (name)
VALUES ('main'), ('restricted'), ('universe'), ('multiverse'), ('partner'),
       ('contrib'), ('non-free'), ('non-free-firmware');

INSERT INTO processor_family (name, architectures)
VALUES ('amd64', '{amd64}'), ('x86', '{i386}'), ('arm64', '{arm64}'), ('armhf', '{armhf}'), ('armel', '{armel}'),
       ('ppc64el', '{ppc64el}'), ('riscv64', '{riscv64}'), ('s390x', '{s390x}'), ('loong64', '{loong64}');

INSERT INTO build_move (now, wanted)
SELECT now, wanted
FROM (VALUES
    ('NEEDSBUILD', '{BUILDING}'),
    ('BUILDING', '{NEEDSBUILD,CANCELLING,GATHERING}'),
    ('GATHERING', '{NEEDSBUILD,CANCELLING,FULLYBUILT,FAILEDTOUPLOAD}'),
    ('FAILEDTOBUILD', '{NEEDSBUILD}'),
    ('MANUALDEPWAIT', '{NEEDSBUILD}'),
    ('CHROOTWAIT', '{NEEDSBUILD}'),
    ('SUPERSEDED', '{NEEDSBUILD}'),
    ('FAILEDTOUPLOAD', '{NEEDSBUILD}'),
    ('CANCELLED', '{NEEDSBUILD}'),
    ('INFRAFAILED', '{NEEDSBUILD}')
) AS moves (now, ends), unnest(ends::text[]) AS wanted
UNION ALL
SELECT now, wanted
FROM unnest('{NEEDSBUILD,BUILDING,GATHERING,CANCELLING}'::text[]) AS now,
     unnest('{FAILEDTOBUILD,MANUALDEPWAIT,CHROOTWAIT,SUPERSEDED,CANCELLED,INFRAFAILED}'::text[]) AS wanted;
