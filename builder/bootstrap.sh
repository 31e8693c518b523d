#!/bin/sh
# Makes .venv with Cellar and its tools, every distribution by the hash in lock/tools.txt.
# Plain sh, because nothing but a python3 may be here yet. Does nothing when .venv is current.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; say " hint: $2"; exit 3; }

stamp=.venv/.made-from
inputs=$(cat pyproject.toml lock/tools.txt builder/bootstrap.sh | sha256sum | cut -d' ' -f1)
if [ -x .venv/bin/cellar ] && [ "$(cat $stamp 2>/dev/null)" = "$inputs" ]; then exit 0; fi

python=
for candidate in ${CELLAR_PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no Python 3.11 or later is here" \
    "install one (Debian 12: apt-get install python3), or name it: CELLAR_PYTHON=/path/to/python3"

# Debian splits venv off Python. Its package is named after the exact minor version.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "$python has no venv module" "install the package $package, then run again"
    fi
    say "Cellar installs with apt: $package"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
fi

total=$(grep -c '==' lock/tools.txt)
say "Cellar installs itself and its tools into .venv ($total distributions, by hash)"
rm -rf .venv
"$python" -m venv .venv

# pip looks where the host's own configuration says; hashes decide what it may take. The marker
# carries pip's success through the pipe, for which plain sh has no option.
live=0
[ -t 2 ] && live=1
count() { awk -v total="$total" -v live="$live" '/^(Collecting|Processing) / {
    n++; if (live) printf "\r  %d/%d %-40.40s", n, total, $2; else if (n % 20 == 0) print "  " n "/" total
  } END { if (live) print "" }' >&2; }
{ .venv/bin/pip install --disable-pip-version-check --require-hashes --no-deps -r lock/tools.txt \
    2>.venv/pip.err && : >.venv/.installed; } | count
if [ ! -e .venv/.installed ]; then
    tail -n 5 .venv/pip.err >&2
    fail "pip could not install lock/tools.txt" "the lines above say why; pip's own index settings apply"
fi
.venv/bin/pip install --disable-pip-version-check --no-deps --no-build-isolation --quiet -e . \
    2>.venv/pip.err || { cat .venv/pip.err >&2; fail "Cellar itself could not be installed" "see above"; }
printf '%s\n' "$inputs" >$stamp
