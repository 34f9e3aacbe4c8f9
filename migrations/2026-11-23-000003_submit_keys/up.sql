-- Submitting once: keys that clients send with their tasks. Tables of their own, which only submits with a key write: others pay nothing.

CREATE TABLE taskrow.idempotency_keys (
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    request      uuid        NOT NULL,
    scope        text        NOT NULL CONSTRAINT idempotency_keys_scope CHECK (scope <> ''),
    key          text        NOT NULL CONSTRAINT idempotency_keys_key CHECK (key <> ''),
    fingerprint  bytea       NOT NULL CONSTRAINT idempotency_keys_fingerprint CHECK (octet_length(fingerprint) = 32),
    task_ids     uuid[]      NOT NULL CONSTRAINT idempotency_keys_task_ids CHECK (cardinality(task_ids) > 0),
    PRIMARY KEY (scope, key)
);
COMMENT ON TABLE taskrow.idempotency_keys IS 'A row per submitting request that came with an Idempotency-Key, written in the transaction that stores its tasks: what a repeated one is answered.';
COMMENT ON COLUMN taskrow.idempotency_keys.expires_at IS 'From then on the row counts as absent; cleanup removes it.';
COMMENT ON COLUMN taskrow.idempotency_keys.request IS 'Made anew for each request: how one whose answer was lost knows its own row.';
COMMENT ON COLUMN taskrow.idempotency_keys.scope IS 'Whose key it is: clients of different scopes may use the same key. All share "global" so far.';
COMMENT ON COLUMN taskrow.idempotency_keys.key IS 'As the client sent it, without quotes.';
COMMENT ON COLUMN taskrow.idempotency_keys.fingerprint IS 'SHA-256 of payloads and options: the same key with another one is refused.';
COMMENT ON COLUMN taskrow.idempotency_keys.task_ids IS 'The tasks answered, in the order sent. Some may be older than the request: those that a unique key led to.';
COMMENT ON CONSTRAINT idempotency_keys_scope ON taskrow.idempotency_keys IS 'Every key is somebody''s.';
COMMENT ON CONSTRAINT idempotency_keys_key ON taskrow.idempotency_keys IS 'An empty key names nothing.';
COMMENT ON CONSTRAINT idempotency_keys_fingerprint ON taskrow.idempotency_keys IS 'A whole SHA-256.';
COMMENT ON CONSTRAINT idempotency_keys_task_ids ON taskrow.idempotency_keys IS 'A request submits at least one task.';
COMMENT ON CONSTRAINT idempotency_keys_pkey ON taskrow.idempotency_keys IS 'Of several requests with one key, one stores its tasks; the others wait for it here.';
COMMENT ON INDEX taskrow.idempotency_keys_pkey IS 'Submit with an Idempotency-Key.';
CREATE INDEX idempotency_keys_expires_at ON taskrow.idempotency_keys (expires_at);
COMMENT ON INDEX taskrow.idempotency_keys_expires_at IS 'Cleanup.';

CREATE TABLE taskrow.unique_keys (
    task_id  uuid  NOT NULL,
    queue    text  NOT NULL,
    kind     text  NOT NULL,
    key      text  NOT NULL CONSTRAINT unique_keys_key CHECK (key <> ''),
    PRIMARY KEY (queue, kind, key)
) WITH (fillfactor = 80);
COMMENT ON TABLE taskrow.unique_keys IS 'Who holds a unique key: the last task that was given it. Once that task has ended the key is free; nothing is written here for that, the next submit looks. Whoever gives a key to a task holds its row locked.';
COMMENT ON COLUMN taskrow.unique_keys.task_id IS 'The holder; open, ended, or removed by retention.';
COMMENT ON COLUMN taskrow.unique_keys.key IS 'As the client sent it: unique within queue and kind.';
COMMENT ON CONSTRAINT unique_keys_key ON taskrow.unique_keys IS 'An empty key names nothing.';
COMMENT ON CONSTRAINT unique_keys_pkey ON taskrow.unique_keys IS 'A key has one holder.';
COMMENT ON INDEX taskrow.unique_keys_pkey IS 'Submit with a unique key; retry by hand of such a task; cleanup.';

CREATE TABLE taskrow.keyed_tasks (
    task_id  uuid  PRIMARY KEY,
    key      text  NOT NULL CONSTRAINT keyed_tasks_key CHECK (key <> '')
);
COMMENT ON TABLE taskrow.keyed_tasks IS 'The unique key a task was submitted with, as long as it may be queued again by hand: then it needs its key back.';
COMMENT ON COLUMN taskrow.keyed_tasks.key IS 'See taskrow.unique_keys; queue and kind are those of the task.';
COMMENT ON CONSTRAINT keyed_tasks_key ON taskrow.keyed_tasks IS 'An empty key names nothing.';
COMMENT ON CONSTRAINT keyed_tasks_pkey ON taskrow.keyed_tasks IS 'A task is given one key.';
COMMENT ON INDEX taskrow.keyed_tasks_pkey IS 'Retry by hand; cleanup.';

COMMENT ON TABLE taskrow.records IS 'A row per task, written once when it is submitted. Only the payload of a waiting task may change, when a submit with its unique key replaces it.';
