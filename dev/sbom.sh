#!/bin/sh
# Writes what each binary of the images is made of into .taskrow/sbom, as CycloneDX (JSON), by cargo-cyclonedx, which it installs (minutes) if it is
# not there. Dependencies at run time and at build time, for the images' processors (SBOM_TARGET for others); none that only tests have.
set -eu
cd "$(dirname "$0")/.."

cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked cargo-cyclonedx
mkdir -p .taskrow/sbom
# It writes beside every manifest of the workspace, for every binary.
cargo cyclonedx --format json --describe binaries --spec-version 1.5 --target "${SBOM_TARGET:-x86_64-unknown-linux-gnu}" --quiet
for binary in api/api worker/worker schema/migrate; do
    mv "${binary}_bin.cdx.json" ".taskrow/sbom/${binary##*/}.cdx.json"
done
rm -f ./*/*_bin.cdx.json
ls .taskrow/sbom
