//! The events that functions get.

use harness::{Socket, Stack, eventually_within};
use serde_json::{Value, json};

use super::{keys, recorded};

/// The members of a `requestContext` that every event of a connection has.
const CONTEXT: [&str; 13] = [
    "apiId",
    "connectedAt",
    "connectionId",
    "domainName",
    "eventType",
    "extendedRequestId",
    "identity",
    "messageDirection",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "routeKey",
    "stage",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = [&CONTEXT, more].concat();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn a_life_is_told_from_its_authorizer_to_its_end() {
    let stack = Stack::gateway();
    let headers =
        [("User-Agent", "a story"), ("x-twice", "1"), ("x-twice", "2"), ("x-forwarded-for", "1.2.3.4")];
    let mut socket =
        Socket::open_with(&stack, "guarded?token=t&q=1&q=2", &headers).await.expect("everybody is allowed");
    socket.sends(r#"{"service":"doc","action":"send_back","n":1}"#).await;
    let message = socket.receives_json().await;
    let id = message["requestContext"]["connectionId"].as_str().unwrap().to_owned();
    let connect = recorded(&stack, "$connect", &id).await;
    socket.closes(None).await;
    let disconnect = recorded(&stack, "$disconnect", &id).await;

    let asked = stack.lines().into_iter().find(|(function, line)| {
        function == "allow" && line["event"]["requestContext"]["connectionId"] == *id
    });
    let (_, asked) = asked.expect("the authorizer writes its event down");
    let asked = &asked["event"];
    assert_eq!(asked["type"], "REQUEST");
    assert_eq!(asked["methodArn"], "arn:aws:execute-api:us-east-1:000000000000:guarded/guarded/$connect");
    assert_eq!(asked["queryStringParameters"], json!({ "token": "t", "q": "2" }));
    assert_eq!(asked["multiValueQueryStringParameters"], json!({ "token": ["t"], "q": ["1", "2"] }));
    assert_eq!(asked["stageVariables"], json!({ "colour": "green" }));
    assert_eq!(asked["headers"]["Upgrade"], "websocket");
    assert_eq!(asked["headers"]["content-length"], "0");
    assert!(asked.get("pathParameters").is_none());

    assert_eq!(
        keys(&connect),
        [
            "headers",
            "isBase64Encoded",
            "multiValueHeaders",
            "multiValueQueryStringParameters",
            "queryStringParameters",
            "requestContext",
            "stageVariables"
        ]
    );
    assert_eq!(connect["headers"]["User-Agent"], "a story");
    assert_eq!(connect["multiValueHeaders"]["X-Twice"], json!(["1", "2"]));
    assert_eq!(connect["headers"]["X-Forwarded-Proto"], "https");
    assert_eq!(connect["headers"]["X-Forwarded-For"], "127.0.0.1", "whatever the client says");
    for absent in ["Connection", "Upgrade"] {
        assert!(connect["headers"].get(absent).is_none(), "{absent} is the gateway's own");
    }
    let context = &connect["requestContext"];
    assert_eq!(keys(context), with(&["authorizer"]));
    assert_eq!(context["eventType"], "CONNECT");
    assert_eq!(context["identity"], json!({ "sourceIp": "127.0.0.1", "userAgent": "a story" }));
    assert_eq!(context["requestId"], context["extendedRequestId"]);
    assert!(context["requestTimeEpoch"].as_i64() >= context["connectedAt"].as_i64());
    assert_eq!(id.len(), 16);
    assert!(id.ends_with('='), "ids need to be encoded in URLs");
    assert_eq!(context["authorizer"]["n"], "1", "everything becomes a string");
    assert_eq!(context["authorizer"]["b"], "true");
    assert_eq!(context["authorizer"]["principalId"], "somebody");
    assert!(context["authorizer"]["integrationLatency"].is_u64(), "but the gateway's own number");

    assert_eq!(keys(&message), ["body", "isBase64Encoded", "requestContext"]);
    assert_eq!(message["body"], r#"{"service":"doc","action":"send_back","n":1}"#);
    let said = &message["requestContext"];
    assert_eq!(keys(said), with(&["authorizer", "messageId"]));
    assert_eq!((&said["eventType"], &said["routeKey"]), (&json!("MESSAGE"), &json!("doc/send_back")));
    assert_eq!(said["connectedAt"], context["connectedAt"]);
    assert_ne!(said["requestId"], context["requestId"]);
    let authorizer = json!({ "n": "1", "b": "true", "s": "text", "principalId": "somebody" });
    assert_eq!(said["authorizer"], authorizer, "without the latency");

    assert_eq!(keys(&disconnect), ["headers", "isBase64Encoded", "multiValueHeaders", "requestContext"]);
    assert_eq!(keys(&disconnect["headers"]), ["Host", "X-Forwarded-For", "x-api-key", "x-restapi"]);
    let ended = &disconnect["requestContext"];
    assert_eq!(keys(ended), with(&["authorizer", "disconnectReason", "disconnectStatusCode"]));
    assert_eq!(ended["eventType"], "DISCONNECT");
    assert_eq!(ended["authorizer"], authorizer);
}

#[tokio::test]
async fn without_an_authorizer_there_is_nothing_of_one() {
    let stack = Stack::gateway();
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    socket.sends(r#"{"action":"echo"}"#).await;
    let message = socket.receives_json().await;
    assert_eq!(keys(&message["requestContext"]), with(&["messageId"]));
    assert_eq!(
        message["requestContext"]["identity"],
        json!({ "sourceIp": "127.0.0.1" }),
        "it said no user agent"
    );
}

#[tokio::test]
async fn a_schedule_tells_when_it_was() {
    let stack = Stack::own_gateway(&[]);
    let scheduled = || {
        let events = stack.lines().into_iter().map(|(_, line)| line["event"].clone());
        events.into_iter().find(|event| event["detail-type"] == "Scheduled Event")
    };
    let began = std::time::Instant::now();
    let patience = std::time::Duration::from_secs(75);
    eventually_within(patience, "a minute has passed", async || scheduled().is_some()).await;
    assert!(began.elapsed().as_secs() > 50, "and not before");
    let event = scheduled().expect("it was just found");
    assert_eq!(event["source"], "aws.events");
    assert_eq!(
        keys(&event),
        ["account", "detail", "detail-type", "id", "region", "resources", "source", "time", "version"]
    );
}

#[tokio::test]
async fn an_http_event_is_of_format_two() {
    let stack = Stack::gateway();
    let asked = reqwest::Client::new()
        .get(stack.http("/things/a%20b%2Fc?x=1&x=2&y=%C3%A4&empty="))
        .header("Cookie", "one=1; two=2")
        .header("X-Twice", "1")
        .header("x-twice", "2")
        .header("user-agent", "a story")
        .send()
        .await
        .unwrap();
    let event: Value = asked.json().await.unwrap();
    assert_eq!(
        keys(&event),
        [
            "cookies",
            "headers",
            "isBase64Encoded",
            "pathParameters",
            "queryStringParameters",
            "rawPath",
            "rawQueryString",
            "requestContext",
            "routeKey",
            "version"
        ]
    );
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "ANY /things/{id}");
    assert_eq!(event["rawPath"], "/things/a b/c", "decoded");
    assert_eq!(event["pathParameters"], json!({ "id": "a b/c" }));
    assert_eq!(event["rawQueryString"], "x=1&x=2&y=%C3%A4&empty=", "not decoded");
    assert_eq!(event["queryStringParameters"], json!({ "x": "1,2", "y": "ä", "empty": "" }));
    assert_eq!(event["cookies"], json!(["one=1", "two=2"]));
    assert!(event["headers"].get("cookie").is_none());
    assert_eq!(event["headers"]["x-twice"], "1,2");
    let context = &event["requestContext"];
    assert_eq!(
        keys(context),
        [
            "accountId",
            "apiId",
            "domainName",
            "domainPrefix",
            "http",
            "requestId",
            "routeKey",
            "stage",
            "time",
            "timeEpoch"
        ]
    );
    assert_eq!(
        context["http"],
        json!({
            "method": "GET",
            "path": "/things/a b/c",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "a story",
        })
    );
    assert_eq!(context["stage"], "$default");

    let bare: Value = reqwest::get(stack.http("/echo")).await.unwrap().json().await.unwrap();
    for absent in ["cookies", "queryStringParameters", "pathParameters", "body", "stageVariables"] {
        assert!(bare.get(absent).is_none(), "{absent} has nothing to say");
    }
    assert_eq!(bare["rawQueryString"], "");
}
