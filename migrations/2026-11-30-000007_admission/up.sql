-- Limits of what may wait in a queue. Only nullable columns: the release before goes on as before, and does not look at them.

ALTER TABLE taskrow.queues
    ADD COLUMN max_depth bigint CONSTRAINT queues_max_depth CHECK (max_depth > 0),
    ADD COLUMN max_age_ms bigint CONSTRAINT queues_max_age CHECK (max_age_ms > 0);
COMMENT ON COLUMN taskrow.queues.max_depth IS 'Submits are refused while so many tasks of this queue wait; null: however many.';
COMMENT ON COLUMN taskrow.queues.max_age_ms IS 'Submits are refused while a task of this queue has waited for longer; null: however long.';
COMMENT ON CONSTRAINT queues_max_depth ON taskrow.queues IS 'A queue that takes nothing would be a trap; pause it instead.';
COMMENT ON CONSTRAINT queues_max_age ON taskrow.queues IS 'As for max_depth.';
