-- The history of a task's attempts, and queues that are strict about kinds. Only nullable columns and a new table: release 0.9.0
-- goes on as before, and what it writes leaves the new columns null.
--
-- outcomes has eight columns now. A ninth would make the null bitmap, and so every row, longer by eight bytes.

ALTER TABLE taskrow.outcomes ADD COLUMN claimed_at timestamptz;
COMMENT ON COLUMN taskrow.outcomes.claimed_at IS 'When the attempt that ended the task was claimed. Null: no worker held it, or it was done within a second of its claim, or release 0.9.0 wrote the row.';

ALTER TABLE taskrow.failures ADD COLUMN claimed_at timestamptz, ADD COLUMN crashes smallint;
COMMENT ON TABLE taskrow.failures IS 'A row per attempt that failed and was not the last one, or that ended by its worker''s death, or whose outcome a retry by hand removed. Insert-only.';
COMMENT ON COLUMN taskrow.failures.claimed_at IS 'When the attempt was claimed. Null: release 0.9.0 wrote the row.';
COMMENT ON COLUMN taskrow.failures.crashes IS 'The attempt ended by its worker''s death: how many workers had died holding the task, this one included. Null: the handler failed.';

-- No foreign key leads here and none from here: a worker leaves its list, its name stays.
CREATE TABLE taskrow.worker_names (
    id          bigint      PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    gone_at     timestamptz,
    name        text        NOT NULL,
    version     text        NOT NULL
);
COMMENT ON TABLE taskrow.worker_names IS 'Names and releases of workers, those that are gone included, for as long as an attempt of theirs may be kept.';
COMMENT ON COLUMN taskrow.worker_names.id IS 'taskrow.workers.id.';
COMMENT ON COLUMN taskrow.worker_names.gone_at IS 'When cleaning up first missed it in the list of workers: all its attempts ended before.';
COMMENT ON CONSTRAINT worker_names_pkey ON taskrow.worker_names IS 'An identity is given once.';
COMMENT ON INDEX taskrow.worker_names_pkey IS 'Who made this attempt.';
INSERT INTO taskrow.worker_names (id, started_at, name, version) SELECT id, started_at, name, version FROM taskrow.workers;

ALTER TABLE taskrow.queues ADD COLUMN kinds text[]
    CONSTRAINT queues_kinds CHECK (cardinality(kinds) > 0 AND array_position(kinds, NULL) IS NULL);
COMMENT ON COLUMN taskrow.queues.kinds IS 'The only kinds that submits to this queue may name, besides taskrow''s own; null: any.';
COMMENT ON CONSTRAINT queues_kinds ON taskrow.queues IS 'A queue that takes nothing would be a trap; pause it instead.';
