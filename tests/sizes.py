"""The functions as they are deployed: built by cargo lambda, and not larger than they may be.

    python3 tests/sizes.py

Their sizes are in a table in infra/README.md, each with its budget; `--write` puts in what was measured.
"""

import os
import re
import subprocess
import sys

from stack import ROOT, environment

README = ROOT / "infra/README.md"
ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \|$", re.M)

# What is not a function. Everything else is built in one go, so that each dependency is compiled once.
OTHERS = ["documents", "gateway", "local", "tests"]


def main():
    bin = environment("target/cargo-lambda", "cargo-lambda==1.9.2", "websockets==17.4")
    os.environ["PATH"] = f"{bin}:{os.environ['PATH']}"
    excluded = [word for package in OTHERS for word in ("--exclude", package)]
    subprocess.run(["cargo", "lambda", "build", "--release", "--workspace", *excluded], cwd=ROOT, check=True)
    document = README.read_text()
    table = {name: (float(size), float(budget)) for name, size, budget in ROW.findall(document)}
    functions = {folder.name for folder in (ROOT / "functions").iterdir()}
    assert set(table) == functions, f"the table lacks or has too many: {set(table) ^ functions}"
    measured = {name: (ROOT / "target/lambda" / name / "bootstrap").stat().st_size / 1e6 for name in functions}
    for name in sorted(functions):
        print(f"{name:30}{measured[name]:5.1f} MB of {table[name][1]:.1f}")
    if "--write" in sys.argv:
        README.write_text(ROW.sub(lambda row: f"| `{row[1]}` | {measured[row[1]]:.1f} | {row[3]} |", document))
    large = [name for name in functions if measured[name] > table[name][1]]
    assert not large, f"larger than their budget: {', '.join(sorted(large))}"
    # So that the table stays true.
    stale = [name for name in functions if abs(measured[name] - table[name][0]) > 0.15 and "--write" not in sys.argv]
    assert not stale, f"the table has other sizes, write them with --write: {', '.join(sorted(stale))}"
    print("ok: the sizes of the functions")


main()
