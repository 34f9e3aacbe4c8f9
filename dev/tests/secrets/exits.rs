//! Processes that end: by a bad setting, at their deadline, or because they are done.

use crate::{
    evidence::{Evidence, POSTGRES, REDIS, ROLE, WRONG, encoded},
    servers::{Servers, file, path},
    support::release::Release,
};

/// Exit codes of `sysexits.h`.
const USAGE: Option<i32> = Some(64);
const UNAVAILABLE: Option<i32> = Some(69);

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_are_told_without_their_secrets() {
    let release = Release::current();
    let mut evidence = Evidence::default();
    let secret = encoded(POSTGRES);
    let redis = format!("--redis-addr=http://:{}@redis", encoded(REDIS));
    let flag = format!("--database-url=postgresql://app:{secret}@db/app");
    let direct = format!("--database-direct-url=postgresql://app:{POSTGRES}@db/app");
    let good = "postgresql://app@db/app".to_owned();
    for (url, arguments) in [
        (format!("mysql://app:{secret}@db/app"), vec![]),
        (format!("postgresql://app:{secret}@db:port/app"), vec![]),
        (format!("postgresql://app:{secret}@db/app?sslmode=maybe"), vec![]),
        (format!("postgresql://app:{POSTGRES}@db/app?no_such_thing=1"), vec![]),
        (format!("postgresql://app@db/app?password={POSTGRES}&port=x"), vec![]),
        (format!("postgresql://app:{secret}@/"), vec![]),
        (good.clone(), vec![flag.as_str()]),
        (good.clone(), vec![direct.as_str()]),
        (good.clone(), vec!["--queue-backend=redis", redis.as_str()]),
        (format!("postgresql://app:{secret}@db/app"), vec!["--no-such-flag"]),
        (format!("postgresql://app:{secret}@db/app"), vec!["--log-level=trace", "--log-format=yaml"]),
    ] {
        for binary in ["api", "worker", "migrate"] {
            // It knows of no Redis, and says so.
            let ended = release.run(binary, &url, &arguments).await;
            assert_eq!(ended.code, USAGE, "{binary} {url} {arguments:?}: {}", ended.stderr);
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
            // What clap does not know it repeats: whoever typed it reads it.
            if !(binary == "migrate" && arguments.contains(&redis.as_str())) {
                evidence.add_ended(format!("{binary} {url} {arguments:?}"), &ended);
            }
        }
    }
    for binary in ["api", "worker", "migrate"] {
        let help = release.run(binary, &format!("postgresql://app:{secret}@db/app"), &["--help"]).await;
        assert_eq!(help.code, Some(0));
        evidence.add_ended(format!("{binary} --help"), &help);
    }
    evidence.is_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_does_not_show_passwords() {
    let servers = Servers::start().await;
    let release = Release::current();
    let mut evidence = Evidence::default();
    let wrong = release.run("migrate", &servers.url(Some(WRONG)), &["--log-level=trace", "--deadline=1s"]).await;
    assert_eq!(wrong.code, UNAVAILABLE, "{}", wrong.stderr);
    evidence.add_ended("a wrong password", &wrong);
    let of_role = file(ROLE);
    let name = format!("api_of_{}", servers.database.name());
    let (role, password) = (format!("--api-role={name}"), format!("--api-password-file={}", path(&of_role)));
    let arguments = ["--log-level=trace", &role, &password];
    for times in 1..=2 {
        let done = release.run("migrate", &servers.url(Some(POSTGRES)), &arguments).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        evidence.add_ended(format!("roles, {times}"), &done);
    }
    // A verifier is no password, but nobody's business either.
    assert!(evidence.holds("roles", &name) && !evidence.holds("roles", "SCRAM-SHA-256"));
    let away =
        release.run("migrate", &servers.url(Some(POSTGRES)), &[&role, "--api-password-file=/nowhere/file"]).await;
    assert_eq!(away.code, USAGE, "{}", away.stderr);
    evidence.add_ended("no file", &away);
    evidence.is_clean();
}
