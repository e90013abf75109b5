"""The functions as they are deployed: built by cargo lambda, put together by SAM, and not larger than they may be.

    python3 tests/sizes.py [--write] [FUNCTION ...]

Their sizes are in a table in infra/README.md, each with its budget; `--write` puts in what was measured. Without names it builds all, which
takes two processors a quarter of an hour.
"""

import filecmp
import os
import platform
import re
import subprocess
import sys

from stack import CARGO_LAMBDA, ROOT, SAM, environment

README = ROOT / "infra/README.md"
ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \|$", re.M)


def sam_build(bin, functions, *resource):
    """What is deployed, of one resource or of all, is what was just built."""
    architecture = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    command = [bin / "sam", "build", *resource, "--template-file", "infra/template.yaml", "--build-dir", "target/sam-build"]
    quiet = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1"}
    subprocess.run([*command, "--parameter-overrides", f"Architecture={architecture}"], cwd=ROOT, check=True, env={**os.environ, **quiet})
    for name in functions:
        built, deployed = ROOT / f"target/lambda/{name}/bootstrap", ROOT / f"target/sam-build/{logical_id(name)}/bootstrap"
        assert filecmp.cmp(built, deployed, shallow=False), f"{name} is not what was built"


def logical_id(name):
    return "".join(word.capitalize() for word in name.split("_"))


def main():
    bin = environment("target/cargo-lambda", CARGO_LAMBDA, "websockets==17.4")
    os.environ["PATH"] = f"{bin}:{os.environ['PATH']}"
    every = sorted(folder.name for folder in (ROOT / "functions").iterdir())
    functions = [name for name in sys.argv[1:] if name != "--write"] or every
    assert set(functions) <= set(every), f"there are no functions called so: {set(functions) - set(every)}"
    # In one go, and without naming packages: so features are those of every other build, and `sam build` finds all done.
    binaries = [word for name in functions for word in ("--bin", name)]
    subprocess.run(["cargo", "lambda", "build", "--release", *binaries], cwd=ROOT, check=True)
    sam = environment("target/sam", SAM)
    if functions == every:
        sam_build(sam, every)
    else:
        for name in functions:
            sam_build(sam, [name], logical_id(name))
    document = README.read_text()
    table = {name: (float(size), float(budget)) for name, size, budget in ROW.findall(document)}
    assert set(table) == set(every), f"the table lacks or has too many: {set(table) ^ set(every)}"
    measured = {name: (ROOT / "target/lambda" / name / "bootstrap").stat().st_size / 1e6 for name in functions}
    for name in functions:
        print(f"{name:30}{measured[name]:5.1f} MB of {table[name][1]:.1f}")
    if "--write" in sys.argv:
        README.write_text(ROW.sub(lambda row: f"| `{row[1]}` | {measured.get(row[1], table[row[1]][0]):.1f} | {row[3]} |", document))
    large = [name for name in functions if measured[name] > table[name][1]]
    assert not large, f"larger than their budget: {', '.join(large)}"
    # So that the table stays true; another compiler may make some difference.
    stale = [name for name in functions if abs(measured[name] - table[name][0]) > 0.1 * table[name][0] and "--write" not in sys.argv]
    assert not stale, f"the table has other sizes, write them with --write: {', '.join(stale)}"
    print("ok: the sizes of the functions")


main()
