-- Writes down every change of leases, outcomes, schedules, and of who is dead, in the transaction that makes it. Statement triggers, so that a
-- statement of many tasks costs one call; by the owner's right, so that the roles under test need none here.

CREATE SCHEMA chaos;

CREATE TABLE chaos.audit (
    seq           bigserial    PRIMARY KEY,
    transaction   bigint       NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    at            timestamptz  NOT NULL DEFAULT clock_timestamp(),
    change        text         NOT NULL,
    worker        bigint,
    lease         bigint,
    batch         uuid,
    mask          bigint,
    attempt       smallint,
    max_attempts  smallint,
    queue         text,
    task          uuid,
    status        smallint,
    execution     uuid,
    run_at        timestamptz
);

-- A claim's own reading of the clock: the later one of this trigger would forgive a start that is early by some microseconds.
CREATE FUNCTION chaos.leased() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.audit (change, at, worker, lease, batch, mask, attempt, max_attempts, queue)
    SELECT 'leased', claimed_at, worker, id, batch, mask, attempt, max_attempts, queue FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_leased AFTER INSERT ON taskrow.leases REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.leased();

CREATE FUNCTION chaos.lease_shrunk() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.audit (change, worker, lease, batch, mask) SELECT 'lease_shrunk', worker, id, batch, mask FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_lease_shrunk AFTER UPDATE ON taskrow.leases REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.lease_shrunk();

CREATE FUNCTION chaos.lease_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.audit (change, worker, lease, batch) SELECT 'lease_gone', worker, id, batch FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_lease_gone AFTER DELETE ON taskrow.leases REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.lease_gone();

CREATE FUNCTION chaos.execution(result json) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN json_typeof(result) = 'object' THEN (result ->> 'execution')::uuid END;

CREATE FUNCTION chaos.ended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.audit (change, task, status, worker, attempt, execution)
    SELECT 'outcome', task_id, status, worker, attempt, chaos.execution(result) FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_ended AFTER INSERT ON taskrow.outcomes REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.ended();

CREATE FUNCTION chaos.outcome_touched() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.audit (change, task) SELECT 'outcome_touched', task_id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_outcome_changed AFTER UPDATE ON taskrow.outcomes REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.outcome_touched();
CREATE TRIGGER chaos_outcome_removed AFTER DELETE ON taskrow.outcomes REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.outcome_touched();

CREATE FUNCTION chaos.scheduled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.audit (change, batch, mask, run_at) SELECT 'scheduled', batch, mask, run_at FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_scheduled AFTER INSERT ON taskrow.scheduled REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.scheduled();

CREATE FUNCTION chaos.found_dead() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.audit (change, worker)
    SELECT 'dead', now.id FROM after_it now JOIN before_it was USING (id) WHERE was.dead_at IS NULL AND now.dead_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_found_dead AFTER UPDATE ON taskrow.workers REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.found_dead();
