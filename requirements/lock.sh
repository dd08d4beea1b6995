#!/bin/sh
# Writes the lock files: hashes for every platform, no package host. Called by `make lock` with the path of uv.
set -eu
uv=$1
cd "$(dirname "$0")"
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header "$@"
}
compile --extra local ../pyproject.toml -o run.lock
# What an image needs whose services run elsewhere.
compile -c run.lock ../pyproject.toml -o base.lock
# Only what run.lock does not have: both are installed together.
have=$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' run.lock)
# shellcheck disable=SC2086 - one option and one name a line
compile --extra local --extra dev -c run.lock $have ../pyproject.toml -o dev.lock
sed -n 's/^node = \["\(.*\)"\]$/\1/p' ../pyproject.toml | compile - -o node.lock
sed -n 's/^codegen = \["\(.*\)"\]$/\1/p' ../pyproject.toml | compile - -o codegen.lock
