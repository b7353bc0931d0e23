#!/bin/sh
# Make the tables that are missing, without example records, and look whether all is as the server needs it.
#
# Usage: scripts/deploy.sh, with the server's own settings; safe to run again
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
"$python" "$root/scripts/seed_data.py" --create-tables --no-examples
exec "$python" "$root/scripts/diagnose_tables.py"
