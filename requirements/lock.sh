#!/bin/sh
# Writes the lock files: hashes for every platform, no package host. Called by `make lock` with the path of uv.
set -eu
uv=$1
cd "$(dirname "$0")"
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header "$@"
}
compile --extra local ../pyproject.toml -o run.lock
# What an image needs whose PostgreSQL, Redis and SQS run elsewhere.
compile --extra openai --extra replicate -c run.lock ../pyproject.toml -o base.lock
# Only what the files before do not have: they are installed together.
names() { cat "$@" | sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p'; }
# shellcheck disable=SC2046 - one option and one name a line
compile --extra openai --extra replicate -c run.lock $(names run.lock) ../pyproject.toml -o services.lock
# shellcheck disable=SC2046
compile --extra local --extra openai --extra replicate --extra dev -c run.lock -c services.lock \
    $(names run.lock services.lock) ../pyproject.toml -o dev.lock
# What is installed by itself: its packages only, without ours.
for extra in installer node codegen; do
    sed -n "s/^$extra = \[\"\(.*\)\"\]\$/\1/p" ../pyproject.toml | compile - -o "$extra.lock"
done
