#!/bin/sh
# Installs the real clients that tests run. Called by make with the path of our Python. Where they cannot be had
# one line says so, and the tests that need them tell the same.
set -eu
bin=$(cd "$(dirname "$1")" && pwd)
cd "$(dirname "$0")/../.."
. web/node.sh
cd tests/clients

install_packages_or_end "No real clients for the tests" "Installing the clients for the tests ..."
# What the tests run: where Node.js is, was found out here.
mkdir -p node_modules/.bin
ln -sf "$(command -v node)" node_modules/.bin/node
touch node_modules/.package-lock.json
