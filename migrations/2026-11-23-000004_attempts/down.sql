ALTER TABLE taskrow.queues DROP COLUMN kinds;
DROP TABLE taskrow.worker_names;
ALTER TABLE taskrow.failures DROP COLUMN crashes, DROP COLUMN claimed_at;
COMMENT ON TABLE taskrow.failures IS 'A row per attempt that failed and was not the last one. Insert-only.';
ALTER TABLE taskrow.outcomes DROP COLUMN claimed_at;
