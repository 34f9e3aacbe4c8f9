//! What the crates we build on may be: their licences and sources, as `deny.toml` has them; no `unsafe` in ours.
//!
//! Duplicates and advisories need cargo-deny, which takes minutes to build: `make deny`.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every package of the lock file that is built for some platform, from Cargo itself.
fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(["metadata", "--format-version=1", "--locked"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The licences that deny.toml allows.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = text.split("\nallow = [").nth(1).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met: `AND` of `OR`s, with parentheses around either. (`/` is an old way to write `OR`.)
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.trim();
    let parts = |word: &str| -> Vec<String> {
        let (mut parts, mut depth) = (vec![String::new()], 0);
        for token in expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").split_whitespace() {
            depth += i32::from(token == "(") - i32::from(token == ")");
            match parts.last_mut() {
                _ if token == word && depth == 0 => parts.push(String::new()),
                Some(part) => *part = format!("{part} {token}"),
                None => {}
            }
        }
        parts
    };
    for (word, all) in [("OR", false), ("AND", true)] {
        let parts = parts(word);
        if parts.len() > 1 {
            let mut met = parts.iter().map(|part| is_met(part, allowed));
            return if all { met.all(|met| met) } else { met.any(|met| met) };
        }
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_met(inner, allowed),
        None => allowed.contains(expression),
    }
}

#[test]
fn licences_are_those_that_are_allowed() {
    let allowed = allowed();
    assert!(allowed.contains("MIT") && !allowed.iter().any(|licence| licence.contains("GPL")), "{allowed:?}");
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_met(licence, &allowed), "{} {}: {licence}", package["name"], package["version"]);
    }
}

#[test]
fn expressions_of_licences_are_understood() {
    let allowed = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "(GPL-3.0 OR MIT) AND Zlib",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
    ] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for not in ["GPL-3.0", "none", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0", "Apache-2.0"] {
        assert!(!is_met(not, &allowed), "{not}");
    }
}

#[test]
fn crates_come_from_crates_io_or_from_here() {
    let packages = packages();
    assert!(packages.len() > 100);
    for package in packages {
        let is_ours =
            package["source"].is_null() && Path::new(package["manifest_path"].as_str().unwrap()).starts_with(root());
        let source = package["source"].as_str().unwrap_or_default();
        assert!(is_ours || source.ends_with("/crates.io-index"), "{}: {source}", package["name"]);
    }
}

/// `forbid` cannot be lifted by an `allow` further down.
#[test]
fn unsafe_code_is_forbidden_in_every_crate() {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    assert!(read(&root().join("Cargo.toml")).contains("[workspace.lints.rust]\nunsafe_code = \"forbid\""));
    let ours = packages().into_iter().filter(|package| package["source"].is_null()).collect::<Vec<_>>();
    assert!(ours.len() > 10);
    for package in ours {
        let manifest = package["manifest_path"].as_str().unwrap();
        assert!(
            read(Path::new(manifest)).contains("[lints]\nworkspace = true"),
            "{manifest} does not take the workspace's lints"
        );
    }
}
