#!/bin/sh
# Writes a CycloneDX document (JSON) for each binary of the images into .taskrow/sbom, by cargo-cyclonedx, which it installs (minutes) if it is not there.
set -eu
cd "$(dirname "$0")/.."

cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked cargo-cyclonedx
# What is built for images: api, worker and migrate, with their dependencies at run time and at build time; none that only tests have.
target=${SBOM_TARGET:-x86_64-unknown-linux-gnu}
mkdir -p .taskrow/sbom
for crate in api worker schema; do
    cargo cyclonedx --manifest-path "$crate/Cargo.toml" --format json --spec-version 1.5 --describe binaries --target "$target" --quiet
done
