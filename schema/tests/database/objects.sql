-- Everything the migrations make, a line each. Without the day partitions: those depend on the day.

WITH made AS (
    SELECT oid, relname, reloptions FROM pg_class
    WHERE relnamespace = 'taskrow'::regnamespace AND relname !~ '_[0-9]{8}(_|$)'
)
SELECT 'column ' || table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
       || ' ' || coalesce(column_default, '')
FROM information_schema.columns
WHERE table_schema = 'public' OR table_schema = 'taskrow' AND table_name IN (SELECT relname FROM made)
UNION ALL
SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid IN (SELECT oid FROM made)
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE conrelid IN (SELECT oid FROM made)
UNION ALL
SELECT 'view ' || pg_get_viewdef('public.tasks'::regclass)
UNION ALL
SELECT 'function ' || proname || ' ' || md5(pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'taskrow'::regnamespace
UNION ALL
SELECT 'options ' || relname || ' ' || reloptions::text FROM made WHERE reloptions IS NOT NULL
UNION ALL
SELECT 'comment ' || relname || ' ' || objsubid || ' ' || description
FROM pg_description JOIN made ON objoid = made.oid AND classoid = 'pg_class'::regclass
