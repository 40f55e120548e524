-- Evidence, and what follows from verdicts; see storage/verdicts.py.

-- evidence --
-- What is known beside the outcome of an open attempt.  No row: unknown attempt.
WITH this AS (
    SELECT id, build, job, builder, chroot FROM attempt WHERE id = %(attempt)s
)
SELECT this.builder,
       coalesce((SELECT failures_in_row FROM builder_runtime AS runtime WHERE runtime.builder = this.builder), 0)
           AS failures_in_row,
       coalesce((SELECT before.outcome IN ('OK', 'PACKAGEFAIL', 'DEPFAIL')
                 FROM attempt AS before
                 WHERE before.builder = this.builder
                   AND before.outcome IN ('OK', 'PACKAGEFAIL', 'DEPFAIL', 'BUILDERFAIL', 'LOST', 'ABORTED', 'BREACH')
                 ORDER BY before.ended DESC
                 LIMIT 1), false) AS after_completed,
       EXISTS (SELECT FROM attempt AS before
               WHERE before.build = this.build AND before.job = this.job AND before.builder = this.builder
                 -- a chroot failure that left the job where it was had been the builder's
                 AND before.outcome IN ('BUILDERFAIL', 'LOST', 'ABORTED', 'CHROOTFAIL')) AS failed_here,
       ARRAY(SELECT before.builder::text FROM attempt AS before
             WHERE before.build = this.build AND before.job = this.job AND before.charged
             ORDER BY before.ended) AS charged_on,
       EXISTS (SELECT FROM attempt AS other
               WHERE other.chroot = this.chroot AND other.builder <> this.builder
                 AND other.outcome IN ('OK', 'PACKAGEFAIL', 'DEPFAIL')) AS chroot_works_elsewhere,
       EXISTS (SELECT FROM attempt AS other
               WHERE other.chroot = this.chroot AND other.builder <> this.builder
                 AND other.outcome = 'CHROOTFAIL') AS chroot_fails_elsewhere
FROM this;

-- count_failure --
-- An update, and never an insert: that would be no event.  No row: no runtime, or no builder.
UPDATE builder_runtime
SET failures_in_row = %(failures)s,
    quarantined_until = coalesce(now() + make_interval(secs => %(seconds)s::double precision), quarantined_until),
    quarantine_why = CASE WHEN %(seconds)s::double precision IS NULL THEN quarantine_why ELSE %(why)s END
WHERE builder = %(builder)s;

-- have_runtime --
INSERT INTO builder_runtime (builder, state, connected)
SELECT name, 'DISCONNECTED', false FROM builder WHERE name = %(builder)s
ON CONFLICT (builder) DO NOTHING;

-- completed --
UPDATE builder_runtime SET failures_in_row = 0 WHERE builder = %(builder)s AND failures_in_row > 0;

-- release --
-- Out of quarantine; its results up to now are no evidence any more.
INSERT INTO builder_runtime AS runtime (builder, state, connected, cleared)
SELECT name, 'DISCONNECTED', false, now() FROM builder WHERE name = %(builder)s
ON CONFLICT (builder) DO UPDATE SET quarantined_until = NULL, quarantine_why = '', cleared = now();

-- requeue_charged --
-- Builds that are INFRAFAILED, and were charged on this builder: they are queued again.
WITH innocent AS (
    UPDATE build SET state = 'NEEDSBUILD', why = %(why)s
    WHERE state = 'INFRAFAILED'
      AND id IN (SELECT attempt.build FROM attempt
                 WHERE attempt.builder = %(builder)s AND attempt.charged AND attempt.outcome IS NOT NULL)
    RETURNING id
)
INSERT INTO buildqueue (build) SELECT id FROM innocent ORDER BY id
ON CONFLICT (build) DO NOTHING
RETURNING build;

-- results --
-- The latest results of builders, latest first, since they were cleared; with what builds of their sources took lately.
SELECT name AS builder, recent.build, recent.outcome, recent.seconds, lately.expected
FROM unnest(%(builders)s::text[]) AS name
LEFT JOIN builder_runtime AS runtime ON runtime.builder = name
CROSS JOIN LATERAL (
    SELECT attempt.build, attempt.outcome, attempt.ended,
           extract(epoch FROM attempt.ended - coalesce(attempt.accepted, attempt.started))::double precision AS seconds
    FROM attempt
    WHERE attempt.builder = name AND attempt.outcome IN ('OK', 'UNVERIFIED', 'PACKAGEFAIL', 'DEPFAIL', 'TIMEOUT')
      AND attempt.ended > coalesce(runtime.cleared, '-infinity')
    ORDER BY attempt.ended DESC
    LIMIT %(most)s
) AS recent
LEFT JOIN LATERAL (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY done.seconds) AS expected
    FROM (
        SELECT extract(epoch FROM attempt.ended - coalesce(attempt.accepted, attempt.started))::double precision AS seconds
        FROM build AS this
        JOIN source_release AS mine ON mine.id = this.source
        JOIN source_release AS other ON other.name = mine.name
        JOIN build AS that ON that.source = other.id AND that.distroarchseries = this.distroarchseries
        JOIN attempt ON attempt.build = that.id AND attempt.outcome = 'OK'
        WHERE this.id = recent.build
        ORDER BY attempt.ended DESC
        LIMIT 5
    ) AS done
) AS lately ON true
ORDER BY name, recent.ended DESC;

-- try_elsewhere --
-- Builds that failed on a suspected builder, and were not tried elsewhere since: once more, not there.
WITH failed AS (
    SELECT build.id
    FROM build
    WHERE build.id = ANY (%(builds)s::bigint[]) AND build.state = 'FAILEDTOBUILD' AND build.suspect IS NULL
      AND (SELECT attempt.builder FROM attempt
           WHERE attempt.build = build.id AND attempt.outcome IS NOT NULL
           ORDER BY attempt.ended DESC LIMIT 1) = %(builder)s
    FOR NO KEY UPDATE OF build
), excluded AS (
    UPDATE attempt SET excluded_until = now() + make_interval(secs => %(seconds)s::double precision)
    FROM failed
    WHERE attempt.build = failed.id AND attempt.builder = %(builder)s AND attempt.outcome IS NOT NULL
), queued AS (
    UPDATE build SET state = 'NEEDSBUILD', suspect = %(builder)s, why = %(why)s
    FROM failed
    WHERE build.id = failed.id
    RETURNING build.id
)
INSERT INTO buildqueue (build) SELECT id FROM queued ORDER BY id
ON CONFLICT (build) DO NOTHING
RETURNING build;

-- tried_elsewhere --
-- A cross-check ended.  Says how many of the builder's builds are still to be tried.
WITH tried AS (
    UPDATE build SET suspect = NULL WHERE id = %(build)s AND suspect = %(builder)s
)
SELECT count(*) FROM build
WHERE suspect = %(builder)s AND id <> %(build)s AND state IN ('NEEDSBUILD', 'BUILDING', 'GATHERING');

-- builder_induced --
UPDATE attempt SET builder_induced = true
WHERE build = %(build)s AND builder = %(builder)s AND outcome = 'PACKAGEFAIL';

-- hold_back --
-- The chroot that an attempt was built in, wherever it is still registered.
UPDATE chroot SET held_back = %(why)s
FROM attempt
WHERE attempt.id = %(attempt)s AND chroot.alias = attempt.chroot AND chroot.held_back = '';
