//! The list changes while the API runs.

use std::{fs, os::unix::fs::symlink, path::Path};

use service::tokens::{
    Scope::{Read, Submit},
    Secret, TokenArgs,
};
use tempfile::TempDir;

use crate::support::{App, Clients, Setup, eventually};

/// A Secret as Kubernetes mounts it: `tokens.toml -> ..data/tokens.toml`, `..data -> <generation>`, and the second link is replaced.
struct Mount {
    directory: TempDir,
    generation: u32,
}

impl Mount {
    fn with(list: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        symlink("..data/tokens.toml", directory.path().join("tokens.toml")).unwrap();
        let mut mount = Self { directory, generation: 0 };
        mount.change(list);
        mount
    }

    fn change(&mut self, list: &str) {
        self.generation += 1;
        let name = format!("..generation{}", self.generation);
        fs::create_dir(self.path().join(&name)).unwrap();
        fs::write(self.path().join(&name).join("tokens.toml"), list).unwrap();
        symlink(&name, self.path().join("..data_new")).unwrap();
        fs::rename(self.path().join("..data_new"), self.path().join("..data")).unwrap();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn app(&self) -> App {
        let api_tokens_file = Some(self.path().join("tokens.toml"));
        Setup::default().guarded(TokenArgs { api_tokens_file, ..TokenArgs::default() }).start().await
    }
}

async fn answers(app: &App, secret: &Secret, status: u16) {
    eventually(&format!("{status}"), || async { app.with(secret).get("/queues").await.status == status }).await;
}

async fn is_stale(app: &App, secret: &Secret, value: u8) {
    let series = format!("taskrow_api_tokens_stale {value}");
    eventually(&series, || async { app.with(secret).series("taskrow_api_tokens_stale").await == Some(series.clone()) })
        .await;
}

#[tokio::test]
async fn a_client_changes_its_secret_without_a_restart_and_without_a_gap() {
    let mut old_list = Clients::default();
    let old = old_list.add("ci", &[Read], None);
    let mut mount = Mount::with(&old_list.text);
    let app = mount.app().await;
    assert_eq!(app.with(&old).get("/queues").await.status, 200);

    let mut both = Clients { text: old_list.text.clone() };
    let new = both.add("ci", &[Read], None);
    assert_eq!(app.with(&new).get("/queues").await.status, 401);
    mount.change(&both.text);
    answers(&app, &new, 200).await;
    assert_eq!(app.with(&old).get("/queues").await.status, 200, "both hold");

    mount.change(both.text.strip_prefix(&old_list.text).unwrap());
    answers(&app, &old, 401).await;
    assert_eq!(app.with(&new).get("/queues").await.status, 200);
}

#[tokio::test]
async fn a_scope_is_taken_away() {
    let mut clients = Clients::default();
    let secret = clients.add("ci", &[Read, Submit], None);
    let mut mount = Mount::with(&clients.text);
    let app = mount.app().await;
    app.with(&secret).submit("", "1").await;
    mount.change(&clients.text.replace("\"submit\", ", ""));
    eventually("403", || async { app.with(&secret).post_json("/tasks", "1").await.status == 403 }).await;
    assert_eq!(app.with(&secret).get("/queues").await.status, 200);
}

#[tokio::test]
async fn a_list_that_turns_bad_leaves_the_old_one_in_force_and_is_told() {
    let mut clients = Clients::default();
    let old = clients.add("old", &[Read], None);
    let mut mount = Mount::with(&clients.text);
    let app = mount.app().await;
    is_stale(&app, &old, 0).await;
    for bad in ["[[token]]\nname = 1", ""] {
        mount.change(bad);
        is_stale(&app, &old, 1).await;
    }
    fs::remove_file(mount.path().join("..data")).unwrap();
    is_stale(&app, &old, 1).await;
    assert_eq!(app.with(&old).get("/queues").await.status, 200);

    let new = clients.add("new", &[Read], None);
    mount.change(&clients.text);
    answers(&app, &new, 200).await;
    is_stale(&app, &new, 0).await;
}
