//! Appends lines to a history.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Mutex,
};

use crate::history::{Event, Line, now};

/// Writes a history file of its own. Clones are not needed: share it.
#[derive(Debug)]
pub struct Writer {
    file: Mutex<File>,
}

impl Writer {
    /// Makes `<name>.history.jsonl` in `dir`, or appends to it.
    pub fn create(dir: &Path, name: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(dir.join(format!("{name}.history.jsonl")))?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Writes what happens now. It is in the hands of the system when this returns, so that a kill does not lose it.
    ///
    /// # Panics
    /// When the disk is full: a history with gaps proves nothing.
    pub fn write(&self, event: Event) {
        self.write_at(Line { at: now(), event });
    }

    /// Writes what happened at a moment that was taken before.
    ///
    /// # Panics
    /// See [`write`](Self::write).
    pub fn write_at(&self, line: Line) {
        let mut text = serde_json::to_vec(&line).expect("a line is numbers and text");
        text.push(b'\n');
        self.file.lock().expect("no panic under the lock").write_all(&text).expect("the history can be written");
    }
}
