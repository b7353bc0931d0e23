#!/bin/sh
# Compile the requirements*.in files into pinned requirements*.txt files that hold on Python 3.12 to 3.14 and on every platform.
set -eu
cd "$(dirname "$0")/.."
for name in requirements requirements-local requirements-webm requirements-dev; do
    UV_SYSTEM_CERTS=1 .venv/bin/uv pip compile --quiet --universal --python-version 3.12 --no-emit-index-url --no-emit-find-links \
        --custom-compile-command 'make lock' "$@" "$name.in" -o "$name.txt"
done
