"""The web client and the page: the package as it is installed, the client with a service that the tests play, the client with the
real stack, and the page and a newcomer's app in Chromium. Screenshots are left in target/web/screenshots, what the stack prints in
target/web/stack.log.

    python3 tests/web/run.py
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from stack import ROOT, Stack, node_packages  # noqa: E402

CLIENT = ROOT / "infra/web/client"
# Of the core, minified and compressed. socket.io-client 4.8.4 has 12.7, and keeps nothing complete; supabase-js 2.109 has 51.
LARGEST_KB = 13.5
# The oldest that the package says it runs in, and a later one.
NODES = ["22", "24"]
# What failed comes last.
TEST = ["--test", "--test-reporter=spec"]


def run(*command, cwd, **more):
    return subprocess.run(command, cwd=cwd, check=True, timeout=900, **more)


def npm_install(folder, *packages):
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", *packages, cwd=folder)


def copied(source, folder):
    """A copy of a folder that keeps what was installed in it before."""
    for old in folder.iterdir() if folder.exists() else []:
        if old.name != "node_modules":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


def packed():
    """The package as npm publishes it, looked at by those who know what goes wrong with packages."""
    folder = copied(CLIENT, ROOT / "target/web/package")
    version = json.loads((folder / "package.json").read_text())["version"]
    protocol = json.loads((ROOT / "infra/web/docs/asyncapi.json").read_text())["info"]["version"]
    assert version.split(".")[:2] == protocol.split(".")[:2], f"the client is {version}, and the protocol {protocol}"
    assert f"## {version}\n" in (folder / "CHANGELOG.md").read_text(), f"CHANGELOG.md does not say what {version} is"
    npm_install(folder)
    # Makes the types from the comments first.
    run("npm", "pack", "--silent", cwd=folder)
    return folder / f"switchboard-client-{version}.tgz"


def built_app(package):
    """The app of a newcomer, who has the README and the package."""
    folder = copied(HERE / "app", ROOT / "target/web/app")
    readme = (CLIENT / "README.md").read_text()
    [app] = re.findall(r"```tsx\n(.*?)```", readme, re.DOTALL)
    assert app == (folder / "src/App.tsx").read_text(), "the app in the README of the client is another one than tests/web/app"
    assert app.count("\n") < 60, "a newcomer's app has less than 60 lines"
    for number, sample in enumerate(re.findall(r"```ts\n(.*?)```", readme, re.DOTALL)):
        (folder / f"src/sample-{number}.ts").write_text(sample)
    npm_install(folder)
    npm_install(folder, "--no-save", str(package))
    run("npm", "run", "build", cwd=folder)
    bin = folder / "node_modules/.bin"
    run(bin / "publint", "run", "--strict", str(package), cwd=folder)
    run(bin / "attw", "--profile", "esm-only", str(package), cwd=folder, stdout=subprocess.DEVNULL)
    (folder / "core.js").write_text('import { createSwitchboard } from "@switchboard/client";\nglobalThis.chat = createSwitchboard;\n')
    run(bin / "rolldown", "core.js", "--minify", "-o", "core.min.js", cwd=folder)
    size = len(gzip.compress((folder / "core.min.js").read_bytes(), 9)) / 1000
    print(f"the core has {size:.1f} kB, minified and compressed, of {LARGEST_KB}")
    assert size <= LARGEST_KB, "the core of the client has become too large"
    return folder / "dist"


def check_served_scripts(url):
    """What a browser runs is the source without its comments: both are the same when a minifier is through with them."""
    served = ROOT / "target/web/served"
    shutil.rmtree(served, ignore_errors=True)
    web = ROOT / "infra/web"
    scripts = [script.relative_to(web) for script in web.rglob("*.js") if "node_modules" not in script.parts]
    for script in scripts:
        (served / script).parent.mkdir(parents=True, exist_ok=True)
        request = urllib.request.Request(f"{url}/{script}", headers={"sec-fetch-dest": "script"})
        (served / script).write_bytes(urllib.request.urlopen(request).read())
        source, code = (web / script).read_text(), (served / script).read_text()
        assert source.count("\n") == code.count("\n"), f"errors in {script} would name other lines"
        assert "\n// " not in code and "\n/** " not in code, f"{script} has its comments"

    rolldown = ROOT / "target/web/app/node_modules/.bin/rolldown"

    def minified(entry):
        output = served / "minified.js"
        run(rolldown, entry, "--minify", "--external", "react", "-o", output, cwd=served, stdout=subprocess.DEVNULL)
        return output.read_bytes()

    beside = ["react", "tabs", "outbox-idb", "testing"]
    for entry in ["page/main.js", "docs/docs.js", *(f"client/{name}.js" for name in beside)]:
        assert minified(web / entry) == minified(served / entry), f"{entry} is served as another script"


def installed_node(version):
    """The programs of a version of Node: what a machine has may be older than the package says it needs."""
    folder = ROOT / f"target/web/node-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    npm_install(folder, f"node@{version}", "--prefix", ".")
    return folder / "node_modules/.bin"


def main():
    nodes = [installed_node(version) for version in NODES]
    os.environ["PATH"] = f"{nodes[0]}:{os.environ['PATH']}"
    package = packed()
    app = built_app(package)

    folder = node_packages("target/web/node", HERE)
    # The client as it is served, where Node finds the packages too.
    shutil.rmtree(folder / "client", ignore_errors=True)
    shutil.copytree(CLIENT, folder / "client")
    documents = {**os.environ, "DOCUMENTS": str(ROOT / "infra/web/docs")}
    for node in nodes:
        # With the service of @switchboard/client/testing.
        tests = ["client.test.mjs", "stack.test.mjs", "react.test.mjs", "leaks.test.mjs", "tabs.test.mjs", "walk.test.mjs"]
        run(node / "node", *TEST, "--test-concurrency=2", *tests, cwd=folder, env=documents)
    run("node", *TEST, "documents.test.mjs", cwd=folder, env=documents)
    # The page is shown a conversation of 1,000 messages, which nobody waits two minutes for.
    os.environ["MAX_MESSAGES_PER_MINUTE"] = "0"
    # And a group of 1,000, whom their owner adds at once.
    os.environ["MAX_CONVERSATIONS_PER_MINUTE"] = "0"
    with Stack("--log-format", "json", log=ROOT / "target/web/stack.log") as stack:
        check_served_scripts(stack.url)
        paths = {"SCREENSHOTS": ROOT / "target/web/screenshots", "README": ROOT / "README.md", "APP": app}
        env = {**documents, "STACK": stack.url, **{name: str(path) for name, path in paths.items()}}
        tests = ["readme.test.mjs", "stack.test.mjs", "walk.test.mjs", "proxy.test.mjs", "browser.test.mjs", "docs.test.mjs", "app.test.mjs"]
        run("node", *TEST, "--test-concurrency=2", *tests, cwd=folder, env=env)
        # Alone: it measures how long the page is busy, and makes a sheet of the screenshots of all.
        run("node", *TEST, "page.test.mjs", cwd=folder, env=env)


main()
