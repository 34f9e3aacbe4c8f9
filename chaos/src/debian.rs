//! Programs and libraries of others: the system's, or those that dev/setup.sh unpacked into the project.

use std::path::{Path, PathBuf};

use service::exit::Failure;

/// Where dev/setup.sh unpacks Debian's packages, in the project.
const UNPACKED: &str = ".taskrow/debian";
/// Where distributions put PgBouncer.
const PGBOUNCER: [&str; 3] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];
/// Where Debian has libraries, by processor, and where others do.
const LIBRARIES: [&str; 3] = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64"];
/// The library that answers with a wrong time.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// PgBouncer, and where its libraries are if the system has none.
pub fn pgbouncer() -> Result<(PathBuf, Option<PathBuf>), Failure> {
    if let Some(program) = PGBOUNCER.iter().map(PathBuf::from).find(|path| path.is_file()) {
        return Ok((program, None));
    }
    let unpacked = unpacked().filter(|root| root.join("usr/sbin/pgbouncer").is_file());
    let root = unpacked.ok_or_else(|| missing("PgBouncer"))?;
    let libraries = LIBRARIES.iter().map(|place| root.join(place)).find(|path| path.is_dir());
    Ok((root.join("usr/sbin/pgbouncer"), libraries))
}

/// What to preload for a wrong clock.
pub fn faketime() -> Result<PathBuf, Failure> {
    let roots = [Some(PathBuf::from("/")), unpacked()].into_iter().flatten();
    let mut places = roots.flat_map(|root| LIBRARIES.map(|place| root.join(place).join(FAKETIME)));
    places.find(|path| path.is_file()).ok_or_else(|| missing("libfaketime"))
}

fn missing(what: &str) -> Failure {
    Failure::unavailable(format!("{what} is missing: dev/setup.sh --test fetches it"))
}

/// In the project that this process runs in, or was built in.
fn unpacked() -> Option<PathBuf> {
    let places = [std::env::current_dir(), std::env::current_exe()].into_iter().flatten();
    let roots = places.flat_map(|place| place.ancestors().map(Path::to_owned).collect::<Vec<_>>());
    roots.map(|root| root.join(UNPACKED)).find(|path| path.is_dir())
}
