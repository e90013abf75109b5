//! Changing a function while it runs, and reading its log.

use std::path::Path;

use harness::{Socket, Stack, StackOptions, eventually, folder};
use serde_json::json;

/// A function without dependencies, which is built in a moment: the Runtime API is only HTTP.
const FUNCTION: &str = r##"
use std::io::{Read, Write};
use std::net::TcpStream;

fn ask(address: &str, request: String) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn main() {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let (address, base) = api.trim_start_matches("http://").split_once('/').unwrap();
    let base = format!("/{base}/2018-06-01/runtime/invocation");
    loop {
        let event = ask(address, format!("GET {base}/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        let id = event.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: ")).unwrap();
        let body = r#"{"body":"ANSWER"}"#;
        let length = body.len();
        let head = format!("POST {base}/{id}/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        ask(address, format!("{head}Content-Length: {length}\r\n\r\n{body}"));
    }
}
"##;

const TEMPLATE: &str = r#"
Resources:
  Spoken:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: spoken } }
    Properties: { Runtime: provided.al2023, CodeUri: . }
  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: $request.body.action
      Routes:
        $default: { FunctionArn: !GetAtt Spoken.Arn, RouteResponseSelectionExpression: $default }
  Response:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: { ApiId: !Ref Api, RouteId: !Ref ApiDefaultRoute, RouteResponseKey: $default }
"#;

fn write(folder: &Path, answer: &str) {
    std::fs::write(folder.join("src/main.rs"), FUNCTION.replace("ANSWER", answer)).unwrap();
}

#[tokio::test]
async fn a_changed_function_is_swapped_while_its_clients_stay() {
    let project = folder();
    std::fs::create_dir(project.path().join("src")).unwrap();
    let manifest = "[package]\nname = \"spoken\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::write(project.path().join("template.yaml"), TEMPLATE).unwrap();
    write(project.path(), "one");
    let template = project.path().join("template.yaml");
    let args = ["--watch", "--ephemeral", "--template", template.to_str().unwrap()];
    let stack = Stack::start(&StackOptions { args: &args, ..StackOptions::default() });
    let mut socket = Socket::open(&stack, "default").await.unwrap();
    assert_eq!(socket.asks("?").await, "one");

    write(project.path(), "two");
    eventually("it is swapped", async || stack.log().contains("swapped spoken")).await;
    assert_eq!(socket.asks("?").await, "two", "on the same connection");

    std::fs::write(project.path().join("src/main.rs"), "no Rust").unwrap();
    eventually("the mistake is told", async || stack.log().contains("the functions go on as they were"))
        .await;
    assert_eq!(socket.asks("?").await, "two");

    write(project.path(), "three");
    let swaps = || stack.log().matches("swapped spoken").count();
    eventually("it is swapped again", async || swaps() == 2).await;
    assert_eq!(socket.asks("?").await, "three");
}

#[tokio::test]
async fn the_log_is_for_people_unless_programs_ask() {
    let stack = Stack::own_gateway(&["--log-format", "text"]);
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    let of = |function: &str| {
        let log = stack.log();
        // The last line may still be written.
        let (log, _) = log.rsplit_once('\n').unwrap_or_default();
        let lines = log.lines().filter_map(|line| line.split_once(&format!(" {function} ")));
        // Between the time and what happened is the beginning of the request id.
        lines.map(|(_, rest)| rest.split_at(9).1.to_owned()).collect::<Vec<_>>()
    };
    socket.asks(r#"{"action":"crash"}"#).await;
    let reports = || of("echo").into_iter().filter(|line| line.contains(" ms")).collect::<Vec<_>>();
    // The first process may not be free again yet when the second event comes.
    while reports().iter().all(|line| line.contains(", cold start ")) {
        socket.asks(r#"{"action":"echo"}"#).await;
    }
    assert!(reports()[0].contains(" ms, cold start "), "{:?}", reports());
    eventually("what they wrote is there", async || of("echo").contains(&"echoed".to_owned())).await;
    assert!(of("crash")[0].contains("cold start"), "{:?}", of("crash"));
    assert!(!stack.log().contains('\u{1b}'), "colours are for terminals");
}

#[tokio::test]
async fn who_is_connected_can_be_looked_at() {
    let stack = Stack::gateway();
    let mut socket =
        Socket::open_with(&stack, "guarded?token=t", &[("user-agent", "a story")]).await.unwrap();
    socket.sends("{}").await;
    let id = socket.receives_json().await["requestContext"]["connectionId"].clone();
    let listed = async || {
        let all = reqwest::get(stack.http("/dev/connections")).await.unwrap();
        let all: serde_json::Value = all.json().await.unwrap();
        all["connections"].as_array().unwrap().iter().find(|one| one["connectionId"] == id).cloned()
    };
    let found = listed().await.expect("it is connected");
    assert_eq!(found["stage"], "guarded");
    assert_eq!(found["identity"], json!({ "sourceIp": "127.0.0.1", "userAgent": "a story" }));
    assert_eq!(found["authorizer"]["principalId"], "somebody");
    assert!(found["connectedAt"].is_string() && found["lastActiveAt"].is_string());
    socket.closes(None).await;
    eventually("it is listed no longer", async || listed().await.is_none()).await;
}
