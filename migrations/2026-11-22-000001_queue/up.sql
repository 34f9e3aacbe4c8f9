-- The queue. Two kinds of tables:
--   what a task is and how it ended: records, outcomes, failures. Insert-only, a row per task, in day partitions by id.
--   where a task stands: ready, leases, scheduled. Small and hot, a row per *batch* of up to 64 tasks, a bit per open task.
-- ARCHITECTURE.md explains why; README.md beside this folder says how the schema is changed.

CREATE SCHEMA taskrow;
COMMENT ON SCHEMA taskrow IS 'Taskrow: task queue. The public view public.tasks shows what is in here.';

-- Ids ---------------------------------------------------------------------------------------------------------------------------
-- A task id is a UUIDv7. The tasks of one batch share all of it but the low 6 bits, and those are the task's place in the batch.

CREATE FUNCTION taskrow.task_bit(id uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN 1::bigint << (get_byte(uuid_send(id), 15) & 63);
COMMENT ON FUNCTION taskrow.task_bit IS 'The bit of a task in the mask of its batch.';

CREATE FUNCTION taskrow.task_batch(id uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(set_byte(uuid_send(id), 15, get_byte(uuid_send(id), 15) & 192), 'hex')::uuid;
COMMENT ON FUNCTION taskrow.task_batch IS 'The batch of a task: its id with the low 6 bits cleared, which is also the id of the batch''s first task.';

CREATE FUNCTION taskrow.batch_task(batch uuid, place integer) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(set_byte(uuid_send(batch), 15, get_byte(uuid_send(batch), 15) & 192 | place), 'hex')::uuid;
COMMENT ON FUNCTION taskrow.batch_task IS 'The id of the task at a place (0..63) of a batch.';

CREATE FUNCTION taskrow.mask_size(mask bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN bit_count(mask::bit(64))::integer;
COMMENT ON FUNCTION taskrow.mask_size IS 'How many tasks a mask holds.';

-- Not STRICT: that would keep it from being inlined.
CREATE FUNCTION taskrow.mask_places(mask bigint) RETURNS SETOF integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 64
    BEGIN ATOMIC
        SELECT place FROM generate_series(0, 63) AS place WHERE mask >> place & 1 = 1;
    END;
COMMENT ON FUNCTION taskrow.mask_places IS 'The places (0..63) of the tasks in a mask.';

CREATE FUNCTION taskrow.mask_lowest(mask bigint, tasks bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT coalesce(bit_or(1::bigint << place), 0)
            FROM (SELECT place FROM taskrow.mask_places(mask) AS place ORDER BY place LIMIT greatest(tasks, 0)) AS lowest);
COMMENT ON FUNCTION taskrow.mask_lowest IS 'The first so many tasks of a mask: how a claim splits a batch.';

-- Sequences ---------------------------------------------------------------------------------------------------------------------

CREATE SEQUENCE taskrow.ready_seq;
COMMENT ON SEQUENCE taskrow.ready_seq IS 'Position in a lane: first in, first out.';
CREATE SEQUENCE taskrow.lease_ids;
COMMENT ON SEQUENCE taskrow.lease_ids IS 'Names a lease. Claims commit asynchronously, so after a crash of Postgres a value may come twice: every fence checks worker and batch too.';
CREATE SEQUENCE taskrow.worker_ids;
COMMENT ON SEQUENCE taskrow.worker_ids IS 'Identity of a worker process: new at every start, never reused.';

-- What a task is, and how it ended ----------------------------------------------------------------------------------------------

CREATE TABLE taskrow.records (
    id            uuid        PRIMARY KEY,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    timeout_ms    integer     NOT NULL CONSTRAINT records_timeout CHECK (timeout_ms > 0),
    priority      smallint    NOT NULL CONSTRAINT records_priority CHECK (priority BETWEEN -100 AND 100),
    max_attempts  smallint    NOT NULL CONSTRAINT records_max_attempts CHECK (max_attempts > 0),
    queue         text        NOT NULL CONSTRAINT records_queue CHECK (queue <> ''),
    kind          text        NOT NULL CONSTRAINT records_kind CHECK (kind <> ''),
    payload       json        NOT NULL
) PARTITION BY RANGE (id);
COMMENT ON TABLE taskrow.records IS 'A row per task, written once when it is submitted and never changed.';
COMMENT ON COLUMN taskrow.records.id IS 'UUIDv7 made by the submitter; see taskrow.task_batch.';
COMMENT ON COLUMN taskrow.records.timeout_ms IS 'Longest run of one attempt, in milliseconds.';
COMMENT ON COLUMN taskrow.records.priority IS 'Higher runs first; ready.rank is its negative.';
COMMENT ON COLUMN taskrow.records.max_attempts IS 'How many claims the task may burn before it ends as failed.';
COMMENT ON COLUMN taskrow.records.kind IS 'Names the handler that runs it.';
COMMENT ON COLUMN taskrow.records.payload IS 'As sent, byte for byte: json, not jsonb. Submit refuses what jsonb could not hold, so the view''s cast never fails.';
COMMENT ON CONSTRAINT records_timeout ON taskrow.records IS 'A task without a time limit could hold its worker for ever.';
COMMENT ON CONSTRAINT records_priority ON taskrow.records IS 'The documented range.';
COMMENT ON CONSTRAINT records_max_attempts ON taskrow.records IS 'Every task may run at least once.';
COMMENT ON CONSTRAINT records_queue ON taskrow.records IS 'Every task is in a queue.';
COMMENT ON CONSTRAINT records_kind ON taskrow.records IS 'Every task has a kind.';
COMMENT ON INDEX taskrow.records_pkey IS 'Read one task; read the payloads of a claimed batch as one range; list tasks, newest first.';

CREATE TABLE taskrow.outcomes (
    task_id      uuid        PRIMARY KEY,
    finished_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    worker       bigint,
    attempt      smallint    NOT NULL CONSTRAINT outcomes_attempt CHECK (attempt >= 0),
    status       smallint    NOT NULL CONSTRAINT outcomes_status CHECK (status BETWEEN 1 AND 3),
    result       json,
    error        text,
    CONSTRAINT outcomes_state CHECK (CASE status
        WHEN 1 THEN error IS NULL AND worker IS NOT NULL AND attempt > 0
        WHEN 2 THEN error IS NOT NULL AND result IS NULL
        ELSE result IS NULL END)
) PARTITION BY RANGE (task_id);
COMMENT ON TABLE taskrow.outcomes IS 'How a task ended: at most one row per task, written once. Only a retry by hand (and retention) removes one.';
COMMENT ON COLUMN taskrow.outcomes.worker IS 'The worker that held the lease; null when the task was cancelled while it waited.';
COMMENT ON COLUMN taskrow.outcomes.attempt IS 'Claims burnt, this one included.';
COMMENT ON COLUMN taskrow.outcomes.status IS '1 done, 2 failed, 3 cancelled.';
COMMENT ON COLUMN taskrow.outcomes.result IS 'What the handler returned; only of a done task.';
COMMENT ON COLUMN taskrow.outcomes.error IS 'Why it failed, or why it was cancelled.';
COMMENT ON CONSTRAINT outcomes_attempt ON taskrow.outcomes IS 'A task cancelled before its first claim has burnt none.';
COMMENT ON CONSTRAINT outcomes_status ON taskrow.outcomes IS 'The three final states.';
COMMENT ON CONSTRAINT outcomes_state ON taskrow.outcomes IS 'Done: no error, and a worker that claimed it. Failed: a reason and no result. Cancelled: no result.';
COMMENT ON INDEX taskrow.outcomes_pkey IS 'Exactly one recorded outcome per task; read one task.';
CREATE INDEX outcomes_not_done ON taskrow.outcomes (task_id) WHERE status IN (2, 3);
COMMENT ON INDEX taskrow.outcomes_not_done IS 'List failed or cancelled tasks without reading past the done ones.';

CREATE TABLE taskrow.failures (
    task_id    uuid        NOT NULL,
    failed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    worker     bigint      NOT NULL,
    attempt    smallint    NOT NULL CONSTRAINT failures_attempt CHECK (attempt > 0),
    error      text        NOT NULL,
    PRIMARY KEY (task_id, failed_at)
) PARTITION BY RANGE (task_id);
COMMENT ON TABLE taskrow.failures IS 'A row per attempt that failed and was not the last one. Insert-only.';
COMMENT ON COLUMN taskrow.failures.attempt IS 'Which attempt; counts anew after a retry by hand.';
COMMENT ON CONSTRAINT failures_attempt ON taskrow.failures IS 'Only a claimed task can fail.';
COMMENT ON INDEX taskrow.failures_pkey IS 'The failed attempts of one task, in order.';

CREATE TABLE taskrow.records_default PARTITION OF taskrow.records DEFAULT;
CREATE TABLE taskrow.outcomes_default PARTITION OF taskrow.outcomes DEFAULT;
CREATE TABLE taskrow.failures_default PARTITION OF taskrow.failures DEFAULT;
COMMENT ON TABLE taskrow.records_default IS 'Catches tasks of days for which nobody made a partition ahead.';
COMMENT ON TABLE taskrow.outcomes_default IS 'Catches outcomes of days for which nobody made a partition ahead.';
COMMENT ON TABLE taskrow.failures_default IS 'Catches failures of days for which nobody made a partition ahead.';

-- Where a task stands -----------------------------------------------------------------------------------------------------------
-- Each open task is one bit in exactly one row of these three tables; every statement that moves it does so in one transaction.

CREATE TABLE taskrow.ready (
    seq           bigint      NOT NULL DEFAULT nextval('taskrow.ready_seq'),
    ready_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    mask          bigint      NOT NULL CONSTRAINT ready_mask CHECK (mask <> 0),
    timeout_ms    integer     NOT NULL,
    rank          smallint    NOT NULL,
    attempt       smallint    NOT NULL DEFAULT 0 CONSTRAINT ready_attempt CHECK (attempt >= 0 AND attempt < max_attempts),
    max_attempts  smallint    NOT NULL,
    crashes       smallint    NOT NULL DEFAULT 0,
    batch         uuid        NOT NULL,
    queue         text        NOT NULL,
    kind          text        NOT NULL,
    PRIMARY KEY (queue, kind, rank, seq, attempt)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000);
COMMENT ON TABLE taskrow.ready IS 'Tasks that can be claimed: a row per batch. A claim deletes the row.';
COMMENT ON COLUMN taskrow.ready.seq IS 'Place in the lane. Tasks given back keep theirs.';
COMMENT ON COLUMN taskrow.ready.ready_at IS 'Since when the tasks wait.';
COMMENT ON COLUMN taskrow.ready.mask IS 'A bit per task, see taskrow.task_bit.';
COMMENT ON COLUMN taskrow.ready.rank IS 'The negative of the priority, so that both key columns ascend.';
COMMENT ON COLUMN taskrow.ready.attempt IS 'Claims burnt so far.';
COMMENT ON COLUMN taskrow.ready.crashes IS 'How many workers died holding these tasks.';
COMMENT ON COLUMN taskrow.ready.batch IS 'See taskrow.task_batch.';
COMMENT ON CONSTRAINT ready_mask ON taskrow.ready IS 'A row without tasks would be claimed for nothing.';
COMMENT ON CONSTRAINT ready_attempt ON taskrow.ready IS 'What has no attempt left has failed and is not ready.';
COMMENT ON INDEX taskrow.ready_pkey IS 'The claim: a lane is (queue, kind), scanned by rank and seq. Parts of a split batch that come back meet here and merge.';
CREATE INDEX ready_batch ON taskrow.ready (batch);
COMMENT ON INDEX taskrow.ready_batch IS 'Where does this task stand; list queued tasks; cancel.';

CREATE TABLE taskrow.leases (
    id            bigint      PRIMARY KEY DEFAULT nextval('taskrow.lease_ids'),
    worker        bigint      NOT NULL,
    seq           bigint      NOT NULL,
    claimed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    mask          bigint      NOT NULL CONSTRAINT leases_mask CHECK (mask <> 0),
    cancelled     bigint      NOT NULL DEFAULT 0 CONSTRAINT leases_cancelled CHECK (cancelled & ~mask = 0),
    timeout_ms    integer     NOT NULL,
    rank          smallint    NOT NULL,
    attempt       smallint    NOT NULL CONSTRAINT leases_attempt CHECK (attempt > 0 AND attempt <= max_attempts),
    max_attempts  smallint    NOT NULL,
    crashes       smallint    NOT NULL,
    batch         uuid        NOT NULL,
    queue         text        NOT NULL,
    kind          text        NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE taskrow.leases IS 'Tasks claimed by a worker that is alive. A lease is the right to write outcomes for its open bits, and nothing else is.';
COMMENT ON COLUMN taskrow.leases.worker IS 'taskrow.workers.id. No foreign key: the claim locks the worker''s row once, a key would do so for each lease.';
COMMENT ON COLUMN taskrow.leases.seq IS 'The place in the lane to go back to.';
COMMENT ON COLUMN taskrow.leases.mask IS 'A bit per task that is still open.';
COMMENT ON COLUMN taskrow.leases.cancelled IS 'Open tasks whose cancellation was asked for.';
COMMENT ON COLUMN taskrow.leases.attempt IS 'Claims burnt, this one included.';
COMMENT ON CONSTRAINT leases_mask ON taskrow.leases IS 'A lease without open tasks is over.';
COMMENT ON CONSTRAINT leases_cancelled ON taskrow.leases IS 'Only open tasks can be waiting for their cancellation.';
COMMENT ON CONSTRAINT leases_attempt ON taskrow.leases IS 'Attempts never exceed the limit.';
COMMENT ON INDEX taskrow.leases_pkey IS 'The fence of finish and requeue.';
CREATE INDEX leases_worker ON taskrow.leases (worker);
COMMENT ON INDEX taskrow.leases_worker IS 'Rescue; what a worker holds.';
CREATE INDEX leases_cancelled ON taskrow.leases (worker) WHERE cancelled <> 0;
COMMENT ON INDEX taskrow.leases_cancelled IS 'Cancellations of a worker at its heartbeat, which must stay fast while an old snapshot keeps every lease since in leases_worker.';
CREATE INDEX leases_batch ON taskrow.leases (batch);
COMMENT ON INDEX taskrow.leases_batch IS 'Where does this task stand; list processing tasks; cancel.';

CREATE TABLE taskrow.scheduled (
    run_at        timestamptz NOT NULL,
    seq           bigint      NOT NULL DEFAULT nextval('taskrow.ready_seq'),
    scheduled_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    mask          bigint      NOT NULL CONSTRAINT scheduled_mask CHECK (mask <> 0),
    timeout_ms    integer     NOT NULL,
    rank          smallint    NOT NULL,
    attempt       smallint    NOT NULL DEFAULT 0 CONSTRAINT scheduled_attempt CHECK (attempt >= 0 AND attempt < max_attempts),
    max_attempts  smallint    NOT NULL,
    crashes       smallint    NOT NULL DEFAULT 0,
    batch         uuid        NOT NULL,
    queue         text        NOT NULL,
    kind          text        NOT NULL,
    PRIMARY KEY (run_at, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE taskrow.scheduled IS 'Tasks that are not due yet, retries included. When due, any worker moves them to ready.';
COMMENT ON COLUMN taskrow.scheduled.scheduled_at IS 'Since when the tasks wait for their time.';
COMMENT ON COLUMN taskrow.scheduled.mask IS 'A bit per task.';
COMMENT ON COLUMN taskrow.scheduled.attempt IS 'Claims burnt so far.';
COMMENT ON CONSTRAINT scheduled_mask ON taskrow.scheduled IS 'A row without tasks would be promoted for nothing.';
COMMENT ON CONSTRAINT scheduled_attempt ON taskrow.scheduled IS 'What has no attempt left has failed and is not scheduled.';
COMMENT ON INDEX taskrow.scheduled_pkey IS 'What is due, and when the next is.';
CREATE INDEX scheduled_batch ON taskrow.scheduled (batch);
COMMENT ON INDEX taskrow.scheduled_batch IS 'Where does this task stand; list scheduled tasks; cancel.';

-- Workers and queues ------------------------------------------------------------------------------------------------------------

CREATE TABLE taskrow.workers (
    id            bigint      PRIMARY KEY DEFAULT nextval('taskrow.worker_ids'),
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    dead_at       timestamptz,
    lease_ttl_ms  integer     NOT NULL CONSTRAINT workers_lease_ttl CHECK (lease_ttl_ms > 0),
    concurrency   integer     NOT NULL,
    name          text        NOT NULL,
    version       text        NOT NULL,
    queues        text[]      NOT NULL,
    kinds         text[]      NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE taskrow.workers IS 'A row per worker process; one small update per heartbeat, never per task.';
COMMENT ON COLUMN taskrow.workers.dead_at IS 'When another worker found its heartbeat older than the TTL. From then on it can claim nothing and its leases are given back.';
COMMENT ON COLUMN taskrow.workers.lease_ttl_ms IS 'How old the heartbeat may get before the leases count as abandoned.';
COMMENT ON COLUMN taskrow.workers.name IS 'For people: the pod''s or host''s name. Not an identity: a restarted pod has the same one.';
COMMENT ON COLUMN taskrow.workers.kinds IS 'The kinds it has handlers for.';
COMMENT ON CONSTRAINT workers_lease_ttl ON taskrow.workers IS 'A lease must last.';
COMMENT ON INDEX taskrow.workers_pkey IS 'Heartbeat; the claim''s check that its worker is not dead.';

CREATE TABLE taskrow.queues (
    name       text        PRIMARY KEY,
    paused_at  timestamptz
);
COMMENT ON TABLE taskrow.queues IS 'Settings of queues. A queue without a row is not paused; tasks may be in queues that have no row.';
COMMENT ON COLUMN taskrow.queues.paused_at IS 'Since when nothing of this queue is claimed; null: running.';
COMMENT ON INDEX taskrow.queues_pkey IS 'The claim''s check for pauses.';

CREATE TABLE taskrow.progress (
    task_id     uuid        PRIMARY KEY,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempt     smallint    NOT NULL,
    value       json        NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE taskrow.progress IS 'What a running handler last reported; removed when the task leaves its worker. A hint, not part of the outcome.';
COMMENT ON COLUMN taskrow.progress.attempt IS 'The attempt that reported; an older one''s report is not shown.';
COMMENT ON INDEX taskrow.progress_pkey IS 'Read one task.';

COMMENT ON CONSTRAINT records_pkey ON taskrow.records IS 'One row per task.';
COMMENT ON CONSTRAINT outcomes_pkey ON taskrow.outcomes IS 'Exactly one recorded outcome per task.';
COMMENT ON CONSTRAINT failures_pkey ON taskrow.failures IS 'An attempt fails once.';
COMMENT ON CONSTRAINT ready_pkey ON taskrow.ready IS 'Parts of a split batch that come back to their place merge.';
COMMENT ON CONSTRAINT leases_pkey ON taskrow.leases IS 'A lease is named once.';
COMMENT ON CONSTRAINT scheduled_pkey ON taskrow.scheduled IS 'Orders what is due at the same time.';
COMMENT ON CONSTRAINT workers_pkey ON taskrow.workers IS 'An identity is given once.';
COMMENT ON CONSTRAINT queues_pkey ON taskrow.queues IS 'One row of settings per queue.';
COMMENT ON CONSTRAINT progress_pkey ON taskrow.progress IS 'The newest report only.';

-- For people with psql ----------------------------------------------------------------------------------------------------------

CREATE VIEW public.tasks AS
SELECT r.id,
       r.payload::jsonb AS payload,
       CASE WHEN o.status = 1 THEN 'done'
            WHEN o.status = 2 THEN 'failed'
            WHEN o.status = 3 THEN 'cancelled'
            WHEN l.batch IS NOT NULL THEN 'processing'
            WHEN q.batch IS NOT NULL THEN 'queued'
            WHEN s.batch IS NOT NULL THEN 'scheduled'
            ELSE 'missing' END AS status,
       o.result::jsonb AS result,
       r.created_at,
       greatest(coalesce(o.finished_at, l.claimed_at, q.ready_at, s.scheduled_at), r.created_at) AS updated_at,
       r.queue,
       r.kind,
       r.priority,
       coalesce(o.attempt, l.attempt, q.attempt, s.attempt, 0::smallint) AS attempt,
       r.max_attempts,
       s.run_at,
       o.error
FROM taskrow.records r
LEFT JOIN taskrow.outcomes o ON o.task_id = r.id
LEFT JOIN LATERAL (SELECT * FROM taskrow.leases x WHERE x.batch = taskrow.task_batch(r.id) AND x.mask & taskrow.task_bit(r.id) <> 0 LIMIT 1) l
       ON o.task_id IS NULL
LEFT JOIN LATERAL (SELECT * FROM taskrow.ready x WHERE x.batch = taskrow.task_batch(r.id) AND x.mask & taskrow.task_bit(r.id) <> 0 LIMIT 1) q
       ON o.task_id IS NULL
LEFT JOIN LATERAL (SELECT * FROM taskrow.scheduled x WHERE x.batch = taskrow.task_batch(r.id) AND x.mask & taskrow.task_bit(r.id) <> 0 LIMIT 1) s
       ON o.task_id IS NULL;
COMMENT ON VIEW public.tasks IS 'Every task with its state: select id, payload, status, result, created_at, updated_at from tasks where id = ''..''.';
COMMENT ON COLUMN public.tasks.status IS 'queued, scheduled, processing, done, failed or cancelled. (missing would be a bug: an accepted task stands somewhere.)';
COMMENT ON COLUMN public.tasks.updated_at IS 'When the task came into this state.';
