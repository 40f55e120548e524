-- Old events that tell nothing any more; see storage/events/retention.py.

-- allow --
SELECT set_config('farm.forgets', 'yes', true);

-- forget --
-- Looks at the next `limit` old events, and forgets those that nobody needs.  Returns the last one looked at; NULL: none.
WITH old AS MATERIALIZED (
    SELECT id, subject, split_part(subject, ':', 1) AS kind, what, after
    FROM event
    WHERE id > %(after)s AND at < now() - make_interval(secs => %(seconds)s)
    ORDER BY id
    LIMIT %(limit)s
), forgotten AS (
    DELETE FROM event
    USING old
    WHERE event.id = old.id
      AND CASE
          WHEN old.kind = 'attempt' THEN
              NOT EXISTS (SELECT FROM attempt WHERE 'attempt:' || id = old.subject AND outcome IS NULL)
          WHEN old.kind NOT IN ('build', 'job', 'builder', 'chroot', 'farm') THEN true
          -- What is there is told by the last event of each of its columns; what is gone, by that.
          WHEN old.what = 'delete' THEN
              NOT EXISTS (SELECT FROM event AS first WHERE first.subject = old.subject AND first.id < old.id)
          WHEN EXISTS (SELECT FROM event AS gone
                       WHERE gone.subject = old.subject AND gone.id > old.id AND gone.what = 'delete'
                         AND gone.at < now() - make_interval(secs => %(seconds)s)) THEN true
          ELSE NOT EXISTS (  -- never of an insert: some columns stay as they are
              SELECT FROM jsonb_object_keys(old.after) AS changed (name)
              WHERE changed.name NOT IN ('started', 'ended')  -- they come with the state, which the row has with its time
                AND NOT EXISTS (SELECT FROM event AS later
                                WHERE later.subject = old.subject AND later.id > old.id AND later.after ? changed.name))
      END
)
SELECT max(id) FROM old;
