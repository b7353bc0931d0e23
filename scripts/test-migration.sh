#!/bin/sh
# Try a migration on a copy of the records, with a fault in the middle, and report; the tables themselves are only read.
#
# Usage: scripts/test-migration.sh [OPTION ...], options as of scripts/migrate.py --rehearse
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
exec "${PYTHON:-$root/.venv/bin/python}" "$root/scripts/migrate.py" --rehearse "$@"
