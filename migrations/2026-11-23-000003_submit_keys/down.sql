COMMENT ON TABLE taskrow.records IS 'A row per task, written once when it is submitted and never changed.';
DROP TABLE taskrow.keyed_tasks;
DROP TABLE taskrow.unique_keys;
DROP TABLE taskrow.idempotency_keys;
