//! Lambda: processes, how they end, and the Invoke API.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use harness::{Stack, eventually, eventually_within};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use uuid::Uuid;

async fn invoke(stack: &Stack, function: &str, payload: &Value) -> Response {
    Client::new().post(stack.invocations(function)).body(payload.to_string()).send().await.unwrap()
}

/// The result of a successful invocation.
async fn result(stack: &Stack, function: &str, payload: &Value) -> Value {
    let answer = invoke(stack, function, payload).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-amz-function-error"), "{:?}", answer.text().await);
    answer.json().await.unwrap()
}

/// The error of a failed invocation: its type, and its message without the request id.
async fn failure(stack: &Stack, function: &str, payload: &Value) -> (String, String) {
    let answer = invoke(stack, function, payload).await;
    assert_eq!(answer.status(), 200, "a function's error is no error of Lambda");
    assert_eq!(answer.headers()["x-amz-function-error"], "Unhandled");
    let id = answer.headers()["x-amzn-requestid"].to_str().unwrap().to_owned();
    let error: Value = answer.json().await.unwrap();
    let text = |name: &str| error[name].as_str().unwrap().to_owned();
    (text("errorType"), text("errorMessage").replace(&id, "ID"))
}

fn is(error_type: &str, message: &str) -> (String, String) {
    (error_type.to_owned(), message.to_owned())
}

