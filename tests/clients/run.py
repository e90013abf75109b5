"""Any client and any SDK: those that people use talk to the local gateway, each through a whole connection.

    python3 tests/clients/run.py

Python's `websockets` and boto3 run in `sdk.py`, JavaScript's `ws`, the AWS SDK for JavaScript and a real Chromium in `sdk.mjs`.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from stack import ROOT, Stack, environment, node_packages  # noqa: E402


def main():
    python = environment("target/clients/python", "boto3==1.44.5", "websockets==17.4")
    node = node_packages("target/clients/node", HERE)
    with Stack("--template", "tests/gateway/template.yaml", "--log-format", "json") as stack:
        for command in [[python / "python", HERE / "sdk.py"], ["node", node / "sdk.mjs"]]:
            subprocess.run([*command, str(stack.port)], check=True, timeout=120)
    # The smoke test of a deployment, on what runs here.
    with Stack() as stack:
        urls = [f"ws://127.0.0.1:{stack.port}/v1", stack.url]
        subprocess.run([python / "python", ROOT / "infra/smoke.py", *urls], check=True, timeout=120)


main()
