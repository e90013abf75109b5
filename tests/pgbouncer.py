"""PgBouncer: the functions behind a pooler, by session and by transaction.

    python3 tests/pgbouncer.py

One stack lends its Postgres; PgBouncer stands in front of it with two connections; a second stack uses that, and twenty people talk.
Debian's PgBouncer is 1.18, which knows nothing of prepared statements: behind one like it, `pgbouncer=true` in the URL is needed.
"""

import concurrent.futures
import contextlib
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import Request, urlopen

from stack import ROOT, Stack, environment, free_port

POOL = 2
PAIRS = 10
MESSAGES = 10


class Pooler:
    """A PgBouncer in front of a database; ends with the block."""

    def __init__(self, folder, server, mode):
        self.port = free_port()
        # It is told not to run as root.
        user = "user = nobody" if os.geteuid() == 0 else ""
        (folder / "users.txt").write_text('"pooled" "secret"\n')
        (folder / "pgbouncer.ini").write_text(
            f"""[databases]
{server.dbname}_{mode} = host={server.host} port={server.port} dbname={server.dbname}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = {mode}
default_pool_size = {POOL if mode == "transaction" else 60}
ignore_startup_parameters = {"" if mode == "transaction" else "options"}
{user}
"""
        )
        self.process = subprocess.Popen(["pgbouncer", "-q", folder / "pgbouncer.ini"], stderr=subprocess.DEVNULL)
        self.url = f"postgres://pooled:secret@127.0.0.1:{self.port}/{server.dbname}_{mode}"

    def __enter__(self):
        import psycopg

        for _ in range(200):
            assert self.process.poll() is None, "PgBouncer has ended"
            try:
                return psycopg.connect(self.url).close() or self
            except psycopg.OperationalError:
                # It tells nobody when it listens.
                time.sleep(0.05)
        sys.exit("PgBouncer does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def receiver():
    """A backend that takes events: the type and the id of each."""
    taken = set()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            event = json.loads(self.rfile.read(int(self.headers["content-length"])))
            taken.add((event["type"], event["id"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["EVENTS_URL"] = f"http://127.0.0.1:{server.server_port}"
    try:
        yield taken
    finally:
        server.shutdown()


def serve(stack, user):
    """A backend does what it may, with every function that uses Postgres for it."""
    command = ["cargo", "--quiet", "dev", "token", "backend", "--service"]
    token = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def ask(method, path, body=None):
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        request = Request(f"{stack.url}{path}", data=body and json.dumps(body).encode(), headers=headers, method=method)
        with urlopen(request) as answer:
            return json.load(answer)

    conversation = ask("POST", "/service/conversations", {"participantIds": ["shop", user]})["id"]
    body = {"senderId": "shop", "content": "hello", "clientMessageId": "one"}
    message = ask("POST", f"/service/conversations/{conversation}/messages", body)["id"]
    assert ask("DELETE", f"/service/messages/{message}")["deletedAt"]
    assert ask("GET", f"/service/users/export?userId={user}")["user"]["id"] == user
    ask("DELETE", f"/service/users?userId={user}")
    report = Request(f"{stack.url}/2015-03-31/functions/apply_retention/invocations", b"{}")
    assert json.load(urlopen(report))["isDone"]


def talk(stack, pair):
    """Two people talk, each with every function that uses Postgres."""
    from websockets.sync.client import connect

    def ask(socket, **frame):
        socket.send(json.dumps({"id": "1", **frame}))
        while (answer := json.loads(socket.recv(timeout=60))).get("id") != "1":
            pass
        assert answer["type"] != "error", answer
        return answer["data"]

    def http(path, user, body=None):
        headers = {"authorization": f"Bearer {tokens[user]}", "content-type": "application/json"}
        return json.load(urlopen(Request(f"{stack.url}{path}", data=body and json.dumps(body).encode(), headers=headers)))

    alice, bob = f"alice-{pair}", f"bob-{pair}"
    tokens = {user: json.load(urlopen(f"{stack.url}/dev/token?user={user}"))["token"] for user in [alice, bob]}
    address = f"ws://127.0.0.1:{stack.port}/v1?token="
    with connect(address + tokens[alice], open_timeout=60) as a, connect(address + tokens[bob], open_timeout=60) as b:
        conversation = http("/api/conversations/find-or-create", alice, {"otherUserId": bob})["conversationId"]
        for socket in [a, b]:
            ask(socket, action="join_conversation", conversationId=conversation)
        for number in range(MESSAGES):
            sent = ask(a, action="send_message", conversationId=conversation, content=f"number {number}")
            assert sent["seq"] == number + 1, sent
            ask(b, action="mark_read", conversationId=conversation)
            ask(b, action="ping")
        assert http("/api/conversations", bob)["conversations"][0]["unreadCount"] == 0
        messages = http(f"/api/conversations/{conversation}/messages", bob)["messages"]
        assert [message["seq"] for message in messages] == list(range(1, MESSAGES + 1)), messages
        # Statements that are sent behind one that locks the conversation.
        edited = ask(a, action="edit_message", messageId=sent["id"], content="the last one", metadata={"edited": True})
        assert edited["message"]["content"] == "the last one", edited
        assert ask(b, action="add_reaction", messageId=sent["id"], reaction="\N{THUMBS UP SIGN}")["change"] == 2
        changes = http(f"/api/conversations/{conversation}/changes", bob)
        assert (changes["lastChange"], len(changes["messages"])) == (2, 1), changes
        group = http("/api/conversations", alice, {"title": "Both", "participantIds": [bob]})["id"]
        reply = ask(b, action="send_message", conversationId=group, content="hello")
        assert ask(a, action="delete_message", messageId=reply["id"])["message"]["deletedAt"], "the owner deletes it"
        assert http(f"/api/conversations/{group}/participants", alice, {"userIds": [bob]}) == {"participantCount": 2}
        for method in ["PUT", "DELETE"]:
            block = Request(f"{stack.url}/api/blocks?userId={bob}", headers={"authorization": f"Bearer {tokens[alice]}"}, method=method)
            assert urlopen(block).status == 204


def wait_for(taken, kind, count):
    """The backend is told of so many events of a type."""
    for _ in range(600):
        told = sum(of == kind for of, _ in list(taken))
        if told >= count:
            return
        time.sleep(0.1)
    sys.exit(f"the backend was told of {told} {kind} instead of {count}")


def check(server, mode, options, limit):
    import psycopg

    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        with Pooler(folder, server, mode) as pooler:
            # By session a connection is a process's own: four of each function that uses Postgres.
            with receiver() as taken, Stack("--max-instances", "4", data="target/pgbouncer-data", database=pooler.url + options) as stack:
                with concurrent.futures.ThreadPoolExecutor(PAIRS) as people:
                    list(people.map(lambda pair: talk(stack, f"{mode}-{pair}"), range(PAIRS)))
                wait_for(taken, "switchboard.message.created", PAIRS * (MESSAGES + 1))
                serve(stack, f"alice-{mode}-0")
                wait_for(taken, "switchboard.user.erased", 1)
                with psycopg.connect(server.url) as admin:
                    used = admin.execute("select count(*) from pg_stat_activity where usename = 'pooled'").fetchone()[0]
                assert 0 < used <= limit, f"{used} connections to Postgres"
                print(f"ok: by {mode}, {PAIRS * MESSAGES} messages over {used} connections to Postgres", flush=True)


class Server:
    """A new database on a running stack's Postgres, which a role of its own owns."""

    dbname = "pooled"

    def __init__(self, url):
        import psycopg

        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("create role pooled login password 'secret'")
            admin.execute(f"create database {self.dbname} owner pooled")
            self.host, self.port = admin.info.host, admin.info.port
        self.url = url.rsplit("/", 1)[0] + f"/{self.dbname}"


def main():
    packages = environment("target/pgbouncer", "psycopg[binary]==3.3.9", "websockets==17.4").parent
    sys.path.append(str(next(packages.glob("lib/python3*/site-packages"))))
    os.environ.update(
        JWT_ISSUER="https://example.com", SERVICE_AUDIENCE="switchboard-service", EVENTS_SECRET="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    )
    with Stack() as lender:
        server = Server(lender.addresses["Postgres"])
        check(server, "transaction", "?pgbouncer=true", POOL)
        # Connections belong to processes, as without a pooler; it ignores the time limit in their options.
        check(server, "session", "", 60)
    print("ok: PgBouncer")


main()
