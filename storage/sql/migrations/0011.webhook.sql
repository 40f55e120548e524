-- How far the event log has been told to the webhook (dispatch-rules §6); see storage/events/webhook.py.

CREATE TABLE webhook (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    cursor bigint NOT NULL CHECK (cursor >= 0),
    told bigint[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE webhook IS 'At most one row; none: nobody was ever to be told.  No events: it would follow its own tail.';
COMMENT ON COLUMN webhook.cursor IS 'Event: of all up to this one people were told what was worth it.';
COMMENT ON COLUMN webhook.told IS 'Events after it of which they were told as well: the log is numbered before it is committed.';
