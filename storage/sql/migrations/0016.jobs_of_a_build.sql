-- A job that is gone and was never given to a builder stands in no row any more: the event that made it says whose it was.
CREATE INDEX event_job_of_build ON event ((after ->> 'build'))
WHERE what = 'insert' AND starts_with(subject, 'job:');
