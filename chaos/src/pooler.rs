//! PgBouncer in transaction mode, for what api and worker send through a pool.

use std::{fs, net::SocketAddr, path::Path};

use service::exit::Failure;

use crate::{debian, process::Process, system::free_address};

/// Writes its configuration; nothing runs yet. Where it will listen.
pub fn prepare(dir: &Path, postgres: SocketAddr, password: &str) -> Result<(Process, String), Failure> {
    let (program, libraries) = debian::pgbouncer()?;
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
    let mut process = Process::new("pgbouncer", &program, dir)?.argument(&file.display().to_string());
    if let Some(libraries) = libraries {
        process.set("LD_LIBRARY_PATH", libraries.display().to_string());
    }
    Ok((process, address.to_string()))
}
