-- Day partitions for roles that own nothing. Making and dropping tables needs their owner; these two functions do it for whoever may call
-- them, and nothing else: their owner's rights, a fixed search path, and names made from a date. Whoever calls them bounds its waits before
-- (schema/src/partitions.rs). Release 0.9.0 makes and drops partitions by statements of its own, as the owner, under the same lock.

CREATE FUNCTION taskrow.first_id(day date) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN rpad(lpad(to_hex((extract(epoch FROM day::timestamp) * 1000)::bigint), 12, '0'), 32, '0')::uuid;
COMMENT ON FUNCTION taskrow.first_id IS 'The lowest id of a day, UTC: the bounds of its partitions are this and the next day''s.';

CREATE FUNCTION taskrow.make_day(day date) RETURNS boolean
    LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today constant date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    from_id constant uuid := taskrow.first_id(day);
    to_id constant uuid := taskrow.first_id(day + 1);
    suffix constant text := to_char(day, 'YYYYMMDD');
    parent text;
BEGIN
    -- Yesterday, for a caller whose look at the calendar is from before midnight.
    IF day NOT BETWEEN today - 1 AND today + 366 THEN
        RAISE EXCEPTION 'partitions are made for the next 366 days, not for %', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- "partn" as bytes: one maker at a time.
    PERFORM pg_advisory_xact_lock(482671228014);
    IF to_regclass('taskrow.records_' || suffix) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- All or none: a day that is partly in the default partition could be cleaned neither as a day nor task by task.
    IF EXISTS (SELECT FROM taskrow.records_default WHERE id >= from_id AND id < to_id)
       OR EXISTS (SELECT FROM taskrow.outcomes_default WHERE task_id >= from_id AND task_id < to_id)
       OR EXISTS (SELECT FROM taskrow.failures_default WHERE task_id >= from_id AND task_id < to_id) THEN
        RETURN false;
    END IF;
    FOREACH parent IN ARRAY ARRAY['records', 'outcomes', 'failures'] LOOP
        EXECUTE format('CREATE TABLE taskrow.%I (LIKE taskrow.%I INCLUDING ALL)', parent || '_' || suffix, parent);
        EXECUTE format('COMMENT ON TABLE taskrow.%I IS %L', parent || '_' || suffix, to_char(day, '"Tasks of "YYYY-MM-DD" (UTC, by id)."'));
    END LOOP;
    -- ATTACH locks less than CREATE .. PARTITION OF, and comes last: all it holds up others with is the default partitions.
    FOREACH parent IN ARRAY ARRAY['records', 'outcomes', 'failures'] LOOP
        EXECUTE format('ALTER TABLE taskrow.%I ATTACH PARTITION taskrow.%I FOR VALUES FROM (%L) TO (%L)',
                       parent, parent || '_' || suffix, from_id, to_id);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION taskrow.make_day IS 'Makes the partitions of a day, all or none; false: they are there, or the day has rows in a default partition and stays in it.';

CREATE FUNCTION taskrow.drop_day(day date) RETURNS boolean
    LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    from_id constant uuid := taskrow.first_id(day);
    to_id constant uuid := taskrow.first_id(day + 1);
    suffix constant text := to_char(day, 'YYYYMMDD');
BEGIN
    IF day >= (clock_timestamp() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'the day % is not over', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- From here on everybody waits: what follows goes by index, whatever the statistics say.
    LOCK TABLE taskrow.records, taskrow.outcomes, taskrow.failures IN ACCESS EXCLUSIVE MODE;
    -- After the locks: a retry by hand that was under way has committed, and its task is seen as open.
    IF EXISTS (SELECT FROM taskrow.ready WHERE batch >= from_id AND batch < to_id)
       OR EXISTS (SELECT FROM taskrow.leases WHERE batch >= from_id AND batch < to_id)
       OR EXISTS (SELECT FROM taskrow.scheduled WHERE batch >= from_id AND batch < to_id) THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS taskrow.%I, taskrow.%I, taskrow.%I',
                   'records_' || suffix, 'outcomes_' || suffix, 'failures_' || suffix);
    RETURN true;
END
$$;
COMMENT ON FUNCTION taskrow.drop_day IS 'Drops the partitions of a day that is over; false, and nothing is dropped, while a task of it is open.';

-- Only the roles that `migrate` grants them to, see docs/operations.md.
REVOKE EXECUTE ON FUNCTION taskrow.make_day(date), taskrow.drop_day(date) FROM PUBLIC;
