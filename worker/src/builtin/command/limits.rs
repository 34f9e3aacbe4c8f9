//! What the kernel allows a program, process by process.
//!
//! There is none for the number of processes: the kernel counts those of a user, which on a node are other pods', too. A pod has
//! a limit of its own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// From SIGXCPU, which a program may handle, to SIGKILL, in seconds.
const CPU_GRACE: u64 = 2;

/// `None`: as the worker itself has it. Travels to the launcher as JSON.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Address space, in bytes.
    memory_bytes: Option<u64>,
    /// Processor time, in seconds.
    cpu_seconds: Option<u64>,
    /// File descriptors.
    open_files: Option<u64>,
    /// Largest file that is written, in bytes.
    file_bytes: Option<u64>,
}

impl Limits {
    /// Refuses what the kernel would refuse at each task.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, resource, wanted) in self.each() {
            let Some(wanted) = wanted else { continue };
            if wanted == 0 {
                return Err(format!("limits.{name}: must not be 0"));
            }
            if let Some(most) = getrlimit(resource).maximum.filter(|most| wanted > *most) {
                return Err(format!("limits.{name}: the worker itself is limited to {most}"));
            }
        }
        Ok(())
    }

    /// Limits this process, and what it starts from now on. No core files either: they hold payloads.
    pub(super) fn apply(&self) -> rustix::io::Result<()> {
        for (_, resource, wanted) in self.each() {
            let Some(wanted) = wanted else { continue };
            let grace = if resource == Resource::Cpu { CPU_GRACE } else { 0 };
            let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            let maximum = wanted.saturating_add(grace).min(most);
            setrlimit(resource, Rlimit { current: Some(wanted), maximum: Some(maximum) })?;
        }
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
    }

    fn each(&self) -> [(&'static str, Resource, Option<u64>); 4] {
        [
            ("memory_bytes", Resource::As, self.memory_bytes),
            ("cpu_seconds", Resource::Cpu, self.cpu_seconds),
            ("open_files", Resource::Nofile, self.open_files),
            ("file_bytes", Resource::Fsize, self.file_bytes),
        ]
    }
}
