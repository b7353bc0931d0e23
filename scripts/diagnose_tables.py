"""Look at the tables and whatever else the server keeps its records in, and say what is wrong and what to do. Changes nothing.

Which tables, and where they are, is decided by the server's own settings: STORAGE, SQLITE_PATH, AWS_DEFAULT_REGION,
AWS_ENDPOINT_URL_DYNAMODB and the names of the tables. docs/how-to/diagnose-tables.md has the rest.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

if __package__ in (None, ""):
    # Run as a file, `python scripts/diagnose_tables.py`: Python then looks beside the file and not in the repository.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config import Settings, SettingsError
from scripts.upkeep.diagnosis import diagnose
from scripts.upkeep.findings import as_json, as_text
from scripts.upkeep.opening import tables_of


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run the script; the exit code is 0, 1 when something needs its cure, or 2 for wrong settings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--tables", nargs="+", default=[], metavar="TABLE", help="only these, like: orders appointments")
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="records of each table to look at (200); 0 looks at none")
    parser.add_argument("--json", action="store_true", help="print what is found as JSON")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ if env is None else env)
        found = asyncio.run(diagnose(settings, tables_of(settings, options.tables), options.sample))
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    print(orjson.dumps(as_json(found), option=orjson.OPT_INDENT_2).decode() if options.json else as_text(found))
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main())
