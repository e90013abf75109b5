//! The HTTP API: routes, responses, refusals.

use harness::Stack;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

async fn get(stack: &Stack, path: &str) -> Response {
    reqwest::get(stack.http(path)).await.unwrap()
}

/// The status and the body of a response.
async fn outcome(answer: Response) -> (u16, String) {
    assert!(answer.headers().contains_key("apigw-requestid"), "every answer has an id");
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A response of the gateway itself.
fn message(status: u16, text: &str) -> (u16, String) {
    (status, json!({ "message": text }).to_string())
}

#[tokio::test]
async fn the_most_specific_route_is_taken() {
    let stack = Stack::gateway();
    let route = async |method: Method, path: &str| -> String {
        let answer = Client::new().request(method, stack.http(path)).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["routeKey"].as_str().unwrap().to_owned()
    };
    assert_eq!(route(Method::GET, "/things/that").await, "GET /things/that");
    assert_eq!(route(Method::GET, "/things/other").await, "ANY /things/{id}");
    assert_eq!(route(Method::PUT, "/things/other").await, "PUT /things/{id}");
    assert_eq!(route(Method::DELETE, "/things/that").await, "ANY /things/{id}");
    let file: Value = get(&stack, "/files/a/b%20c/d").await.json().await.unwrap();
    assert_eq!(file["routeKey"], "GET /files/{path+}");
    assert_eq!(file["pathParameters"]["path"], "a/b c/d", "greedy, decoded, without the slash before");
    for unknown in [
        "/",
        "//things/that",
        "/things//that",
        "/things/that/",
        "/nowhere",
        "/things",
        "/things/a/b",
        "/files/",
    ] {
        assert_eq!(outcome(get(&stack, unknown).await).await, message(404, "Not Found"), "{unknown}");
    }
}

#[tokio::test]
async fn the_answer_of_a_function_becomes_a_response() {
    let stack = Stack::gateway();
    let respond = async |answer: Value| {
        let body = json!({ "answer": answer }).to_string();
        Client::new().post(stack.http("/answer")).body(body).send().await.unwrap()
    };
    let plain = respond(json!({ "a": 1, "headers": { "x-ignored": "1" } })).await;
    assert_eq!(plain.headers()["content-type"], "application/json");
    assert!(!plain.headers().contains_key("x-ignored"), "without a status it is all body");
    assert_eq!(outcome(plain).await, (200, r#"{"a":1,"headers":{"x-ignored":"1"}}"#.to_owned()));
    assert_eq!(outcome(respond(json!("just text")).await).await, (200, "just text".to_owned()), "unquoted");
    assert_eq!(outcome(respond(json!([1, 2])).await).await, (200, "[1,2]".to_owned()));

    let full = respond(json!({
        "statusCode": 201,
        "headers": { "X-Own": "yes", "x-number": 5, "Content-Length": "3" },
        "cookies": ["a=1; Path=/", "b=2"],
        "body": "YmluYXJ5/w==",
        "isBase64Encoded": true,
    }))
    .await;
    assert_eq!(full.status(), 201);
    assert_eq!(full.headers()["content-type"], "text/plain; charset=utf-8", "unless it says another");
    assert_eq!(
        (&full.headers()["x-own"], &full.headers()["x-number"]),
        (&"yes".parse().unwrap(), &"5".parse().unwrap())
    );
    let cookies: Vec<_> =
        full.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(cookies, ["a=1; Path=/", "b=2"]);
    assert_eq!(full.bytes().await.unwrap().as_ref(), b"binary\xff");

    for (code, status) in [(json!("201"), 201), (json!(202.0), 202)] {
        assert_eq!(respond(json!({ "statusCode": code })).await.status(), status, "{code}");
    }
    for broken in [
        json!({ "statusCode": 200.5 }),
        json!({ "statusCode": "" }),
        json!({ "statusCode": null }),
        json!({ "statusCode": [200] }),
        json!({ "statusCode": 0 }),
        json!({ "statusCode": "many" }),
        json!({ "statusCode": 101 }),
        json!({ "statusCode": 700 }),
        json!({ "statusCode": 200, "body": { "no": "text" } }),
        json!({ "statusCode": 200, "body": "no Base64!", "isBase64Encoded": true }),
        json!({ "statusCode": 200, "headers": { "no name": "x" } }),
    ] {
        let answer = outcome(respond(broken.clone()).await).await;
        assert_eq!(answer, message(500, "Internal Server Error"), "{broken}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_text_travel_in_base64() {
    let stack = Stack::gateway();
    let echoed = async |headers: &[(&str, &str)], body: Vec<u8>| -> (Value, Value) {
        let mut request = Client::new().post(stack.http("/echo")).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let event: Value = request.send().await.unwrap().json().await.unwrap();
        (event["body"].clone(), event["isBase64Encoded"].clone())
    };
    let (text, encoded) = ((json!("text"), json!(false)), (json!("dGV4dA=="), json!(true)));
    for kind in [
        "text/plain",
        "text/html; charset=utf-8",
        "TEXT/CSV",
        "application/json",
        "application/json;charset=UTF-8",
        "application/xml",
        "application/javascript",
    ] {
        assert_eq!(echoed(&[("content-type", kind)], "text".into()).await, text, "{kind}");
        let zipped = [("content-type", kind), ("content-encoding", "gzip")];
        assert_eq!(echoed(&zipped, "text".into()).await, encoded, "{kind}, encoded");
    }
    for kind in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream; x=y",
        "application/problem+json",
        "application/msgpack",
        "image/svg+xml",
        "font/woff2",
        "nonsense",
    ] {
        assert_eq!(echoed(&[("content-type", kind)], "text".into()).await, encoded, "{kind}");
    }
    assert_eq!(echoed(&[], "text".into()).await, encoded, "no type at all");
    let no_text = echoed(&[("content-type", "text/plain")], vec![0xff]).await;
    assert_eq!(no_text, (json!("/w=="), json!(true)), "no text after all");
}

#[tokio::test]
async fn pages_come_after_what_an_api_serves() {
    let stack = Stack::shared();
    assert!(get(&stack, "/").await.text().await.unwrap().contains("<title>Switchboard</title>"));
    assert_eq!(get(&stack, "/api/conversations").await.status(), 401, "the API decides first");
    for path in [format!("/{}", "x".repeat(300)), format!("/{}", "x/".repeat(3000)), "/%00".to_owned()] {
        let answer = outcome(get(&stack, &path).await).await;
        assert_eq!(answer, message(404, "Not Found"), "{path:.20}");
    }
    let long_id = get(&stack, &format!("/api/conversations/{}/messages", "x".repeat(300))).await;
    assert_eq!(long_id.status(), 401);
    // A WebSocket is not a page, wherever it asks for one.
    for path in ["", "docs/", "nowhere", "api/conversations"] {
        let refused = harness::Socket::open(&stack, path).await.expect_err("there is no such stage");
        assert_eq!(refused.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_script_is_run_without_its_comments_and_read_with_them() {
    let stack = Stack::shared();
    let script = async |method: Method, loaded_for: &str, name: &str, value: &str| {
        let request = Client::new().request(method, stack.http("/page/main.js"));
        let answer = request.header("sec-fetch-dest", loaded_for).header(name, value).send().await.unwrap();
        assert_eq!(answer.headers()["vary"], "sec-fetch-dest");
        answer
    };
    let source = include_str!("../../../infra/web/page/main.js");
    let read = script(Method::GET, "document", "accept", "*/*").await;
    assert_eq!(read.text().await.unwrap(), source);

    let run = script(Method::GET, "script", "accept", "*/*").await;
    assert!(!run.headers().contains_key("accept-ranges"), "ranges are those of the file");
    let modified = run.headers()["last-modified"].to_str().unwrap().to_owned();
    let length = run.content_length();
    let code = run.text().await.unwrap();
    assert_eq!(length, Some(code.len() as u64));
    assert!(!code.contains("/**") && source.contains("/**"), "{code}");
    assert_eq!(code.lines().count(), source.lines().count(), "errors name the lines of the source");

    // Everything else is about the file.
    let unchanged = script(Method::GET, "script", "if-modified-since", &modified).await;
    assert_eq!(unchanged.status(), 304);
    let part = script(Method::GET, "script", "range", "bytes=0-1").await;
    assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, "//"));
    let head = script(Method::HEAD, "script", "accept", "*/*").await;
    assert_eq!(head.headers()["content-length"], *source.len().to_string());
}

#[tokio::test]
async fn what_goes_wrong_has_the_gateways_own_words() {
    let stack = Stack::gateway();
    assert_eq!(outcome(get(&stack, "/crash").await).await, message(500, "Internal Server Error"));
    for host in ["a[b", "a{b", "a b", "xn--a", ""] {
        let unsound = Client::new().get(stack.http("/echo")).header("host", host).send().await.unwrap();
        assert_eq!(outcome(unsound).await, message(400, "Bad Request"), "{host}");
    }
    assert_eq!(outcome(get(&stack, "/slow?ms=2000").await).await, message(503, "Service Unavailable"));
    assert_eq!(outcome(get(&stack, "/shut").await).await, message(429, "Too Many Requests"));
    let post = async |bytes: usize| {
        let answer = Client::new().post(stack.http("/echo")).body("x".repeat(bytes)).send().await.unwrap();
        outcome(answer).await
    };
    let too_large = message(413, "Request Entity Too Large");
    assert_eq!(post(6 * 1024 * 1024 + 200).await, too_large, "more than Lambda takes");
    assert_eq!(post(10 * 1024 * 1024 + 1).await, too_large, "more than API Gateway takes");
    let long =
        Client::new().get(stack.http("/echo")).header("x-long", "x".repeat(10_240)).send().await.unwrap();
    assert_eq!(long.status(), 431);
}

#[tokio::test]
async fn an_integration_has_thirty_seconds() {
    let stack = Stack::gateway();
    let began = std::time::Instant::now();
    assert_eq!(outcome(get(&stack, "/patient?ms=35000").await).await, message(503, "Service Unavailable"));
    assert!(began.elapsed().as_secs() >= 29, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_authorizer_guards_a_route() {
    let stack = Stack::gateway();
    let ask = async |path: &str, identity: Option<&str>| {
        let mut request = Client::new().get(stack.http(path));
        if let Some(identity) = identity {
            request = request.header("Authorization", identity);
        }
        request.send().await.unwrap()
    };
    assert_eq!(outcome(ask("/members", None).await).await, message(401, "Unauthorized"), "not even asked");
    assert_eq!(outcome(ask("/members", Some("no")).await).await, message(403, "Forbidden"));
    let failed = outcome(ask("/members", Some("nonsense")).await).await;
    assert_eq!(failed, message(500, "Internal Server Error"));
    let context = async |path: &str| {
        let event: Value = ask(path, Some("yes")).await.json().await.unwrap();
        event["requestContext"]["authorizer"]["lambda"].clone()
    };
    let first = context("/members").await;
    assert_eq!(first["b"], true, "as they are, unlike on a WebSocket");
    assert_eq!(first["list"], json!([1, "two"]));
    assert_eq!(first["routeArn"], "arn:aws:execute-api:us-east-1:000000000000:http/$default/GET/members");
    assert_eq!(context("/members").await, first, "it counts for a while");
    let unkept = context("/members/again?token=yes").await;
    assert_ne!(context("/members/again?token=yes").await, unkept, "not so where the template says nothing");
    assert_eq!(outcome(ask("/members/again", None).await).await, message(401, "Unauthorized"));
    assert_eq!(ask("/members/one?token=t", None).await.status(), 200);
    let other = outcome(ask("/members/other?token=t", None).await).await;
    assert_eq!(other, message(403, "Forbidden"), "the policy that is kept says nothing of this one");
    let by_policy: Value = ask("/members/policy", None).await.json().await.unwrap();
    assert_eq!(by_policy["requestContext"]["authorizer"]["lambda"], json!({ "list": [1] }));
}

#[tokio::test]
async fn the_gateway_answers_browsers_by_itself() {
    let stack = Stack::gateway();
    let ask = async |method: Method, path: &str, origin: Option<&str>| {
        let mut request = Client::new().request(method, stack.http(path));
        if let Some(origin) = origin {
            request = request.header("Origin", origin).header("Access-Control-Request-Method", "POST");
        }
        request.send().await.unwrap()
    };
    let allowed = |answer: &Response| {
        let mut all: Vec<_> = answer
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("access-control-"))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        all
    };
    let preflight = ask(Method::OPTIONS, "/anything/at/all", Some("https://app.example")).await;
    assert_eq!(preflight.status(), 204, "there is no such route, and no function was asked");
    assert_eq!(
        allowed(&preflight),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-headers: authorization",
            "access-control-allow-methods: GET,POST",
            "access-control-allow-origin: https://app.example",
            "access-control-max-age: 60",
        ]
    );
    let foreign = ask(Method::OPTIONS, "/echo", Some("https://other.example")).await;
    assert_eq!((foreign.status().as_u16(), allowed(&foreign)), (204, Vec::new()));
    let plain = ask(Method::GET, "/echo", None).await;
    assert_eq!(allowed(&plain), Vec::<String>::new(), "nobody asked from another origin");
    let bare = Client::new().request(Method::OPTIONS, stack.http("/echo"));
    let bare = bare.header("Origin", "https://app.example").send().await.unwrap();
    assert_eq!((bare.status().as_u16(), allowed(&bare)), (404, Vec::new()), "it asks for no method");
    let answered = ask(Method::GET, "/echo", Some("https://app.example")).await;
    assert_eq!(
        allowed(&answered),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://app.example",
            "access-control-expose-headers: x-shown",
        ]
    );
    let own = json!({ "answer": { "statusCode": 200, "headers": { "Access-Control-Allow-Origin": "*" } } });
    let own = Client::new().post(stack.http("/answer")).body(own.to_string());
    let nobody = own.try_clone().unwrap().send().await.unwrap();
    assert_eq!(allowed(&nobody), Vec::<String>::new(), "not even the function's own");
    let own = own.header("Origin", "https://app.example").send().await.unwrap();
    assert_eq!(
        own.headers()["access-control-allow-origin"],
        "https://app.example",
        "the function's is replaced"
    );
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own() {
    let stack = Stack::gateway();
    let id = async || {
        let answer = get(&stack, "/echo").await;
        let id = answer.headers()["apigw-requestid"].to_str().unwrap().to_owned();
        let event: Value = answer.json().await.unwrap();
        assert_eq!(event["requestContext"]["requestId"], id, "one for the caller and the function");
        id
    };
    assert_ne!(id().await, id().await);
}
