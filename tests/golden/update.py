"""Rewrite the golden counts after a change that is meant to change them; says what changed.

python -m tests.golden.update --yes
"""

from __future__ import annotations

import argparse
import json

from tests.golden.cases import FILE, cases, counts_of, stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yes", action="store_true", help="write; without it, only say what would change")
    write = parser.parse_args().yes
    before = stored() if FILE.exists() else {}
    after = {"/".join(case): counts_of(*case) for case in cases()}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"{name}: {before.get(name)} -> {after.get(name)}")
    if write:
        lines = (f"{json.dumps(name)}: {json.dumps(counts)}" for name, counts in after.items())
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
