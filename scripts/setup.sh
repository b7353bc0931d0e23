#!/bin/sh
# Make .venv and install what is asked for: "run" (the server and Nova Sonic Local) or "dev" (also the tests' and checks' packages).
#
# Usage: scripts/setup.sh [run|dev]
#
# A second run that finds everything in place costs some tens of milliseconds. POSIX sh only, so that it works where nothing is installed yet.
set -eu

cd "$(dirname "$0")/.."
set_name=${1:-run}
venv=.venv
uv_version=0.13.9

case $set_name in
    run) files='requirements.txt requirements-local.txt' ;;
    dev) files='requirements.txt requirements-local.txt requirements-dev.txt' ;;
    *)
        echo "setup.sh: '$set_name' is not a set of packages; say 'run' or 'dev'." >&2
        exit 2
        ;;
esac

# A candidate counts only when it runs: version managers put shims on PATH that exist and fail.
suits() {
    "$1" -c "
import sys
if not (3, 12) <= sys.version_info[:2] <= (3, $2):
    sys.exit(1)
import ensurepip, sqlite3, ssl, venv
" >/dev/null 2>&1
}

candidates() {
    if [ -n "${PYTHON:-}" ]; then
        echo "$PYTHON"
    fi
    printf '%s\n' python3 python3.13 python3.12 python3.14 python
    for folder in /usr/local/bin /opt/homebrew/bin "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin "${ASDF_DATA_DIR:-$HOME/.asdf}"/installs/python/*/bin \
        "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/*/bin "${XDG_DATA_HOME:-$HOME/.local/share}"/mise/installs/python/*/bin; do
        for name in python3.13 python3.12 python3.14; do
            if [ -x "$folder/$name" ]; then
                echo "$folder/$name"
            fi
        done
    done
}

# 3.12 and 3.13 first: the speech recogniser of Nova Sonic Local has no ready-made package for 3.14.
find_python() {
    for newest in 13 14; do
        candidates | while IFS= read -r candidate; do
            if suits "$candidate" "$newest"; then
                echo "$candidate"
                break
            fi
        done | grep . && return 0
    done
    return 1
}

make_venv() {
    if [ -n "${PYTHON:-}" ] && ! suits "$PYTHON" 14; then
        echo "PYTHON=$PYTHON does not run as a Python from 3.12 to 3.14 with venv and ensurepip; looking for another." >&2
    fi
    if ! python=$(find_python); then
        echo 'No Python from 3.12 to 3.14 with venv and ensurepip was found: install one (Debian/Ubuntu: apt-get install python3 python3-venv;' \
            'macOS: brew install python@3.13; anywhere: pyenv install 3.13) or name it, as in PYTHON=/path/to/python3.13 make run.' >&2
        exit 2
    fi
    echo "Making $venv with $("$python" --version 2>&1) ($python)" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
}

# uv is about ten times faster than pip; pip does the work where uv cannot be installed or fails.
install() {
    arguments=''
    for file in $files; do
        arguments="$arguments -r $file"
    done
    if [ ! -x "$venv/bin/uv" ]; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version" >&2 || true
    fi
    # shellcheck disable=SC2086 # the arguments are words without spaces
    if [ -x "$venv/bin/uv" ] && UV_SYSTEM_CERTS=1 "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" $arguments >&2; then
        return 0
    fi
    echo 'uv did not install the packages; trying pip.' >&2
    # shellcheck disable=SC2086 # the arguments are words without spaces
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $arguments >&2
}

if ! suits "$venv/bin/python" 14; then
    make_venv
fi

# The stamp is the requirements themselves: what was installed is compared with what is asked for now.
stamp=$venv/installed-$set_name
# shellcheck disable=SC2086 # the file names are words without spaces
if cat $files | cmp -s - "$stamp"; then
    exit 0
fi
echo "Installing the Python packages ($set_name) ..." >&2
install
# shellcheck disable=SC2086 # the file names are words without spaces
cat $files >"$stamp"
if [ "$set_name" = dev ]; then
    cat requirements.txt requirements-local.txt >"$venv/installed-run"
fi
