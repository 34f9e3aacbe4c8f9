#!/usr/bin/env bash
# bench/peers/setup.sh [NAME ..]: installs or builds the peers (all of them by default) under TASKROW_PEERS_DIR.
# Versions are those of the lockfiles. A peer whose lockfile has not changed is left as it is, but Cargo always looks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers=$(realpath -m "${TASKROW_PEERS_DIR:-$here/../../.taskrow/peers}")
all=(graphile-worker pg-boss pgqueuer awa graphile_worker)

fail() {
    echo "setup.sh: $1" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || fail "$1 is missing: $2 needs it"
}

# Runs a command and shows what it said only when it fails.
quietly() {
    local log
    log=$(mktemp)
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        rm -f "$log"
        fail "failed: $*"
    }
    rm -f "$log"
}

# npm_install FOLDER: the packages of FOLDER's lockfile.
npm_install() {
    local to=$peers/$1
    cmp -s "$here/$1/package-lock.json" "$to/installed.json" && return
    need npm "$1"
    mkdir -p "$to"
    cp "$here/$1/package.json" "$here/$1/package-lock.json" "$to/"
    quietly npm ci --prefix "$to" --no-audit --no-fund
    cp "$to/package-lock.json" "$to/installed.json"
}

# Which node runs the peers, which need 22.18 at least: the one in PATH or else the one that npm packages.
node_program() {
    need node "$1"
    if node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 22 || (major == 22 && minor >= 18) ? 0 : 1)'; then
        command -v node
    else
        npm_install node
        echo "$peers/node/node_modules/node/bin/node"
    fi
}

node_peer() {
    local node
    node=$(node_program "$1")
    npm_install "$1"
    echo "$node" >"$peers/$1.ready"
}

python_peer() {
    local requirements=$here/$1/requirements.txt to=$peers/$1
    if ! cmp -s "$requirements" "$to/installed.txt"; then
        need python3 "$1"
        python3 -c 'import ensurepip, venv' 2>/dev/null || fail "python3 has no venv: install python3-venv, $1 needs it"
        quietly python3 -m venv --clear "$to"
        quietly "$to/bin/pip" install --disable-pip-version-check --no-deps --require-hashes -r "$requirements"
        cp "$requirements" "$to/installed.txt"
    fi
    touch "$peers/$1.ready"
}

cargo_peer() {
    need cargo "$1"
    CARGO_TARGET_DIR=$peers/cargo quietly cargo build --release --locked --quiet --manifest-path "$here/$1/Cargo.toml"
    touch "$peers/$1.ready"
}

mkdir -p "$peers"
[ $# -gt 0 ] || set -- "${all[@]}"
for name in "$@"; do
    case $name in
        graphile-worker | pg-boss) node_peer "$name" ;;
        pgqueuer) python_peer "$name" ;;
        awa | graphile_worker) cargo_peer "$name" ;;
        *) fail "unknown peer: $name (known: ${all[*]})" ;;
    esac
done
