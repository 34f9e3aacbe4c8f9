-- What the checker reads, a JSON object a line. At the end of a run: some of its tables come with a migration in the middle of it.

CREATE FUNCTION chaos.micros(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT
    RETURN (extract(epoch FROM at) * 1000000)::bigint;

CREATE FUNCTION chaos.status(status smallint) RETURNS text LANGUAGE sql IMMUTABLE STRICT
    RETURN (ARRAY['done', 'failed', 'cancelled'])[status];

CREATE VIEW chaos.audit_lines AS
SELECT json_strip_nulls(json_build_object(
           'seq', seq, 'transaction', transaction, 'at', chaos.micros(at), 'change', change, 'worker', worker, 'lease', lease, 'batch', batch,
           'mask', mask, 'attempt', attempt, 'max_attempts', max_attempts, 'queue', queue, 'task', task, 'status', chaos.status(status),
           'execution', execution, 'run_at', chaos.micros(run_at))) AS line
FROM chaos.audit ORDER BY seq;

CREATE VIEW chaos.task_lines AS
WITH places AS (
    SELECT taskrow.batch_task(batch, place) AS id, count(*) AS places
    FROM (SELECT batch, mask FROM taskrow.ready UNION ALL SELECT batch, mask FROM taskrow.leases UNION ALL SELECT batch, mask FROM taskrow.scheduled) AS rows
    CROSS JOIN LATERAL taskrow.mask_places(mask) AS place GROUP BY 1)
SELECT json_strip_nulls(json_build_object(
           'id', r.id, 'name', CASE WHEN json_typeof(r.payload) = 'object' THEN (r.payload ->> 'name')::bigint END,
           'created_at', chaos.micros(r.created_at), 'max_attempts', r.max_attempts, 'places', coalesce(p.places, 0),
           'outcome', CASE WHEN o.task_id IS NOT NULL THEN json_build_object(
               'status', chaos.status(o.status), 'worker', o.worker, 'attempt', o.attempt, 'execution', chaos.execution(o.result)) END)) AS line
FROM taskrow.records r LEFT JOIN taskrow.outcomes o ON o.task_id = r.id LEFT JOIN places p ON p.id = r.id;

CREATE VIEW chaos.key_lines AS
SELECT json_build_object('key', key, 'tasks', task_ids) AS line FROM taskrow.idempotency_keys;
