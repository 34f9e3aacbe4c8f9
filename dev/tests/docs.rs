//! What the documents name exists: paths, tests, variables. (Metrics: `system.rs`, which has the running processes.)

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn is_generated(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        (name.starts_with('.') && name != ".ci") || ["target", "node_modules"].contains(&name.as_ref())
    })
}

fn files(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !is_generated(&path) {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn texts(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root(), extension, &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// What stands between backticks on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_path(text: &str) -> bool {
    let known = [".rs", ".md", ".sql", ".toml", ".sh"].iter().any(|ending| text.ends_with(ending));
    known && text.contains('/') && !text.contains([' ', '<', '*'])
}

#[test]
fn paths_and_tests_named_in_documents_exist() {
    let mut named = 0;
    for (document, text) in texts("md") {
        for quote in quoted(&text) {
            let (path, test) = quote.split_once("::").unwrap_or((quote, ""));
            if !is_path(path) {
                continue;
            }
            named += 1;
            let file = root().join(path);
            assert!(file.exists(), "{} names {path}, which does not exist", document.display());
            if !test.is_empty() {
                let code = fs::read_to_string(&file).unwrap();
                let is_there = code.contains(&format!("fn {test}("));
                assert!(is_there, "{} names the test {quote}, which does not exist", document.display());
            }
        }
    }
    assert!(named > 10, "only {named} paths found: this test looks in the wrong place");
}

#[test]
fn links_in_documents_lead_somewhere() {
    for (document, text) in texts("md") {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || target.contains("://") {
                continue;
            }
            let file = document.parent().unwrap().join(path);
            assert!(file.exists(), "{} links to {target}, which does not exist", document.display());
        }
    }
}

#[test]
fn the_variables_documented_are_the_variables_read() {
    let mut read: BTreeSet<String> =
        ["POSTGRES_PASSWORD", "REDIS_PASSWORD", "TASKROW_PG_BIN", "TASKROW_REDIS_BIN"].map(str::to_owned).into();
    for (path, code) in texts("rs") {
        if path.components().any(|part| part.as_os_str() == "src") {
            read.extend(code.split("env = \"").skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
        }
    }
    let document = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let is_variable =
        |text: &&str| text.contains('_') && text.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    let documented: BTreeSet<String> = quoted(&document).filter(is_variable).map(str::to_owned).collect();
    let missing: Vec<_> = read.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&read).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not documented: {missing:?}; not read: {unknown:?}");
}

#[test]
fn the_rights_documented_are_the_rights_granted() {
    let document = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let row = |grant: &schema::roles::Grant| {
        let rights = |rights: &str| if rights.is_empty() { "-".to_owned() } else { rights.to_owned() };
        format!("| `{}` | {} | {} |", grant.on, rights(grant.api()), rights(grant.worker()))
    };
    let granted: Vec<_> = schema::roles::GRANTS.iter().map(row).collect();
    let starts = ["| `SCHEMA ", "| `TABLE ", "| `SEQUENCE ", "| `FUNCTION "];
    let documented: Vec<_> =
        document.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect();
    assert_eq!(documented, granted);
}
