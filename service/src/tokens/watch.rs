//! Follows the file: looks at its content every few seconds. (No notifications: a Secret that Kubernetes mounts changes by a
//! symbolic link further up, and a network file system tells nobody.)

use std::{fs::File, io::Read, path::Path, sync::atomic::Ordering, time::Duration};

use tokio::{task::spawn_blocking, time};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{Tokens, list::List};
use crate::backoff::jittered;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// Longest file: a thousand tokens with room to spare.
const FILE_LIMIT: u64 = 1 << 20;

impl Tokens {
    /// Keeps the list as the file has it, until `stop`. A file that is bad or gone changes nothing: what held last still holds, the log
    /// says so once, and [`Tokens::is_stale`] until it is mended.
    pub async fn watch(self, stop: CancellationToken) {
        let Some(file) = self.shared.file.clone() else { return stop.cancelled().await };
        // None: not known to be what holds.
        let mut seen = None;
        while stop.run_until_cancelled(time::sleep(jittered(INTERVAL))).await.is_some() {
            let path = file.clone();
            let Ok(found) = spawn_blocking(move || read(&path)).await else { continue };
            if seen.as_ref() != Some(&found) {
                self.take(&file, &found);
                seen = Some(found);
            }
        }
    }

    fn take(&self, file: &Path, found: &Result<String, String>) {
        let parsed = match found {
            Ok(text) => parse(text),
            Err(reason) => Err(reason.clone()),
        };
        let (count_before, was_stale) = (self.count(), self.is_stale());
        self.shared.is_stale.store(parsed.is_err(), Ordering::Relaxed);
        match parsed {
            Ok(list) => {
                let is_same = list.is_same(&self.list());
                self.replace(list);
                if !is_same || was_stale {
                    info!(file = %file.display(), tokens = self.count(), before = count_before, "took over the list of API tokens");
                }
            }
            Err(reason) => {
                error!(file = %file.display(), reason, tokens = count_before, "cannot use the list of API tokens; those known before still hold");
            }
        }
    }
}

/// The text of a file; an error is its reason.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    opened.take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_LIMIT { Err(format!("is larger than {FILE_LIMIT} bytes")) } else { Ok(text) }
}

pub(super) fn parse(text: &str) -> Result<List, String> {
    List::parse(text).map_err(|error| error.to_string())
}
