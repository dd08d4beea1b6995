#!/bin/sh
# Checks the types of the web pages, where they could be built. Called by make with the path of our Python.
set -eu
bin=$(cd "$(dirname "$1")" && pwd)
cd "$(dirname "$0")/.."
[ -f web/dist/index.html ] || exit 0
. web/node.sh
cd web
npm run --silent typecheck
