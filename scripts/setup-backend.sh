#!/bin/sh
# Make the bucket for Terraform's state, and initialise Terraform with it.
#
# Usage: scripts/setup-backend.sh [FOLDER [OPTION ...]]
#
# FOLDER is where the Terraform files are (terraform); options go to scripts/terraform_state.py (--bucket, --region, --key).
# Without Terraform, or without its files, the bucket is made all the same and the command is shown.
set -eu

folder=${1:-terraform}
if [ $# -gt 0 ]; then
    shift
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
mkdir -p "$folder"
"$python" "$root/scripts/terraform_state.py" --out "$folder/backend.hcl" "$@"
if command -v terraform >/dev/null && [ -n "$(find "$folder" -maxdepth 1 -name '*.tf')" ]; then
    exec terraform -chdir="$folder" init -backend-config=backend.hcl
fi
echo "Terraform was not run: install it, put its files into $folder, then: terraform -chdir=$folder init -backend-config=backend.hcl"
