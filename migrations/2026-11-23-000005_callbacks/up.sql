-- Whom to tell when a task has ended. A row only of tasks whose submitter wants that; it goes when the task that tells it is made.

CREATE TABLE taskrow.callbacks (
    task_id  uuid        PRIMARY KEY,
    due_at   timestamptz,
    url      text        NOT NULL CONSTRAINT callbacks_url CHECK (url <> '')
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE taskrow.callbacks IS 'URLs to be called when tasks have ended. The call is a task of its own, made in the transaction that deletes the row.';
COMMENT ON COLUMN taskrow.callbacks.task_id IS 'The task whose end is to be told.';
COMMENT ON COLUMN taskrow.callbacks.due_at IS 'Since when the task has its outcome, written by the statement that writes that; null: it has none yet. (Release 0.9.0 leaves it null; a sweep finds those.)';
COMMENT ON COLUMN taskrow.callbacks.url IS 'Where to, as the operator allowed it when the task was submitted.';
COMMENT ON CONSTRAINT callbacks_pkey ON taskrow.callbacks IS 'The end of a task is told to one URL.';
COMMENT ON CONSTRAINT callbacks_url ON taskrow.callbacks IS 'A row without a URL would be told to nobody.';
COMMENT ON INDEX taskrow.callbacks_pkey IS 'Which of the tasks that have just ended have one; the sweep, in order.';
CREATE INDEX callbacks_due ON taskrow.callbacks (due_at) WHERE due_at IS NOT NULL;
COMMENT ON INDEX taskrow.callbacks_due IS 'Which calls are to be made.';
