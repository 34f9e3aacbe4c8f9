//! What is wrong with the file is said when the worker starts.

use worker::{HandlersFile, Worker};

use super::{file, kind};
use crate::support::process::run;

/// Each with what its message must name. `{dir}` has `empty` and `password`.
const BAD: &[(&str, &str)] = &[
    ("tls = \"ssl\"", "ssl"),
    ("tls = \"none\"\nca_file = \"{dir}/empty\"", "kinds.email.ca_file"),
    ("ca_file = \"/nowhere/ca.pem\"", "kinds.email.ca_file: /nowhere/ca.pem"),
    ("ca_file = \"{dir}/password\"", "kinds.email.ca_file"),
    ("username = \"worker\"", "kinds.email.password_file"),
    ("password_file = \"{dir}/password\"", "kinds.email.username"),
    ("username = \"worker\"\npassword_file = \"{dir}/none\"", "kinds.email.password_file"),
    ("username = \"worker\"\npassword_file = \"{dir}/empty\"", "kinds.email.password_file"),
    ("timeout = \"0s\"", "kinds.email.timeout"),
    ("timeout = 5", "timeout"),
    ("timeout = \"soon\"", "timeout"),
    ("hello = \"a b\"", "kinds.email.hello"),
    ("reply_to = \"nobody\"", "reply_to"),
    ("allowed_from = [\"*.example.com\"]", "*.example.com"),
    ("limits = { recipient = 1 }", "recipient"),
    ("unheard_of = 1", "unheard_of"),
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_one_line_and_exit_64() {
    let host = "tls = \"none\"\nusername = \"worker\"\npassword_file = \"{dir}/password\"";
    let whole = [
        (kind(25, host).replace("127.0.0.1", "mail.example.com"), "kinds.email.tls"),
        (kind(25, "").replace("[\"*@example.com\"]", "[]"), "kinds.email.allowed_recipients"),
        (kind(25, "").replace("allowed_recipients = [\"*@example.com\"]", ""), "allowed_recipients"),
        (kind(25, "").replace("Shop <shop@example.com>", "Shop\\nBcc: eve@evil.org <shop@example.com>"), "line breaks"),
        (kind(25, "").replace("127.0.0.1", ""), "kinds.email.host"),
        (kind(25, "").replace("port = 25", "port = 70000"), "70000"),
        (kind(25, "").replace("\"email\"", "\"e-mail\""), "e-mail"),
        (kind(25, "").replace("kinds.email", "kinds.\"a b\""), "kinds"),
        ("[kinds.email\n".to_owned(), "line 1"),
    ];
    let added = BAD.iter().map(|(lines, blamed)| (kind(25, lines), *blamed));
    for (text, blamed) in whole.into_iter().chain(added) {
        let dir = file("");
        let here = dir.path().to_str().expect("text");
        std::fs::write(dir.path().join("empty"), "\n").expect("written");
        std::fs::write(dir.path().join("password"), "s3cret\n").expect("written");
        std::fs::write(dir.path().join("kinds.toml"), text.replace("{dir}", here)).expect("written");
        let ended =
            run(&[], &[("WORKER_HANDLERS", &format!("{here}/kinds.toml")), ("WORKER_BIND", "127.0.0.1:0")]).await;
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(64), 1), "{text}: {ended:?}");
        assert!(
            ended.stderr.contains(blamed) && !ended.stderr.contains("s3cret"),
            "{text} should name {blamed}: {ended:?}"
        );
    }
}

/// As it stands, and with the lines for a server that asks for a password.
#[test]
fn the_file_of_the_component_is_a_good_one() {
    let component =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../kustomize/components/email-worker/kinds.toml");
    let text = std::fs::read_to_string(component).expect("a file");
    let secrets = file("");
    std::fs::write(secrets.path().join("password"), "s3cret").expect("written");
    let with_login = text
        .replace("# username", "username")
        .replace("# password_file", "password_file")
        .replace("/etc/smtp-auth", secrets.path().to_str().expect("text"));
    assert!(with_login.contains("\nusername") && with_login.contains("\npassword_file"));
    for text in [text, with_login] {
        let dir = file(&text);
        let kinds = HandlersFile::read(&dir.path().join("kinds.toml")).expect("a good file");
        let builder = kinds.register(Worker::builder()).expect("good kinds");
        assert_eq!(format!("{builder:?}"), "Builder { kinds: [\"email\"] }");
    }
}
