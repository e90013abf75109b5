"""cargo lambda: it runs the functions, by hand and behind the local gateway, as the README says.

    python3 tests/cargo_lambda.py

`cargo dev --lambda-endpoint` serves the APIs and the databases; `cargo lambda watch`, from PyPI's package, runs the functions with
the variables that `cargo dev` has written to a file; `cargo lambda invoke` and a WebSocket client use them.
"""

import json
import os
import subprocess
import sys
import time

from stack import CARGO_LAMBDA, ROOT, Stack, environment, free_port

VARIABLES = "target/suite-data/functions.env"


def invoke(port, function):
    """What a function answers to its event file."""
    command = ["cargo", "lambda", "invoke", function, "--data-file", f"tests/events/{function}.json"]
    done = subprocess.run(
        [*command, "--invoke-address", "127.0.0.1", "--invoke-port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=600
    )
    return json.loads(done.stdout)


def chat(stack):
    """Two clients talk over the gateway."""
    from urllib.request import Request, urlopen

    from websockets.sync.client import connect

    def token(user):
        return json.load(urlopen(f"{stack.url}/dev/token?user={user}"))["token"]

    def ask(socket, **frame):
        socket.send(json.dumps({"id": "1", **frame}))
        while (answer := json.loads(socket.recv(timeout=60))).get("id") != "1":
            pass
        return answer

    tokens = {user: token(user) for user in ["alice", "bob"]}
    address = f"ws://127.0.0.1:{stack.port}/v1?token="
    with connect(address + tokens["alice"], open_timeout=300) as alice, connect(address + tokens["bob"]) as bob:
        request = Request(
            f"{stack.url}/api/conversations/find-or-create",
            data=json.dumps({"otherUserId": "bob"}).encode(),
            headers={"authorization": f"Bearer {tokens['alice']}"},
        )
        conversation = json.load(urlopen(request))["conversationId"]
        for socket in [alice, bob]:
            assert ask(socket, action="join_conversation", conversationId=conversation)["type"] == "joined_conversation"
        sent = ask(alice, action="send_message", conversationId=conversation, content="through cargo lambda")
        assert sent["data"]["seq"] == 1, sent
        while (pushed := json.loads(bob.recv(timeout=60)))["type"] != "new_message":
            pass
        assert pushed["data"] == sent["data"], (pushed, sent)


def main():
    bin = environment("target/cargo-lambda", CARGO_LAMBDA, "websockets==17.4")
    os.environ["PATH"] = f"{bin}:{os.environ['PATH']}"
    sys.path.append(str(next(bin.parent.glob("lib/python3*/site-packages"))))
    (ROOT / VARIABLES).unlink(missing_ok=True)
    port = free_port()
    with Stack("--lambda-endpoint", f"http://127.0.0.1:{port}", until=None) as stack:
        while not (ROOT / VARIABLES).exists():
            assert stack.process.poll() is None, "cargo dev has ended"
            # Nobody tells when the file is there.
            time.sleep(0.1)
        watch = ["cargo", "lambda", "watch", "--env-file", VARIABLES, "--invoke-address", "127.0.0.1"]
        watching = subprocess.Popen([*watch, "--invoke-port", str(port), "--ignore-changes"], cwd=ROOT)
        try:
            stack.wait_for("ready")
            assert invoke(port, "connect")["statusCode"] == 200
            pong = json.loads(invoke(port, "ping")["body"])
            assert (pong["type"], pong["id"]) == ("pong", "5"), pong
            chat(stack)
        finally:
            watching.terminate()
            watching.wait()
    print("ok: cargo lambda")


main()
