"""Executes what the README shows: its commands, what its clients type, and the answers that it promises.

Blocks marked `sh` are run in one shell; `sh NAME` starts NAME's client in a terminal; in blocks marked NAME, a line after `>` is typed there and a line
after `<` is expected; `^D` ends the client. Ids and times differ from run to run: each one in the README stands for one
value, the same wherever it is repeated.
"""

import json
import os
import re
import select
import subprocess
import sys
import time

from stack import ROOT

CHANGING = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z")


def blocks(section):
    """The marked blocks of a section, in order: (mark, text)."""
    tour = (ROOT / "README.md").read_text().split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```(\S[^\n]*)\n(.*?)^```$", tour, re.M | re.S)


class Values:
    """What each id and time of the README stands for in this run."""

    def __init__(self):
        self.known = {}

    def fill(self, text):
        return CHANGING.sub(lambda match: self.known.get(match.group(), match.group()), text)

    def compare(self, expected, actual):
        pattern, names = "", []
        position = 0
        expected = json.dumps(json.loads(expected), sort_keys=True)
        actual = json.dumps(json.loads(actual), sort_keys=True)
        for match in CHANGING.finditer(expected):
            pattern += re.escape(expected[position : match.start()]) + f"({CHANGING.pattern})"
            names.append(match.group())
            position = match.end()
        pattern += re.escape(expected[position:])
        found = re.fullmatch(pattern, actual)
        if not found:
            sys.exit(f"the README says\n  {expected}\nbut what came was\n  {actual}")
        for name, value in zip(names, found.groups()):
            if self.known.setdefault(name, value) != value:
                sys.exit(f"{name} stood for {self.known[name]} and now for {value}")


class Shell:
    """One bash that keeps its variables from block to block."""

    def __init__(self, port):
        self.port = port
        self.lines = ["set -euo pipefail"]

    def here(self, text):
        return text.replace("localhost:8700", f"localhost:{self.port}")

    def run(self, text):
        script = "\n".join([*self.lines, self.here(text)])
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        self.lines += [line for line in text.splitlines() if re.match(r"[A-Z]+=", line)]
        return done.stdout

    def start(self, text):
        """A client in a terminal of its own: it draws prompts, so it is given a dumb one."""
        script = "\n".join([*self.lines, f"exec {self.here(text)}"])
        env = {**os.environ, "TERM": "dumb"}
        return Client(subprocess.Popen(
            ["bash", "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        ))


class Client:
    def __init__(self, process):
        self.process = process
        self.text = ""
        self.wait_for(lambda line: line.startswith("Connected"))

    def type(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()

    def frame(self):
        return self.wait_for(lambda line: line.startswith("< "))[2:]

    def wait_for(self, fits):
        """The next line that fits. The client moves its cursor about: what is left without that are lines."""
        deadline = time.monotonic() + 30
        while True:
            *lines, rest = self.text.split("\n")
            for at, line in enumerate(lines):
                if fits(line.strip()):
                    self.text = "\n".join([*lines[at + 1 :], rest])
                    return line.strip()
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            read = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not read:
                sys.exit(f"the client said no more; it had said:\n{self.text}")
            text = read.decode()
            self.text += re.sub(r"\x1b(?:\[[0-9;]*[A-Za-z]|[78])", "\n", text).replace("\r", "\n")
