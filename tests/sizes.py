"""The functions as they are deployed: built by cargo lambda, put together by SAM, and not larger than they may be.

    python3 tests/sizes.py

Their sizes are in a table in infra/README.md, each with its budget; `--write` puts in what was measured.
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


def sam_build(bin, functions):
    """What is deployed is what was just built."""
    architecture = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    command = [bin / "sam", "build", "--template-file", "infra/template.yaml", "--build-dir", "target/sam-build"]
    quiet = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1"}
    subprocess.run([*command, "--parameter-overrides", f"Architecture={architecture}"], cwd=ROOT, check=True, env={**os.environ, **quiet})
    for name in functions:
        logical_id = "".join(word.capitalize() for word in name.split("_"))
        built, deployed = ROOT / f"target/lambda/{name}/bootstrap", ROOT / f"target/sam-build/{logical_id}/bootstrap"
        assert filecmp.cmp(built, deployed, shallow=False), f"{logical_id} is not what was built"


def main():
    bin = environment("target/cargo-lambda", CARGO_LAMBDA, "websockets==17.4")
    os.environ["PATH"] = f"{bin}:{os.environ['PATH']}"
    functions = sorted(folder.name for folder in (ROOT / "functions").iterdir())
    # In one go, and without naming packages: so features are those of every other build, and `sam build` finds all done.
    binaries = [word for name in functions for word in ("--bin", name)]
    subprocess.run(["cargo", "lambda", "build", "--release", *binaries], cwd=ROOT, check=True)
    sam_build(environment("target/sam", SAM), functions)
    document = README.read_text()
    table = {name: (float(size), float(budget)) for name, size, budget in ROW.findall(document)}
    assert set(table) == set(functions), f"the table lacks or has too many: {set(table) ^ set(functions)}"
    measured = {name: (ROOT / "target/lambda" / name / "bootstrap").stat().st_size / 1e6 for name in functions}
    for name in functions:
        print(f"{name:30}{measured[name]:5.1f} MB of {table[name][1]:.1f}")
    if "--write" in sys.argv:
        README.write_text(ROW.sub(lambda row: f"| `{row[1]}` | {measured[row[1]]:.1f} | {row[3]} |", document))
    large = [name for name in functions if measured[name] > table[name][1]]
    assert not large, f"larger than their budget: {', '.join(large)}"
    # So that the table stays true; another compiler may make some difference.
    stale = [name for name in functions if abs(measured[name] - table[name][0]) > 0.1 * table[name][0] and "--write" not in sys.argv]
    assert not stale, f"the table has other sizes, write them with --write: {', '.join(stale)}"
    print("ok: the sizes of the functions")


main()
