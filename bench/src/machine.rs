//! Facts that figures depend on.

use std::{fs, path::Path, process::Child, thread};

use serde_json::{Value, json};

use crate::server::Bench;

/// Cores and Postgres.
pub(crate) fn facts(bench: &Bench) -> Value {
    json!({
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "postgres": bench.version(),
        "settings": "fsync=on, synchronous_commit=on for submit and finish, shared_buffers=512MB, max_wal_size=4GB",
    })
}

/// Resident memory of a process now, in MB of 10^6 bytes. Linux only; elsewhere zero.
pub(crate) fn rss_mb(process: &Child) -> f64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(process.id().to_string()).join("status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0 / 1e6
}

/// The value below which a share of the sorted values lies.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
