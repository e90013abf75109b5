"""The web client and the page: types, the client with a service that the tests play, the client with the real stack, and the page in
Chromium. Screenshots are left in target/web/screenshots.

    python3 tests/web/run.py
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from stack import ROOT, Stack, node_packages  # noqa: E402


def main():
    folder = node_packages("target/web/node", HERE)
    # The client as it is served, where Node finds the packages too.
    shutil.rmtree(folder / "client", ignore_errors=True)
    shutil.copytree(ROOT / "infra/web/client", folder / "client")

    def run(*command, **more):
        subprocess.run(command, cwd=folder, check=True, timeout=300, **more)

    run("node_modules/.bin/tsc", "-p", "tsconfig.json")
    asyncapi = {**os.environ, "ASYNCAPI": str(ROOT / "infra/web/docs/asyncapi.json")}
    run("node", "--test", "client.test.mjs", "documents.test.mjs", env=asyncapi)
    # The page is shown a conversation of 1,000 messages, which nobody waits two minutes for.
    os.environ["MAX_MESSAGES_PER_MINUTE"] = "0"
    # And a group of 1,000, whom their owner adds at once.
    os.environ["MAX_CONVERSATIONS_PER_MINUTE"] = "0"
    with Stack("--log-format", "json") as stack:
        env = {**asyncapi, "STACK": stack.url, "SCREENSHOTS": str(ROOT / "target/web/screenshots"), "README": str(ROOT / "README.md")}
        run("node", "--test", "--test-concurrency=1", "readme.test.mjs", "stack.test.mjs", "browser.test.mjs", env=env)


main()
