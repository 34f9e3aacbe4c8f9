//! The mail server of `worker/tests/smtp/server.py`, and certificates for it.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use service::tasks::Tasks;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time,
};

use crate::support::{LONG, eventually};

/// A server that takes messages; it ends with this.
pub(super) struct MailServer {
    pub(super) port: u16,
    mails: Arc<Mutex<Vec<Value>>>,
    child: Child,
}

impl MailServer {
    /// That anybody may use, without encryption.
    pub(super) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// With the settings that the script documents.
    pub(super) async fn with(settings: Value) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("../.taskrow/smtp/bin/python");
        assert!(python.exists(), "the tests' mail server is not installed: run dev/setup.sh --test");
        let mut child = Command::new(python)
            .arg(root.join("tests/smtp/server.py"))
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = time::timeout(LONG, next(&mut lines)).await.expect("it listens").expect("a line");
        let port = first["port"].as_u64().expect("a port") as u16;
        let mails: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = mails.clone();
        Tasks::new().spawn(async move {
            while let Some(mail) = next(&mut lines).await {
                kept.lock().expect("no panic").push(mail);
            }
        });
        Self { port, mails, child }
    }

    /// Lets it answer to what it has not answered to.
    pub(super) async fn release(&mut self) {
        self.child.stdin.as_mut().expect("piped").write_all(b"go\n").await.expect("written");
    }

    /// What it was given so far.
    pub(super) fn mails(&self) -> Vec<Value> {
        self.mails.lock().expect("no panic").clone()
    }

    /// Waits until it was given so many.
    pub(super) async fn received(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} messages arrive"), async || {
            let mails = self.mails();
            (mails.len() >= count).then_some(mails)
        })
        .await
    }
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    let line = lines.next_line().await.ok()??;
    Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

/// The values of a header, in order.
pub(super) fn header<'a>(mail: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = mail["headers"].as_array().expect("headers");
    let of_name = headers.iter().filter(|header| header[0].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name)));
    of_name.filter_map(|header| header[1].as_str()).collect()
}

/// `ca.pem`, and `server.pem` with `server.key` that it signed for this name.
pub(super) fn certificates(name: &str) -> TempDir {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).expect("parameters").signed_by(&key, &authority).expect("signed");
    let dir = tempfile::tempdir().expect("a directory");
    for (file, text) in
        [("ca.pem", authority.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(dir.path().join(file), text).expect("written");
    }
    dir
}
