ALTER TABLE taskrow.queues DROP COLUMN max_depth, DROP COLUMN max_age_ms;
