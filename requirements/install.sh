#!/bin/sh
# Installs lock files ($2 and on) for a Python ($1), which is that of an environment.
#
# With uv, which needs seconds where pip needs a minute. With pip where there is no wheel of uv, or where uv fails: what
# is wrong is told by the one that everybody knows.
set -eu
python=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
ours=$here/../.venv/bin
# shellcheck disable=SC2086 - one option and one name a word
pip() { "$1" -m pip --disable-pip-version-check --quiet install --require-hashes $2; }
pip_configured() { printf '%s\n' "$configuration" | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | tail -n 1; }

locks=
for lock in "$@"; do
    locks="$locks -r $lock"
done

[ -x "$ours/uv" ] || pip "$ours/python" "--only-binary :all: -r $here/installer.lock" 2>/dev/null || true
if [ -x "$ours/uv" ]; then
    # Where packages come from on this machine is what pip was told. Hashes say what they are, wherever they are found.
    configuration=$("$python" -m pip config list)
    index=$(pip_configured index-url)
    more=$(pip_configured extra-index-url)
    links=$(pip_configured find-links)
    cert=$(pip_configured cert)
    export UV_INDEX_STRATEGY=unsafe-best-match
    [ -z "$cert" ] || export SSL_CERT_FILE="$cert"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    [ -z "$more" ] || export UV_INDEX="$more"
    [ -z "$links" ] || export UV_FIND_LINKS="$(echo "$links" | tr ' ' ,)"
    # shellcheck disable=SC2086 - one option and one name a word
    "$ours/uv" --no-config pip install --quiet --require-hashes --compile-bytecode --python "$python" $locks \
        2>/dev/null && exit
fi
pip "$python" "$locks"
