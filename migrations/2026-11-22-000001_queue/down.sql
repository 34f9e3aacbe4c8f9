DROP VIEW public.tasks;
DROP SCHEMA taskrow CASCADE;
