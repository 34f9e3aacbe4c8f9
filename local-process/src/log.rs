//! The file that a server writes its messages to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How much of the end is worth showing.
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 20;

/// A log that grows from run to run. Only its owner can read it.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// The log in that file, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file twice, to append to, for a program's two outputs.
    pub fn open(&self) -> io::Result<(File, File)> {
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        Ok((log.try_clone()?, log))
    }

    /// How long the log is now, in bytes, to later tell what is new in it.
    pub fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// The last lines, none from before byte `since`. Empty when there is no log.
    pub fn tail(&self, since: u64) -> String {
        let start = since.max(self.length().saturating_sub(TAIL_BYTES));
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut log| {
            log.seek(SeekFrom::Start(start))?;
            log.read_to_end(&mut bytes)
        });
        if read.is_err() {
            return String::new();
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Log;

    #[test]
    fn tail_starts_where_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path().join("log"));
        assert_eq!((log.length(), log.tail(0).as_str()), (0, ""));
        fs::write(log.path(), "one\ntwo\n").unwrap();
        assert_eq!(log.tail(0), "one\ntwo");
        assert_eq!(log.tail(4), "two");
        let many: String = (0..50).map(|line| format!("{line}\n")).collect();
        fs::write(log.path(), many).unwrap();
        assert!(log.tail(0).starts_with("30\n"));
    }
}
