#!/bin/sh
# Builds api, worker and migrate of the previous release, which dev/tests/upgrade runs beside those of this one.
#
#   dev/previous-release.sh [TARGET]     Cargo's target directory; CARGO_TARGET_DIR or target unless given
#
# migrations/previous-release says which release that is. The binaries go to TARGET/previous/<version>; once they are
# there, this does nothing. A clone that lacks the commit asks its origin. Exits with 69 when that is in vain.
set -eu
umask 022
cd "$(dirname "$0")/.."

target=${1:-${CARGO_TARGET_DIR:-target}}
binaries="api worker migrate"
read -r version commit <migrations/previous-release
built=$target/previous/$version

give_up() {
    echo "previous-release: $1" >&2
    exit 69
}

# Whether a directory has the binaries of the previous release.
has_binaries() {
    for binary in $binaries; do
        [ "$("$1/$binary" --version 2>/dev/null)" = "$binary $version" ] || return 1
    done
}

# The tree may belong to another user; unless told that this is meant, git would not read it.
in_tree() {
    git -c safe.directory='*' "$@" 2>/dev/null
}

newest=$(in_tree describe --tags --abbrev=0 --match 'v[0-9]*' HEAD^) || newest= # a clone without tags or history
case $newest in
    "" | "v$version") ;;
    *) give_up "migrations/previous-release names $version, but $newest is released: see CONTRIBUTING.md, Releases" ;;
esac

if [ "$(cat "$built/commit" 2>/dev/null)" = "$commit" ] && has_binaries "$built"; then
    exit 0
fi

in_tree cat-file -e "$commit^{commit}" ||
    GIT_TERMINAL_PROMPT=0 in_tree fetch --quiet --depth 1 origin "$commit" ||
    give_up "commit $commit (release $version) is not here and cannot be fetched: this must be a git clone with history (git fetch --unshallow)"

echo "previous-release: building $version"
rm -rf "$built"
mkdir -p "$built/source"
# -m: Cargo compares times, and would take the sources of another commit for those it knows.
in_tree archive "$commit" | tar -xm -C "$built/source"
# In this target directory and with this tree's profile, so that dependencies are compiled once. There are no examples to build: asking for
# them switches the features on that tests need of the dependencies.
CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only cargo build --locked --manifest-path "$built/source/Cargo.toml" --target-dir "$target" \
    --workspace --bin api --bin worker --bin migrate --examples
# Nobody shall take them for this release's: Cargo puts those back whenever it builds.
has_binaries "$target/debug" || give_up "something else is building into $target: run this again when it is done"
for binary in $binaries; do
    mv "$target/debug/$binary" "$built/"
done
rm -rf "$built/source"
echo "$commit" >"$built/commit"
