#!/bin/sh
# Checks what we depend on by cargo-deny, which it installs (minutes) if it is not there: licences, duplicates and sources always, known
# vulnerabilities where their database can be reached. Exits with 1 when something is wrong; that advisories were not checked is said, and no failure.
set -eu
cd "$(dirname "$0")/.."

cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
cargo deny --log-level error check bans licenses sources

# A clone from GitHub, or the copy of an earlier one that is brought up to date.
if cargo deny --log-level error fetch db; then
    cargo deny --log-level error check advisories
else
    echo "deny: advisories NOT CHECKED: their database (github.com/RustSec/advisory-db) cannot be reached from here" >&2
fi
