ALTER TABLE taskrow.scheduled RESET (vacuum_truncate);
ALTER TABLE taskrow.leases RESET (vacuum_truncate);
ALTER TABLE taskrow.ready RESET (vacuum_truncate);