#[tokio::test]
async fn an_invocation_has_a_result() {
    let stack = Stack::gateway();
    let answer = invoke(&stack, "echo", &json!({ "a": 1 })).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-amz-executed-version"], "$LATEST");
    assert!(answer.headers()["x-amzn-requestid"].to_str().unwrap().parse::<Uuid>().is_ok());
    assert_eq!(answer.json::<Value>().await.unwrap()["body"], r#"{"a":1}"#);

    for name in
        ["echo:$LATEST", "000000000000:function:echo", "arn:aws:lambda:us-east-1:000000000000:function:echo"]
    {
        assert_eq!(invoke(&stack, name, &json!({})).await.status(), 200, "{name}");
    }
}

#[tokio::test]
async fn a_caller_may_say_more_and_hear_more() {
    let stack = Stack::gateway();
    let context = json!({
        "client": { "installation_id": "i", "app_title": "t", "app_version_name": "v",
            "app_version_code": "c", "app_package_name": "p" },
        "custom": { "k": "v" },
        "env": {},
    });
    let answer = Client::new()
        .post(stack.invocations("echo"))
        .header("x-amz-log-type", "Tail")
        .header("x-amz-client-context", BASE64_STANDARD.encode(context.to_string()))
        .body("{}")
        .send()
        .await
        .unwrap();
    let log = BASE64_STANDARD.decode(answer.headers()["x-amz-log-result"].to_str().unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    let id = answer.headers()["x-amzn-requestid"].to_str().unwrap().to_owned();
    assert!(
        log.starts_with(&format!("START RequestId: {id} Version: $LATEST\nechoed\nEND RequestId: {id}\n")),
        "{log}"
    );
    let event: Value =
        serde_json::from_str(answer.json::<Value>().await.unwrap()["body"].as_str().unwrap()).unwrap();
    assert_eq!(event["clientContext"]["custom"]["k"], "v");
}

#[tokio::test]
async fn what_cannot_be_invoked_is_refused() {
    let stack = Stack::gateway();
    let refused = async |function: &str, headers: &[(&str, &str)], body: String| {
        let mut request = Client::new().post(stack.invocations(function)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let error_type = answer.headers()["x-amzn-errortype"].to_str().unwrap().to_owned();
        let status = answer.status().as_u16();
        (status, error_type, answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().to_owned())
    };
    let (status, error_type, message) = refused("nobody", &[], "{}".to_owned()).await;
    assert_eq!((status, error_type.as_str()), (404, "ResourceNotFoundException"));
    assert_eq!(message, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody:$LATEST");
    let (status, ..) = refused("echo:7", &[], "{}".to_owned()).await;
    assert_eq!(status, 404, "there is one version only");
    let (status, error_type, _) = refused("echo", &[], "{".to_owned()).await;
    assert_eq!((status, error_type.as_str()), (400, "InvalidRequestContentException"));
    let (status, error_type, _) = refused("echo", &[("x-amz-client-context", "?")], "{}".to_owned()).await;
    assert_eq!((status, error_type.as_str()), (400, "InvalidRequestContentException"));
    let (status, error_type, _) =
        refused("echo", &[("x-amz-invocation-type", "Sometimes")], "{}".to_owned()).await;
    assert_eq!((status, error_type.as_str()), (400, "InvalidParameterValueException"));
    let large = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let (status, error_type, _) = refused("echo", &[], large(6 * 1024 * 1024 + 100)).await;
    assert_eq!((status, error_type.as_str()), (413, "RequestTooLargeException"));
    let event = [("x-amz-invocation-type", "Event")];
    let (status, ..) = refused("echo", &event, large(1024 * 1024)).await;
    assert_eq!(status, 413, "an asynchronous event may be 1 MB");
}

#[tokio::test]
async fn other_kinds_of_invocation() {
    let stack = Stack::gateway();
    let invoke = async |kind: &str, function: &str, payload: Value| {
        let request = Client::new().post(stack.invocations(function)).header("x-amz-invocation-type", kind);
        request.body(payload.to_string()).send().await.unwrap()
    };
    let mark = Uuid::new_v4().to_string();
    let recorded = || stack.lines().iter().filter(|(_, line)| line["event"]["mark"] == mark).count();
    let dry = invoke("DryRun", "record", json!({ "mark": mark })).await;
    assert_eq!(dry.status(), 204);
    let event = invoke("Event", "record", json!({ "mark": mark })).await;
    assert!(!event.headers().contains_key("x-amz-executed-version"));
    assert_eq!((event.status().as_u16(), event.text().await.unwrap().as_str()), (202, ""));
    eventually("it is run all the same", async || recorded() == 1).await;

    // One that fails is repeated after a minute.
    let name = format!("switchboard-{}", Uuid::new_v4());
    let kept = || std::fs::read_to_string(format!("/tmp/{name}")).map_or(0, |kept| kept.lines().count());
    let began = Instant::now();
    invoke("Event", "counter", json!({ "name": name, "ms": 4500 })).await;
    eventually("it was tried", async || kept() == 1).await;
    eventually_within(Duration::from_secs(90), "it is tried again", async || kept() == 2).await;
    assert!(began.elapsed() > Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(recorded(), 1, "nothing was run dry");
    std::fs::remove_file(format!("/tmp/{name}")).unwrap();
}

#[tokio::test]
async fn a_process_that_ends_fails_its_event_only() {
    let stack = Stack::own_gateway(&["--max-instances", "1"]);
    assert_eq!(
        failure(&stack, "exit", &json!({ "status": 0 })).await,
        is("Runtime.ExitError", "RequestId: ID Error: Runtime exited without providing a reason")
    );
    assert_eq!(
        failure(&stack, "exit", &json!({ "status": 3 })).await,
        is("Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: exit status 3")
    );
    let (_, message) = failure(&stack, "panic", &json!({})).await;
    assert_eq!(message, "Lambda panicked: it panicked on purpose");
    let (_, message) = failure(&stack, "crash", &json!({})).await;
    assert_eq!(message, "it crashed on purpose", "exactly what the runtime said");
    let cold = |function: &str| {
        let reports = stack.records("platform.report");
        let of = reports.iter().filter(|(name, _)| name == function);
        of.map(|(_, report)| report["metrics"]["initDurationMs"].is_number()).collect::<Vec<_>>()
    };
    failure(&stack, "panic", &json!({})).await;
    assert_eq!(cold("panic"), [true, false], "after a panic the process lives on");
    assert_eq!(cold("exit"), [true, true]);
}

#[tokio::test]
async fn a_timeout_kills_the_process_and_keeps_the_files() {
    let stack = Stack::own_gateway(&[]);
    let name = format!("switchboard-{}", Uuid::new_v4());
    let count = |ms: u64| json!({ "name": name, "ms": ms });
    let first = result(&stack, "counter", &count(0)).await;
    let second = result(&stack, "counter", &count(0)).await;
    assert_eq!((&first["count"], &second["count"]), (&json!(1), &json!(2)), "a process keeps its memory");
    assert_eq!(first["process"], second["process"]);
    assert_eq!(
        failure(&stack, "counter", &count(8000)).await,
        is("Sandbox.Timedout", "RequestId: ID Error: Task timed out after 3.00 seconds")
    );
    let after = result(&stack, "counter", &count(0)).await;
    assert_eq!((&after["count"], &after["kept"]), (&json!(1), &json!(4)), "its memory is lost, /tmp is not");
    assert!(harness::has_ended(u32::try_from(first["process"].as_u64().unwrap()).unwrap()));
    std::fs::remove_file(format!("/tmp/{name}")).unwrap();
}

#[tokio::test]
async fn a_response_has_six_megabytes() {
    let stack = Stack::gateway();
    // The quotes count.
    let most = 6 * 1024 * 1024 + 100 - 2;
    let answer = result(&stack, "big", &json!({ "bytes": most })).await;
    assert_eq!(answer.as_str().unwrap().len(), most);
    assert_eq!(
        failure(&stack, "big", &json!({ "bytes": most + 1 })).await,
        is(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
        )
    );
}

#[tokio::test]
async fn a_start_has_ten_seconds_and_then_the_time_of_the_event() {
    let stack = Stack::own_gateway(&[]);
    let began = Instant::now();
    result(&stack, "late", &json!({})).await;
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(21), "10 s in vain, then 11 s as part of the event: {waited:?}");
    let starts =
        stack.records("function").iter().filter(|(name, line)| name == "late" && line == "starting").count();
    assert_eq!(starts, 2);

    let began = Instant::now();
    assert_eq!(
        failure(&stack, "too_late", &json!({})).await,
        is("Sandbox.Timedout", "RequestId: ID Error: Task timed out after 1.00 seconds")
    );
    assert!(began.elapsed() > Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_managed_instance_works_on_many_events_at_once() {
    let stack = Stack::own_gateway(&["--max-instances", "1"]);
    let (second, four) = (json!({ "ms": 1000 }), json!({ "ms": 4000 }));
    let all = futures_util::future::join_all((0..8).map(|_| result(&stack, "many", &second)));
    let all = all.await;
    assert!(all.iter().all(|one| one["process"] == all[0]["process"]), "in one process");
    assert_eq!(all.iter().filter_map(|one| one["atOnce"].as_u64()).max(), Some(8));

    // A timeout is told, and the process goes on.
    let late = failure(&stack, "many", &four);
    let beside = async {
        // In the middle of the other, which nobody announces.
        tokio::time::sleep(Duration::from_millis(500)).await;
        result(&stack, "many", &json!({ "ms": 100 })).await
    };
    let (late, beside) = tokio::join!(late, beside);
    assert_eq!(late, is("Sandbox.Timedout", "RequestId: ID Error: Task timed out after 2.00 seconds"));
    assert_eq!(beside["process"], all[0]["process"]);
    // Until the one that was given up after 2 s has taken its 4; its answer then goes nowhere.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = result(&stack, "many", &json!({})).await;
    assert_eq!(after["process"], all[0]["process"], "even when its answer has come too late");
}

#[tokio::test]
async fn busy_functions_wait_in_line_or_are_throttled() {
    let slow = json!({ "ms": 700, "body": "x" });
    let waiting = Stack::own_gateway(&["--max-instances", "1"]);
    let (first, second) = tokio::join!(invoke(&waiting, "slow", &slow), invoke(&waiting, "slow", &slow));
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));

    let throttling = Stack::own_gateway(&["--max-instances", "1", "--throttle"]);
    result(&throttling, "slow", &json!({})).await;
    result(&throttling, "slow", &json!({})).await;
    let (first, second) =
        tokio::join!(invoke(&throttling, "slow", &slow), invoke(&throttling, "slow", &slow));
    assert_ne!(first.status(), second.status(), "only the one that is too many");
    let refused = if first.status() == 429 { first } else { second };
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["x-amzn-errortype"], "TooManyRequestsException");
    assert_eq!(
        refused.json::<Value>().await.unwrap(),
        json!({
            "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
            "Type": "User",
            "message": "Rate Exceeded.",
        })
    );
}

#[tokio::test]
async fn a_function_finds_the_environment_of_the_real_runtime() {
    let stack = Stack::gateway();
    let found = result(&stack, "environment", &json!({})).await;
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", "environment"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "192"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/environment"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
        ("LANG", "en_US.UTF-8"),
        ("TZ", ":UTC"),
        ("_HANDLER", "bootstrap"),
        ("OWN", "value"),
        ("GIVEN", "by default"),
        ("CHOSEN", "the default"),
    ] {
        assert_eq!(found[name], value, "{name}");
    }
    for present in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
        "LD_LIBRARY_PATH",
        "PATH",
    ] {
        assert!(found[present].is_string(), "{present}");
    }
    for absent in ["AWS_EXECUTION_ENV", "AWS_LAMBDA_MAX_CONCURRENCY", "HOME", "CARGO", "SOMETIMES"] {
        assert!(found.get(absent).is_none(), "{absent} is of this machine alone");
    }
}
