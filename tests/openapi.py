"""Holds both HTTP APIs against their OpenAPI documents: schemathesis makes requests, valid and invalid, and checks every answer.

    python3 tests/openapi.py
"""

import json
import os
import subprocess
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from stack import ROOT, Stack, environment


def main():
    bin = environment("target/openapi", "schemathesis==4.32.5")
    # They open the service API.
    os.environ.update(JWT_ISSUER="https://example.com", SERVICE_AUDIENCE="switchboard-service")
    with Stack("--log-format", "json", "--max-instances", "2") as stack:
        def token(user):
            return json.load(urlopen(f"{stack.url}/dev/token?user={user}"))["token"]

        def post(user, other):
            headers = {"authorization": f"Bearer {token(user)}", "content-type": "application/json"}
            body = json.dumps({"otherUserId": other}).encode()
            return json.load(urlopen(Request(f"{stack.url}/api/conversations/find-or-create", body, headers)))

        # Somebody has to be there to talk to: who asks is known from then on, even if nobody is found.
        for user in ["alice", "bob"]:
            try:
                post(user, "nobody")
            except HTTPError as refused:
                assert refused.code == 404, refused
        conversation = post("alice", "bob")["conversationId"]
        # With a conversation that exists, so that answers are seen and not only refusals.
        config = ROOT / "target/openapi/schemathesis.toml"
        operations = [f"""
[[operations]]
include-operation-id = "{operation}"
parameters = {{ conversationId = "{conversation}" }}
""" for operation in ["listMessages", "sendMessage", "addParticipants"]]
        config.write_text("".join(operations))
        command = ["cargo", "--quiet", "dev", "token", "backend", "--service"]
        service = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        # The service last: it erases whom it names.
        for document, caller in [("openapi.json", token("alice")), ("service.json", service)]:
            command = [bin / "schemathesis", "--config-file", config, "run", ROOT / "infra/web/docs" / document, "--url", stack.url]
            checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"
            options = ["--header", f"Authorization: Bearer {caller}", "--checks", checks, "--max-examples", "60", "--seed", "1"]
            # It leaves files where it runs.
            subprocess.run([*command, *options, "--phases", "coverage,fuzzing"], cwd=config.parent, check=True, timeout=300)


main()
