//! What processes let out, and the search through it.

use std::{fmt::Write, fs};

use serde_json::{Value, json};

use crate::support::{process::Process, release::Ended};

/// What is in no other text.
pub(crate) const POSTGRES: &str = "s3cret@of/postgres";
pub(crate) const REDIS: &str = "s3cret@of/redis";
pub(crate) const WRONG: &str = "s3cret@of/nobody";
pub(crate) const ROLE: &str = "s3cret@of/a-role";

/// Texts, and where each is from.
#[derive(Default)]
pub(crate) struct Evidence(Vec<(String, String)>);

impl Evidence {
    pub(crate) fn add(&mut self, from: impl Into<String>, text: impl Into<String>) {
        self.0.push((from.into(), text.into()));
    }

    /// Everything that can be seen of a running process, with the answers to requests that are wrong.
    pub(crate) async fn add_process(&mut self, name: &str, process: &Process) {
        for path in ["/ready", "/live", "/metrics", "/no-such-path", "/tasks/no-such-task", "/openapi.json"] {
            self.add(format!("{name} {path}"), process.text(path).await);
        }
        if name.starts_with("api") {
            for (path, body) in
                [("/tasks?priority=high", json!(1)), ("/queues/x/pause?y=z", json!({})), ("/tasks?kind=", Value::Null)]
            {
                let (status, body) = process.call("POST", path, &body).await;
                self.add(format!("{name} {path}"), format!("{status} {body}"));
            }
        }
        let arguments = fs::read(format!("/proc/{}/cmdline", process.id())).expect("it runs");
        self.add(format!("{name} in ps"), String::from_utf8_lossy(&arguments).replace('\0', " "));
    }

    /// Its log, once it has ended.
    pub(crate) fn add_log(&mut self, name: &str, process: &Process) {
        let log = process.lines().iter().fold(String::new(), |mut log, line| {
            let _ = writeln!(log, "{line}");
            log
        });
        self.add(format!("{name}'s log"), log);
    }

    pub(crate) fn add_ended(&mut self, name: impl Into<String>, ended: &Ended) {
        self.add(name, format!("{}{}", ended.stdout, ended.stderr));
    }

    /// Whether some text of this origin holds a word: so that nobody searches through nothing.
    pub(crate) fn holds(&self, from: &str, word: &str) -> bool {
        self.0.iter().any(|(name, text)| name.contains(from) && text.contains(word))
    }

    /// Fails when a secret is anywhere, in whatever form it was handed over or may be printed.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        assert!(!self.0.is_empty());
        for secret in [POSTGRES, REDIS, WRONG, ROLE] {
            let bytes = format!("{:?}", secret.as_bytes());
            let forms = [
                secret.to_owned(),
                encoded(secret),
                secret.replace('/', "\\/"),
                bytes.trim_matches(['[', ']']).to_owned(),
            ];
            for (from, text) in &self.0 {
                let found = forms.iter().find(|form| text.contains(*form));
                let line = found.and_then(|form| text.lines().find(|line| line.contains(form)));
                assert!(found.is_none(), "{from} holds a secret: {line:?}");
            }
        }
    }
}

/// As a URL has it.
pub(crate) fn encoded(secret: &str) -> String {
    secret.replace('@', "%40").replace('/', "%2F")
}

#[test]
#[should_panic(expected = "holds a secret")]
fn a_secret_in_the_evidence_is_found() {
    let mut evidence = Evidence::default();
    evidence.add("a log", format!("nothing\nconnecting with {:?}\n", REDIS.as_bytes()));
    evidence.is_clean();
}
