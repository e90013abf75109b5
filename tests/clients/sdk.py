"""`websockets` connects, boto3 posts to, reads and deletes the connection. Takes the stack's port."""

import json
import sys
from urllib.parse import quote

import boto3
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

port = sys.argv[1]
api = boto3.client(
    "apigatewaymanagementapi",
    endpoint_url=f"http://127.0.0.1:{port}/main",
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="key",
)

with connect(f"ws://127.0.0.1:{port}/main") as socket:
    socket.send(json.dumps({"action": "echo"}))
    connection = json.loads(socket.recv(timeout=10))["requestContext"]["connectionId"]
    api.post_to_connection(ConnectionId=connection, Data="from boto3 ✓".encode())
    assert socket.recv(timeout=10) == "from boto3 ✓"
    described = api.get_connection(ConnectionId=connection)
    assert described["Identity"]["SourceIp"] == "127.0.0.1", described
    assert described["Identity"]["UserAgent"].startswith("Python/"), described
    assert described["ConnectedAt"] <= described["LastActiveAt"], described
    try:
        api.post_to_connection(ConnectionId=connection, Data=b"x" * (128 * 1024 + 1))
        sys.exit("too much was accepted")
    except api.exceptions.PayloadTooLargeException:
        pass
    api.delete_connection(ConnectionId=connection)
    try:
        socket.recv(timeout=10)
        sys.exit("the connection was not closed")
    except ConnectionClosed as closed:
        assert (closed.rcvd.code, closed.rcvd.reason) == (1000, "Connection Closed Normally"), closed

for call in [
    lambda: api.post_to_connection(ConnectionId=connection, Data=b"late"),
    lambda: api.get_connection(ConnectionId=connection),
    lambda: api.delete_connection(ConnectionId=connection),
]:
    try:
        call()
        sys.exit("a closed connection is still there")
    except api.exceptions.GoneException:
        pass

# The client offers subprotocols, and the $connect function chooses one.
chosen = quote('{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"two"}}')
with connect(f"ws://127.0.0.1:{port}/main?answer={chosen}", subprotocols=["one", "two"]) as socket:
    assert socket.subprotocol == "two"

print("ok: websockets and boto3")
