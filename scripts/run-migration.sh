#!/bin/sh
# Bring tables and records to their present shape: a copy first, and all back again after an error.
#
# Usage: scripts/run-migration.sh [OPTION ...], options as of scripts/migrate.py
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
exec "${PYTHON:-$root/.venv/bin/python}" "$root/scripts/migrate.py" "$@"
