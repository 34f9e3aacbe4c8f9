//! PgBouncer in transaction mode, for what api and worker send through a pool.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use service::exit::Failure;

use crate::{process::Process, system::free_address};

/// Where distributions put it.
const PLACES: [&str; 4] =
    ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];

/// Writes its configuration; nothing runs yet. Where it will listen.
pub fn prepare(dir: &Path, postgres: SocketAddr, password: &str) -> Result<(Process, String), Failure> {
    let program = PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    let program = program.ok_or_else(|| {
        Failure::unavailable("PgBouncer is missing: dev/setup.sh --test installs it (Debian: package pgbouncer)")
    })?;
    let address = free_address()?;
    // It refuses to be root, and becomes somebody else after it has read this.
    let user = if rustix::process::geteuid().is_root() { "user = nobody\n" } else { "" };
    let configuration = format!(
        "[databases]
app = host=127.0.0.1 port={} user=app password={password} dbname=app

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
server_connect_timeout = 5
server_login_retry = 1
query_wait_timeout = 10
{user}",
        postgres.port(),
        address.port()
    );
    let file = dir.join("pgbouncer.ini");
    fs::write(&file, configuration).map_err(Failure::software)?;
    let process = Process::new("pgbouncer", &program, dir)?.argument(&file.display().to_string());
    Ok((process, address.to_string()))
}
