"""Fuzzes what reads outside input: frames, events, requests, cursors, tokens and the template.

    python3 tests/fuzz.py [SECONDS] [TARGET ...]

Each target gets so many seconds (10 unless told). What breaks one is kept in target/fuzz-artifacts, and
tried before all else when that target runs again.
"""

import json
import os
import subprocess
import sys

from stack import ROOT

CARGO_FUZZ = "0.13.2"
TOOLS = ROOT / "target/cargo-fuzz"
EVENTS = [path.read_text() for path in sorted((ROOT / "tests/events").glob("*.json"))]
FRAMES = [event["body"] for event in map(json.loads, EVENTS) if event.get("body")]
ID = "0197f1c0-0000-7000-8000-000000000000"
CURSOR = f"1700000000000000_{ID}"

# The targets, and for each what is right: a fuzzer that has to find that by itself hardly gets beyond what is refused.
SEEDS = {
    "frames": FRAMES,
    "events": EVENTS,
    "requests": [f"Bearer a.b.c\n{ID}\nlimit=100&before={ID}&cursor={CURSOR}\n{body}" for body in FRAMES],
    "cursors": [CURSOR, ID, "L0SM9cOFvHcCIhw=", "alice"],
    "tokens": [json.dumps({"sub": "alice", "name": "Alice", "picture": "https://example.com/a.png", "exp": 4102444800})],
    "template": [(ROOT / "infra/template.yaml").read_text()],
}

# A token that is refused for its signature would tell nothing of how its claims are read.
ENVIRONMENT = {
    **os.environ,
    "JWT_SECRET": "a secret of thirty-two bytes or more, for the fuzzer",
    "PATH": f"{TOOLS}/bin:{os.environ['PATH']}",
    # Coverage is counted by flags of the compiler that only its nightly version takes without this.
    "RUSTC_BOOTSTRAP": "1",
}

# Nothing here is unsafe, so there is nothing for a sanitizer to find.
OPTIONS = ["--fuzz-dir", "tests/fuzz", "--target-dir", "target/fuzz", "--sanitizer", "none"]


def fuzz(target, seconds):
    corpus, artifacts = ROOT / "target/fuzz-corpus" / target, ROOT / "target/fuzz-artifacts"
    corpus.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    seeds = corpus.with_name(f"{target}-seeds")
    seeds.mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        (seeds / str(number)).write_text(seed)
    command = ["cargo", "fuzz", "run", *OPTIONS, target, corpus, seeds, artifacts]
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={artifacts}/{target}-", "-print_final_stats=1"]
    done = subprocess.run([*command, "--", *limits], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    runs = next((line.split()[-1] for line in done.stdout.splitlines() if line.startswith("stat::number_of_executed_units")), None)
    if done.returncode != 0 or runs is None:
        print(done.stdout)
        sys.exit(f"the fuzzer stopped at {target}; to run what broke it again: python3 tests/fuzz.py {seconds} {target}")
    print(f"{target}: {runs} inputs, none of which broke it")


def main():
    asked = sys.argv[1:]
    seconds = int(asked.pop(0)) if asked and asked[0].isdigit() else 10
    install = ["cargo", "install", "--quiet", "--debug", "--locked", "--root", TOOLS, "--version", CARGO_FUZZ, "cargo-fuzz"]
    subprocess.run(install, cwd=ROOT, check=True)
    # In one call, which compiles several at once.
    subprocess.run(["cargo", "fuzz", "build", *OPTIONS, *(asked if len(asked) == 1 else [])], cwd=ROOT, check=True, env=ENVIRONMENT)
    for target in asked or SEEDS:
        fuzz(target, seconds)
    print("ok: the fuzz targets")


main()
