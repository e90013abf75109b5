"""Whether a deployment does what it is for: two people connect, one sends, the other one gets it, and history has it.

    pip install websockets
    JWT_SECRET=… python3 infra/smoke.py WEBSOCKET_URL HTTP_URL

The secret is what the deployment verifies tokens with (or a JSON array of such). Where an identity provider signs them, give two
people's tokens as TOKEN_A and TOKEN_B instead. JWT_ISSUER and JWT_AUDIENCE are what the deployment was given as such. It leaves a conversation of two users, `smoke-a` and `smoke-b`, with one message more each time.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

# A first invocation of each function, with a database that may have to wake up.
PATIENCE = 60


def token(user):
    if given := os.environ.get(f"TOKEN_{user[-1].upper()}"):
        return given
    secret = os.environ.get("JWT_SECRET") or sys.exit("set JWT_SECRET, or TOKEN_A and TOKEN_B")
    if secret.startswith("["):
        secret = json.loads(secret)[0]
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    claims = {"sub": user, "exp": int(time.time()) + 600}
    claims |= {claim: os.environ[name] for claim, name in [("iss", "JWT_ISSUER"), ("aud", "JWT_AUDIENCE")] if os.environ.get(name)}
    signed = b".".join(encode(json.dumps(part).encode()) for part in [{"alg": "HS256", "typ": "JWT"}, claims])
    return b".".join([signed, encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())]).decode()


def subject(token):
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]


def step(what, work):
    began = time.monotonic()
    for attempt in range(PATIENCE):
        try:
            result = work()
            print(f"ok: {what} ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)
            return result
        # What passes by itself while functions and the database start.
        except (urllib.error.HTTPError, InvalidStatus) as error:
            status = error.code if isinstance(error, urllib.error.HTTPError) else error.response.status_code
            if status < 500 or time.monotonic() - began > PATIENCE:
                sys.exit(f"failed: {what}: status {status}")
            time.sleep(1)
        except (OSError, TimeoutError, AssertionError) as error:
            sys.exit(f"failed: {what}: {error!r}")
    sys.exit(f"failed: {what}: it took too long")


def main(websocket_url, http_url):
    tokens = [token("smoke-a"), token("smoke-b")]

    def request(path, body=None):
        headers = {"authorization": f"Bearer {tokens[0]}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(http_url.rstrip("/") + path, data, headers), timeout=PATIENCE) as answer:
            return json.load(answer)

    def refused():
        try:
            connect(f"{websocket_url}?token=nonsense", open_timeout=PATIENCE).close()
        except InvalidStatus as error:
            assert error.response.status_code == 401, f"status {error.response.status_code}"
            return
        raise AssertionError("it was let in")

    def receive(socket, wanted):
        deadline = time.monotonic() + PATIENCE
        while True:
            frame = json.loads(socket.recv(timeout=deadline - time.monotonic()))
            assert frame.get("type") != "error", frame
            if wanted(frame):
                return frame["data"]

    def ask(socket, action, **fields):
        id = uuid.uuid4().hex
        socket.send(json.dumps({"action": action, "id": id, **fields}))
        return receive(socket, lambda frame: frame.get("id") == id)

    step("a token that makes no sense is refused", refused)
    a, b = (step(f"{subject(one)} connects", lambda: connect(f"{websocket_url}?token={one}", open_timeout=PATIENCE)) for one in tokens)
    with a, b:
        find = {"otherUserId": subject(tokens[1])}
        conversation = step("their conversation is found or made", lambda: request("/api/conversations/find-or-create", find))["conversationId"]
        for socket in a, b:
            step("one of them joins it", lambda: ask(socket, "join_conversation", conversationId=conversation))
        content = f"smoke test {uuid.uuid4()}"
        sent = step("a message is stored", lambda: ask(a, "send_message", conversationId=conversation, content=content))
        step("it is pushed", lambda: receive(b, lambda frame: frame.get("type") == "new_message" and frame["data"]["id"] == sent["id"]))
        history = step("history is read", lambda: request(f"/api/conversations/{conversation}/messages"))
        assert history["messages"][-1]["content"] == content, "failed: history lacks the message"
    print("ok: the deployment works")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
