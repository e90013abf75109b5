"""Runs `cargo dev` for the suites that are not Rust."""

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What several suites install.
CARGO_LAMBDA = "cargo-lambda==1.9.2"
SAM = "aws-sam-cli==1.170.0"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stack:
    """A running stack with a new database, on a port of its own; it ends with the block, and with this process."""

    def __init__(self, *arguments, data="target/suite-data", until="ready", database=None, log=None):
        self.port = free_port()
        # What the functions print goes to this file, or else to where this process prints.
        self.log = log
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = ROOT / data
        # What it prints before it is ready: "Postgres" and others.
        self.addresses = {}
        # Nothing of this is to be left in the checkout: not the data, nor the secret, which is given instead.
        os.environ["JWT_SECRET"] = secrets.token_hex(32)
        kept = ["--database-url", database] if database else ["--ephemeral"]
        command = ["cargo", "dev", *kept, "--port", str(self.port), "--data-dir", str(self.data), "--stop-with-stdin"]
        pipe = subprocess.PIPE
        stderr = log and log.open("w")
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=stderr, text=True
        )
        if until:
            self.wait_for(until)

    def wait_for(self, beginning):
        for line in self.process.stdout:
            print(line, end="", flush=True)
            name, _, address = line.partition(" ")
            self.addresses[name] = address.strip()
            if line.startswith(beginning):
                return
        if self.log:
            print(self.log.read_text()[-4000:])
        sys.exit(f"cargo dev ended before it said {beginning!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def environment(folder, *packages):
    """The Python of a virtual environment with these packages, which is made if need be. Suites that share one take turns."""
    folder = ROOT / folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    turn = folder.with_suffix(".lock").open("w")
    fcntl.flock(turn, fcntl.LOCK_EX)
    if not (folder / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
    turn.close()
    return folder / "bin"


def node_packages(folder, sources):
    """A folder with the files of `sources` and the packages that its package.json names. Packages are found beside the program that
    imports them, and the checkout is to stay as it is."""
    folder = ROOT / folder
    folder.mkdir(parents=True, exist_ok=True)
    for file in [*sources.glob("*.mjs"), *sources.glob("*.json")]:
        shutil.copy(file, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    subprocess.run(install, cwd=folder, check=True)
    return folder
