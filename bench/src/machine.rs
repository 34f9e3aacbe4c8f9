//! Facts that figures depend on, and what processes use. Linux only; elsewhere what is read from `/proc` is zero or unknown.

use std::{fs, path::Path, process::Command, thread};

use serde_json::{Value, json};

/// The machine, for results.
pub(crate) fn facts() -> Value {
    let cpu = read("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory_kib = read("/proc/meminfo", "MemTotal").and_then(|text| first_number(&text)).unwrap_or_default();
    json!({
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "cpu": cpu,
        "memory_gb": (memory_kib * 1024.0 / 1e9).round(),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// The commit that the working directory is at, with a `+` if files differ from it.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".to_owned() };
    let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    commit + if is_changed { "+" } else { "" }
}

/// Resident memory of a process now, in MB of 10^6 bytes.
pub(crate) fn rss_mb(process: u32) -> f64 {
    let rss = read(&format!("/proc/{process}/status"), "VmRSS").and_then(|text| first_number(&text));
    rss.unwrap_or_default() * 1024.0 / 1e6
}

/// Processor time a process has used, in seconds, its ended children included.
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

/// What stands behind the first `name:` of a file.
fn read(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}
