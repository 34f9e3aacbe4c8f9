//! Secrets in files, as Kubernetes mounts them.

use std::{fmt, path::Path};

/// A secret from a file, without the line break at its end. Never shown.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    /// Reads it. Empty files are refused: a secret that nobody filled in is a mistake. Errors name the file only.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{}: is empty", path.display())),
            secret => Ok(Self(secret.to_owned())),
        }
    }

    /// The secret itself.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
