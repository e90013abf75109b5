"""Does what the section "From your backend" of the README says. tests/readme.py says what its blocks mean; besides, `sh stack` sets
variables for the stack, `sh NAME` starts a program that runs until the end, and `NAME` is a line that it prints.
"""

import os
import re
import subprocess
import sys
from urllib.request import Request, urlopen

from readme import Shell, Values, blocks
from stack import ROOT, Stack, free_port

SECTION = "From your backend"
PORT = "9100"


def main():
    receiver_port = str(free_port())
    here = lambda text: text.replace(PORT, receiver_port)
    for mark, text in blocks(SECTION):
        if mark == "sh stack":
            os.environ.update(re.findall(r"(\w+)=(\S+)", here(text)))
    # A message is unread after half a minute, and the schedule looks each minute.
    os.environ["UNREAD_AFTER_SECONDS"] = "1"
    programs = {}
    with Stack() as stack:
        try:
            take(stack, here, programs)
        finally:
            for program in programs.values():
                program.kill()
                program.wait()
    print("the backend did what the README says")


def take(stack, here, programs):
    shell, values, output = Shell(stack.port), Values(), None
    for mark, text in blocks(SECTION):
        match mark.split():
            case ["sh", "stack"]:
                pass
            case ["sh"]:
                output = shell.run(here(values.fill(text)))
            case ["json"]:
                values.compare(text, output)
            case ["sh", name]:
                script = f"exec {here(text)}"
                programs[name] = subprocess.Popen(["bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            case [name]:
                for line in text.splitlines():
                    expect(stack, programs[name], values.fill(line))


def expect(stack, program, line):
    """The program prints the line. The stack is told to look for what is unread, as its schedule does."""
    for _ in range(60):
        subprocess.run(["sleep", "1.5"], check=True)
        url = f"{stack.url}/2015-03-31/functions/deliver_events/invocations"
        urlopen(Request(url, b"{}")).read()
        printed = program.stdout.readline().rstrip("\n")
        if printed == line:
            return
        if printed:
            sys.exit(f"the README says\n  {line}\nbut the program printed\n  {printed}")
    sys.exit(f"the program never printed {line}")


main()
