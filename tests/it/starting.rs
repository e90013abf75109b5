//! What `cargo dev` prints when something is wrong: one clear line, and exit status 1. How it starts
//! Postgres.

use harness::{Database, Stack, StackOptions, connect, folder, run_to_end, run_to_end_with};
use std::net::TcpListener;
use std::process::Output;

use crate::people::Client;

/// The line with the error.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(said.trim_end().ends_with(errors[0]), "it is the last line: {said}");
    errors[0].to_owned()
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refusal(&run_to_end(&["--port", &port]));
    assert!(
        said.starts_with(&format!("error: port {port} cannot be used: Address already in use")),
        "{said}"
    );
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let url = "postgres://nobody:secret@127.0.0.1:1/none";
    let said = refusal(&run_to_end(&["--port", "0", "--database-url", url]));
    assert!(said.starts_with("error: no Postgres at the database URL: "), "{said}");
    assert!(!said.contains("secret"), "the password stays out of it: {said}");
}

#[test]
fn a_template_that_is_not_understood_is_refused_by_name() {
    let folder = folder();
    let template = folder.path().join("template.yaml");
    let path = template.to_str().unwrap();
    let refused = |text: &str| {
        std::fs::write(&template, text).unwrap();
        let said = refusal(&run_to_end(&["--port", "0", "--template", path]));
        said.strip_prefix(&format!("error: {path}: ")).unwrap_or(&said).to_owned()
    };
    assert_eq!(
        refused("Resources: {Bucket: {Type: AWS::S3::Bucket}}"),
        "Bucket: the type AWS::S3::Bucket is not supported here"
    );
    assert_eq!(
        refused(
            "Resources: {Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP, \
                RouteSelectionExpression: x}}}"
        ),
        "Api: the protocol HTTP is not supported here"
    );
    assert_eq!(
        refused("Resources: {Table: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: !Ref Nothing}}}"),
        "Table: refers to Nothing, which is neither a parameter nor a resource"
    );
    let function = "{Type: AWS::Serverless::Function, Metadata: {BuildMethod: rust-cargolambda, \
        BuildProperties: {Binary: x}}, Properties: {Runtime: provided.al2023, CodeUri: ., Layers: []}}";
    assert!(refused(&format!("Resources: {{F: {function}}}")).starts_with("F: unknown field `Layers`"));
    assert!(refused(": nonsense: [").starts_with("is not YAML: "));
}

#[tokio::test]
async fn a_variable_that_a_function_refuses_is_named() {
    let database = Database::create().await;
    let refused = |env: &[(&str, &str)]| {
        let args = ["--port", "0", "--database-url", &database.url];
        let said = refusal(&run_to_end_with(&args, env));
        let (function, said) = said.split_once(" does not start: ").unwrap_or_else(|| panic!("{said}"));
        assert!(function.starts_with("error: ") && !said.contains("MfKQ"), "{said}");
        said.to_owned()
    };
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (url, reason) in [
        ("http://example.com/events", "must be an https URL"),
        ("ftp://127.0.0.1/events", "must be an https URL"),
        ("example.com", "is not a URL: relative URL without a base"),
    ] {
        let said = refused(&[("EVENTS_URL", url), ("EVENTS_SECRET", secret)]);
        assert_eq!(said, format!("the environment variable EVENTS_URL {reason}"));
    }
    let url = ("EVENTS_URL", "http://localhost:9100");
    assert_eq!(refused(&[url]), "the environment variable EVENTS_SECRET is not set");
    for value in ["secret", r#"["whsec_MfKQ", 5]"#, r#"["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]"#] {
        let said = refused(&[url, ("EVENTS_SECRET", value)]);
        assert!(said.starts_with("the environment variable EVENTS_SECRET "), "{said}");
    }
    let said = refused(&[("JWT_AUDIENCE", "switchboard"), ("SERVICE_AUDIENCE", "switchboard")]);
    let why = "is that of JWT_AUDIENCE: every token of a user would have it";
    assert_eq!(said, format!("the environment variable SERVICE_AUDIENCE {why}"));
    let said = refused(&[("RETENTION_DAYS", "a while")]);
    assert!(said.starts_with("the environment variable RETENTION_DAYS cannot be read: "), "{said}");
    assert!(refused(&[("PRESENCE_AUDIENCE", "nobody")]).contains("PRESENCE_AUDIENCE"));
}

#[tokio::test]
async fn a_token_from_the_command_line_opens_a_connection() {
    let stack = Stack::shared();
    let token = |args: &[&str]| {
        std::process::Command::new(env!("CARGO"))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args(["--quiet", "dev", "token"])
            .args(args)
            .env("JWT_SECRET", &stack.secret)
            .output()
            .unwrap()
    };
    let printed = token(&["alice", "--name", "Alice", "--expires-in", "5m"]);
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    Client::connect(&stack, printed.trim())
        .await
        .expect("it is signed with the stack's secret")
        .closes()
        .await;

    let offered: serde_json::Value =
        reqwest::get(stack.http("/dev/token?user=alice")).await.unwrap().json().await.unwrap();
    Client::connect(&stack, offered["token"].as_str().unwrap()).await.expect("so is this one").closes().await;
    assert_eq!(token(&[""]).status.code(), Some(1), "nobody has no name");
}

#[tokio::test]
async fn postgres_has_room_for_the_connections_of_every_process() {
    let args = &["--ephemeral", "--max-instances", "20"];
    let stack = Stack::start(&StackOptions { args, ..StackOptions::default() });
    let database = connect(stack.postgres_url()).await;
    let room: String = database.query_one("show max_connections", &[]).await.unwrap().get(0);
    // Sixteen functions use the database. Each has twenty processes at most, and a process two connections.
    assert!(room.parse::<u32>().unwrap() >= 16 * 20 * 2, "{room}");
}
