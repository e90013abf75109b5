//! `cargo dev --as-on-aws`: functions are as slow as on AWS.

use std::sync::Arc;

use harness::{Stack, StackOptions, children, eventually, has_ended};
use nix::sys::signal::Signal;

use crate::people::{Pair, pair};

/// Whether a process is stopped.
fn is_frozen(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
}

/// The microseconds of a period that a process may run, if they are limited.
fn quota(pid: u32) -> Option<u64> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.lines().filter_map(|line| line.rsplit_once(":/")).find_map(|(_, path)| {
        let one = std::fs::read_to_string(format!("/sys/fs/cgroup/cpu/{path}/cpu.cfs_quota_us"));
        let text = one.or_else(|_| std::fs::read_to_string(format!("/sys/fs/cgroup/{path}/cpu.max"))).ok()?;
        text.split_whitespace().next()?.parse().ok()
    })
}

/// The durations of a function, in milliseconds, in order.
fn durations(stack: &Stack, function: &str) -> Vec<f64> {
    let reports = stack.records("platform.report").into_iter().filter(|(of, _)| of == function);
    reports.filter_map(|(_, report)| report["metrics"]["durationMs"].as_f64()).collect()
}

#[tokio::test]
async fn functions_are_far_from_what_they_call_and_frozen_between_events() {
    let options = StackOptions { args: &["--ephemeral", "--as-on-aws"], ..StackOptions::default() };
    let stack = Arc::new(Stack::start(&options));
    let Pair { alice, alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    for _ in 0..3 {
        let sent = phone.says(&conversation, "from far away").await;
        assert_eq!(bob_phone.receives_message().await, sent);
        alice.reads(&conversation, "?markRead=false").await;
    }
    // A round trip to Postgres, one to DynamoDB and one to the callbacks; and one to Postgres alone.
    for (function, round_trips) in [("send_message", 1.0 + 4.0 + 15.0), ("list_messages", 1.0)] {
        let took = async || durations(&stack, function).len() == 3;
        eventually("each event is reported", took).await;
        let all = durations(&stack, function);
        assert!(all.iter().all(|duration| *duration >= round_trips), "{function}: {all:?}");
    }
    let variables = std::fs::read_to_string(stack.data_dir().join("functions.env")).unwrap();
    for encrypted in ["AWS_ENDPOINT_URL_DYNAMODB=https:", "PUSH_ENDPOINT=https:", "sslmode=verify-full"] {
        assert!(variables.contains(encrypted), "{encrypted}");
    }
    let functions = children(stack.pid).into_iter().filter(|(_, name)| name == "send_message");
    let pids: Vec<_> = functions.map(|(pid, _)| pid).collect();
    if cfg!(target_os = "linux") {
        assert!(!pids.is_empty());
        eventually("a function without an event is frozen", async || pids.iter().all(|pid| is_frozen(*pid)))
            .await;
        // 512 of 1,769 MB in 20 ms, unless no control group can be made here.
        let quota = pids.iter().find_map(|pid| quota(*pid));
        assert!(quota == Some(5788) || stack.log().contains("all processors"), "{quota:?}");
    }
    phone.says(&conversation, "awake again").await;

    stack.signal(Signal::SIGTERM);
    assert!(stack.wait().success());
    let log = stack.log();
    let bill = log.lines().rfind(|line| line.starts_with("send_message "));
    let bill = bill.expect("the stack prints what each function would be billed");
    let cells: Vec<_> = bill.split_whitespace().collect();
    assert_eq!((cells.len(), cells[1]), (8, "512"), "{bill}");
}

#[tokio::test]
async fn a_killed_stack_leaves_no_frozen_function_behind() {
    let options = StackOptions { args: &["--ephemeral", "--as-on-aws"], ..StackOptions::default() };
    let stack = Arc::new(Stack::start(&options));
    let Pair { .. } = pair(&stack).await;
    let all = children(stack.pid);
    assert!(all.iter().any(|(_, name)| name == "connect"), "{all:?}");
    stack.signal(Signal::SIGKILL);
    stack.wait();
    let ended = async || all.iter().all(|(pid, _)| has_ended(*pid));
    eventually("all of its processes have ended", ended).await;
}
