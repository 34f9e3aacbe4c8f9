-- A vacuum that finds empty pages at the end of a table cuts them off, under a lock that makes every claim wait. The hot tables
-- shrink and grow all the time and need those pages again at once: they keep them.

ALTER TABLE taskrow.ready SET (vacuum_truncate = off);
ALTER TABLE taskrow.leases SET (vacuum_truncate = off);
ALTER TABLE taskrow.scheduled SET (vacuum_truncate = off);
