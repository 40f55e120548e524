-- Old events may be forgotten, by who says so and by nobody else; a cause that is gone is no cause any more.

ALTER TABLE event DROP CONSTRAINT event_cause_fkey;

DROP TRIGGER append_only ON event;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON event
FOR EACH STATEMENT EXECUTE FUNCTION refuse('the event log is append-only');
CREATE TRIGGER append_only_but_for_old BEFORE DELETE ON event
FOR EACH STATEMENT WHEN (current_setting('farm.forgets', true) IS DISTINCT FROM 'yes')
EXECUTE FUNCTION refuse('the event log is append-only');
