//! What the binary says to bad files of kinds.

use std::path::Path;

use worker::{HandlersFile, Worker};

use super::Files;
use crate::support::process::run;

/// The lines of a kind `pay`, with what the message must say.
const BAD: &[(&str, &str)] = &[
    ("", "kinds.pay.url: must be there"),
    ("url = \"http://a/\"\nallow = [\"https://a\"]", "kinds.pay.url: must be there, or else allow, and not both"),
    ("url = \"nonsense\"", "kinds.pay.url: relative URL"),
    ("url = \"ftp://a/\"", "kinds.pay.url: must start with https:// or http://"),
    ("url = \"https://user:s3cret@a/\"", "kinds.pay.url: must not hold a user"),
    ("url = 7", "`url`"),
    ("allow = []", "kinds.pay.allow: must hold a pattern"),
    ("allow = [\"https://a\", \"a.example\"]", "kinds.pay.allow: \"a.example\" must start with https://"),
    ("allow = \"https://a\"", "`allow`"),
    ("URL\nallow_private = true", "kinds.pay.allow_private: the operator's own url needs no permission"),
    ("URL\nmethod = \"post\"", "kinds.pay.method: must be POST"),
    ("URL\nmethod = \"TRACE\"", "kinds.pay.method: must be POST"),
    ("URL\nheaders = { \"a b\" = \"c\" }", "kinds.pay.headers: \"a b\" is no name"),
    ("URL\nheaders = { a = \"s3cret\\n\" }", "kinds.pay.headers: \"a\" has a value"),
    ("URL\nheaders = { Host = \"c\" }", "kinds.pay.headers: \"Host\" is set by the worker itself"),
    ("URL\nheaders = { Webhook-Signature = \"c\" }", "kinds.pay.headers: \"Webhook-Signature\" is set"),
    ("URL\nheaders = { a = \"b\", A = \"c\" }", "kinds.pay.headers: \"a\" is there twice"),
    (
        "URL\nheaders = { a = \"b\" }\nsecret_headers = { A = \"DIR/token\" }",
        "kinds.pay.secret_headers: \"A\" is there twice",
    ),
    ("URL\nsecret_headers = { a = \"DIR/absent\" }", "kinds.pay.secret_headers: "),
    ("URL\nsecret_headers = { a = \"DIR/empty\" }", "empty: is empty"),
    ("URL\nsecret_headers = { a = \"DIR/lines\" }", "kinds.pay.secret_headers: \"a\" has a value"),
    ("URL\ntimeout = \"soon\"", "kinds.pay.timeout: \"soon\""),
    ("URL\ntimeout = \"0s\"", "kinds.pay.timeout: must be 1ms to 7days"),
    ("URL\ntimeout = 5", "`timeout`"),
    ("URL\nresponse_limit = -1", "`response_limit`"),
    ("URL\nresponse_limit = 99999999", "kinds.pay.response_limit: must be at most"),
    ("URL\nredirects = 11", "kinds.pay.redirects: must be at most 10"),
    ("URL\nredirects = 300", "`redirects`"),
    ("URL\nca_file = \"DIR/token\"", "kinds.pay.ca_file: "),
    ("URL\nca_file = \"DIR/absent\"", "kinds.pay.ca_file: "),
    ("URL\nsigning_keys = [\"DIR/token\"]", "token: must start with whsec_"),
    ("URL\nsigning_keys = \"DIR/token\"", "`signing_keys`"),
    ("URL\ntimeot = \"5s\"", "unknown field `timeot`"),
];

/// Whole files.
const BAD_FILES: &[(&str, &str)] = &[
    ("[kinds.pay]\nurl = \"http://a/\"", "kinds.pay: type: must be there"),
    ("[kinds.pay]\ntype = \"htp\"", "kinds.pay: unknown variant `htp`"),
    (
        "[kinds.\"taskrow.callback\"]\ntype = \"http\"\nurl = \"http://a/\"",
        "kinds.taskrow.callback: names that start with taskrow.",
    ),
    ("[kinds.\"a b\"]\ntype = \"http\"", "a name is 1 to 64 characters"),
    ("[callbacks]", "missing field `allow`"),
    ("[callbacks]\nallow = []", "callbacks.allow: must hold a pattern"),
    ("[callbacks]\nallow = [\"https://a?b\"]", "callbacks.allow: \"https://a?b\" must not hold a query"),
    ("[callbacks]\nallow = [\"https://a\"]\ntimeout = \"8days\"", "callbacks.timeout: must be 1ms to 7days"),
    ("[callbacks]\nallow = [\"https://a\"]\nsigning_keys = [\"DIR/empty\"]", "callbacks.signing_keys: "),
    ("[callbacks]\nallow = [\"https://a\"]\nurl = \"https://a\"", "unknown field `url`"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_kind_is_one_line_that_names_kind_and_field_and_exits_64() {
    let of_kinds = BAD.iter().map(|(lines, blamed)| {
        (format!("[kinds.pay]\ntype = \"http\"\n{}", lines.replace("URL", "url = \"https://a/\"")), *blamed)
    });
    let whole = BAD_FILES.iter().map(|(text, blamed)| ((*text).to_owned(), *blamed));
    for (text, blamed) in of_kinds.chain(whole) {
        let lines = "s3cret\nX-Injected: yes";
        let files = Files::new(&[("kinds.toml", &text), ("token", "s3cret"), ("empty", "\n"), ("lines", lines)]);
        let path = files.path("kinds.toml");
        let ended = run(&[], &[("WORKER_HANDLERS", path.to_str().expect("text"))]).await;
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(64), 1), "{text}: {ended:?}");
        assert!(ended.stderr.contains(blamed), "{text} should say {blamed}: {ended:?}");
        assert!(
            ended.stderr.contains("pay") || ended.stderr.contains("callback") || ended.stderr.contains("a b"),
            "{ended:?}"
        );
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    }
}

fn of_the_repository(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect(path)
}

/// The indented blocks of a document that are files of kinds.
fn examples(document: &str) -> Vec<String> {
    let blocks =
        document.split("\n\n").filter(|block| block.starts_with("    [kinds.") || block.starts_with("    [callbacks]"));
    let of_ours = blocks.filter(|block| block.contains("\"http\"") || block.contains("[callbacks]"));
    of_ours.map(|block| block.lines().map(|line| format!("{}\n", line.trim_start())).collect()).collect()
}

#[test]
fn examples_and_the_manifests_file_are_good() {
    let mut texts = examples(&of_the_repository("docs/kinds.md"));
    assert!(texts.len() >= 3, "{texts:?}");
    let of_manifests = of_the_repository("kustomize/components/kinds/kinds.toml");
    texts.push(of_manifests.replace("# signing_keys", "signing_keys"));
    texts.push(of_manifests);
    for text in texts {
        let text = text.replace("/etc/taskrow-secrets/", "DIR/");
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let files = Files::new(&[("kinds.toml", &text), ("webhook-key", key), ("billing-token", "Bearer 1")]);
        let file = HandlersFile::read(&files.path("kinds.toml")).unwrap_or_else(|error| panic!("{error}: {text}"));
        file.register(Worker::builder()).unwrap_or_else(|error| panic!("{error}: {text}"));
    }
}
