//! A child process that cannot outlive this one.
//!
//! A shell reads a pipe whose other end only this process holds: std opens it close-on-exec, so no other child inherits
//! it. However this process ends, the kernel closes its end, the shell reads end-of-file and ends what it was told to
//! watch. Nothing here depends on a handler that runs at exit, so SIGKILL is covered too.
//!
//! The watched process must not run before the shell knows of it. It therefore starts as a shell of its own that waits
//! for one line before it becomes the program; a process killed in between leaves that shell with end-of-file, and the
//! program never starts.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};

/// Waits for one line, then is the program. Without the line there is no program.
const GATE: &str = r#"read -r _ && exec "$@" </dev/null"#;

/// Each line is the process group to watch, an empty one that there is none.
const READ_GROUPS: &str = "while read -r line; do group=$line; done";

/// The end is asked for, not awaited: the data stays, and the server knows best how long it needs.
const END: &str = r#"
    [ -z "$group" ] || kill "-$1" "-$group""#;

/// The end is forced after 10 s; then the directory goes. Leftover server processes may still write for a moment.
const END_AND_REMOVE: &str = r#"
    tries=500
    [ -z "$group" ] || kill "-$1" "-$group"
    while [ -n "$group" ] && kill -0 "$group" && [ $tries -gt 0 ]; do sleep 0.02; tries=$((tries - 1)); done
    [ -z "$group" ] || ! kill -0 "$group" || kill -KILL "-$group"
    tries=100
    until rm -rf -- "$2" || [ $tries -eq 0 ]; do sleep 0.1; tries=$((tries - 1)); done"#;

/// What becomes of the watched process's directory.
#[derive(Debug)]
pub enum Afterwards {
    /// It stays.
    Keep,
    /// It is removed, also after an orderly end.
    Remove(PathBuf),
}

/// Runs one child at a time. Dropping it does, and awaits, what the end of this process would do.
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
    end: Signal,
    /// `None` once dropping.
    pipe: Option<ChildStdin>,
    child: Option<Child>,
}

impl Watchdog {
    /// Starts to watch. `end` is the signal that ends the watched process, and whatever that has started, in time.
    pub fn new(end: Signal, afterwards: &Afterwards) -> io::Result<Self> {
        let (script, dir) = match afterwards {
            Afterwards::Keep => (END, Path::new("")),
            Afterwards::Remove(dir) => (END_AND_REMOVE, dir.as_path()),
        };
        let mut shell = Command::new("/bin/sh")
            .args(["-c", &format!("{READ_GROUPS}{script}"), "taskrow-watchdog", &end.as_raw().to_string()])
            .arg(dir)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, end, pipe, child: None })
    }

    /// Starts `program` under watch; `configure` adds arguments, redirections of its outputs, and what else it needs. Its
    /// input is empty. The child before it must have ended.
    ///
    /// It is the leader of its own process group, so that Ctrl-C in a terminal reaches only the caller, who decides in
    /// which order things end.
    pub fn spawn(&mut self, program: &Path, configure: impl FnOnce(&mut Command) -> &mut Command) -> io::Result<()> {
        debug_assert!(self.child.is_none(), "one child at a time");
        let mut gate = Command::new("/bin/sh");
        gate.args(["-c", GATE, "sh"]).arg(program);
        let mut child = configure(&mut gate).process_group(0).stdin(Stdio::piped()).spawn()?;
        let line = child.stdin.take();
        let group = child.id();
        self.child = Some(child);
        self.tell(&group.to_string())?;
        line.map_or(Ok(()), |mut line| line.write_all(b"\n"))
    }

    /// The child's process id, until [`ended`](Self::ended) has seen it end. The program has the gate's id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How the child ended, once. `None` while it runs.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            // The id is free for another process from here on.
            self.child = None;
            self.tell("")?;
        }
        Ok(status)
    }

    /// Signals the child, not its group: what a postmaster does to its children is its own affair.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        // Not reaped yet, so the id is still this child's.
        rustix::process::kill_process(Pid::from_child(child), signal)?;
        Ok(())
    }

    fn tell(&mut self, group: &str) -> io::Result<()> {
        self.pipe.as_mut().map_or(Ok(()), |pipe| writeln!(pipe, "{group}"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pipe = None;
        if !matches!(self.shell.try_wait(), Ok(None)) {
            // Somebody ended the shell, so nobody else tells the child.
            let _ = self.signal(self.end);
        }
        // Reaping the child is how the shell sees that it is gone.
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        let _ = self.shell.wait();
    }
}
