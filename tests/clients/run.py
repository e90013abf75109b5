"""Any client and any SDK: those that people use talk to the local gateway, each through a whole connection.

    python3 tests/clients/run.py

Python's `websockets` and boto3 run in `sdk.py`, JavaScript's `ws`, the AWS SDK for JavaScript and a real Chromium in `sdk.mjs`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from stack import ROOT, Stack, environment  # noqa: E402

NODE = ROOT / "target/clients/node"


def main():
    python = environment("target/clients/python", "boto3==1.44.5", "websockets==17.4")
    # Packages are found beside the program that imports them, and the checkout is to stay as it is.
    NODE.mkdir(parents=True, exist_ok=True)
    for file in ["package.json", "sdk.mjs"]:
        shutil.copy(HERE / file, NODE)
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    subprocess.run(install, cwd=NODE, check=True)
    with Stack("--template", "tests/gateway/template.yaml", "--log-format", "json") as stack:
        for command in [[python / "python", HERE / "sdk.py"], ["node", NODE / "sdk.mjs"]]:
            subprocess.run([*command, str(stack.port)], check=True, timeout=120)


main()
