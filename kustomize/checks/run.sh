#!/bin/sh
# Checks the manifests; needs no cluster. Arguments go to pytest: -k canary, --update-snapshots.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"$here/setup"
cd "$here"
exec ../../.taskrow/kustomize-checks/bin/python -B -m pytest -q -p no:cacheprovider "$@"
