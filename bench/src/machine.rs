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

/// Processor time a process has used, in seconds, its ended children included. Linux only; elsewhere zero.
pub(crate) fn cpu_s(process: u32) -> f64 {
    stat(process).map_or(0.0, |stat| stat.cpu_s)
}

/// The same of a process and those it has started that run.
pub(crate) fn family_cpu_s(parent: u32) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = ids.filter_map(stat).filter(|stat| stat.parent == parent).map(|stat| stat.cpu_s);
    cpu_s(parent) + children.sum::<f64>()
}

struct Stat {
    parent: u32,
    cpu_s: f64,
}

/// See proc_pid_stat(5). Ticks are 1/100 s on every Linux that matters.
fn stat(process: u32) -> Option<Stat> {
    let text = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu_s: ticks as f64 / 100.0 })
}

/// The value below which a share of the sorted values lies.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
