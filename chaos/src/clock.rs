//! A wrong clock for one process: libfaketime, the system's or what dev/setup.sh unpacked into the project.

use std::path::{Path, PathBuf};

use service::exit::Failure;

/// Where dev/setup.sh unpacks Debian's packages, in the project or outside of it.
const UNPACKED: &str = ".taskrow/debian";
const UNPACKED_OUTSIDE: &str = "/var/lib/taskrow/debian";
/// Where Debian has libraries, by processor, and where others do.
const LIBRARIES: [&str; 3] = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64"];
/// The library that answers with a wrong time.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// The environment of a process whose clock is off by so many minutes. Its monotonic clock is right: it orders histories, and no promise depends on it.
pub fn off_by(minutes: i32) -> Result<[(&'static str, String); 3], Failure> {
    let library =
        library().ok_or_else(|| Failure::unavailable("libfaketime is missing: dev/setup.sh --test fetches it"))?;
    Ok([
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", format!("{minutes:+}m")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

/// Of the system, or of the project that this process runs in, or was built in.
fn library() -> Option<PathBuf> {
    let places = [std::env::current_dir(), std::env::current_exe()].into_iter().flatten();
    let projects = places.flat_map(|place| place.ancestors().map(Path::to_owned).collect::<Vec<_>>());
    let outside = [PathBuf::from("/"), PathBuf::from(UNPACKED_OUTSIDE)];
    let roots = outside.into_iter().chain(projects.map(|root| root.join(UNPACKED)));
    let mut found = roots.flat_map(|root| LIBRARIES.map(|place| root.join(place).join(FAKETIME)));
    found.find(|path| path.is_file())
}
