//! Reads evidence from files, a JSON object a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::facts::Facts;

/// Longest line, in bytes: an answer with tens of thousands of ids is far below.
const LINE_LIMIT: u64 = 64 * 1024 * 1024;

/// Why evidence cannot be read. Then there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or the directory.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{number} is no evidence", path.display())]
    Line {
        /// In which file.
        path: PathBuf,
        /// Which line, from 1.
        number: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// Nobody wrote a history here.
    #[error("{} has no *.history.jsonl", path.display())]
    Nothing {
        /// The directory.
        path: PathBuf,
    },
}

/// What a file may end with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Its process may have been killed in the middle of a line.
    MayBeTorn,
    /// It was written to its end.
    Whole,
}

/// Reads a directory; returns how many files end in a torn line.
pub(super) fn read(directory: &Path, facts: &mut Facts) -> Result<u64, Error> {
    let mut torn = 0;
    for path in histories(directory)? {
        torn += u64::from(each(&path, Tail::MayBeTorn, |line| facts.line(line))?);
    }
    each(&directory.join("audit.jsonl"), Tail::Whole, |row| facts.row(row))?;
    each(&directory.join("tasks.jsonl"), Tail::Whole, |task| facts.task(task))?;
    each(&directory.join("keys.jsonl"), Tail::Whole, |key| facts.key(key))?;
    Ok(torn)
}

/// In the order of their names, so that a verdict is the same each time.
fn histories(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in directory.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".history.jsonl")) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() { Err(Error::Nothing { path: directory.to_owned() }) } else { Ok(paths) }
}

/// Whether the last line is torn.
fn each<T: DeserializeOwned>(path: &Path, tail: Tail, mut take: impl FnMut(T)) -> Result<bool, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if file.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(item) => take(item),
            Err(_) if tail == Tail::MayBeTorn && is_cut(&line) => return Ok(true),
            Err(source) => return Err(Error::Line { path: path.to_owned(), number, source }),
        }
    }
    Ok(false)
}

/// Whether the file ends in the middle of it.
fn is_cut(line: &[u8]) -> bool {
    line.last() != Some(&b'\n') && (line.len() as u64) < LINE_LIMIT
}
