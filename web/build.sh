#!/bin/sh
# Builds the web page. Called by make with the path of our Python.
#
# Where Node.js or the page's packages cannot be had, the API runs without the page: one line says so, no error.
set -eu
bin=$(cd "$(dirname "$1")" && pwd)
cd "$(dirname "$0")/.."
. web/node.sh
cd web

install_packages_or_end "No web page" "Building the web page ..."
npm run --silent build -- --logLevel warn
touch dist/index.html
