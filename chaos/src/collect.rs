//! What the database has at the end, written as files beside the histories.

use std::{path::Path, time::Duration};

use futures_util::TryStreamExt;
use service::exit::Failure;
use tokio::{fs::File, io::AsyncWriteExt};

use crate::admin::Admin;

/// The views of `evidence.sql`, and where each goes.
const VIEWS: [(&str, &str); 3] =
    [("audit_lines", "audit.jsonl"), ("task_lines", "tasks.jsonl"), ("key_lines", "keys.jsonl")];

/// Writes them all.
pub async fn collect(admin: &Admin, dir: &Path) -> Result<(), Failure> {
    let client = admin.connect(Duration::from_secs(60)).await?;
    client.batch_execute(include_str!("evidence.sql")).await.map_err(Failure::software)?;
    // The triggers' table has no statistics, and the whole of it is wanted.
    client.batch_execute("SET jit = off; SET statement_timeout = 0").await.map_err(Failure::software)?;
    for (view, name) in VIEWS {
        let rows = client.copy_out(&format!("COPY (SELECT line FROM chaos.{view}) TO STDOUT")).await;
        let mut rows = std::pin::pin!(rows.map_err(Failure::software)?);
        let mut file = File::create(dir.join(name)).await.map_err(Failure::software)?;
        while let Some(bytes) = rows.try_next().await.map_err(Failure::software)? {
            file.write_all(&bytes).await.map_err(Failure::software)?;
        }
        file.flush().await.map_err(Failure::software)?;
    }
    Ok(())
}
