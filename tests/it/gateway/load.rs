//! Many connections and many messages, for a minute. Not part of `cargo test`: `.ci/run` runs it by name.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Socket, Stack, eventually, raise_open_files};
use serde_json::json;
use tokio::time::{interval, timeout};

const CONNECTIONS: usize = 2000;
const MESSAGES_PER_SECOND: u32 = 200;
const SECONDS: u32 = 60;

/// The resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute of load on both processors would disturb the others; CI runs it"]
async fn two_thousand_connections_lose_nothing_and_leak_nothing() {
    raise_open_files();
    let stack = Stack::own_gateway(&[]);
    let mut sockets = Vec::new();
    while sockets.len() < CONNECTIONS {
        // As many at once as the gateway has processes for `$connect`.
        let opening = (0..8).map(|_| Socket::open(&stack, "main"));
        sockets.extend(join_all(opening).await.into_iter().map(|socket| socket.expect("there is room")));
    }
    // Once around, so that everything is warm that is to stay.
    for socket in &mut sockets {
        socket.asks(r#"{"action":"echo"}"#).await;
    }
    let mut resident_at = vec![resident(stack.pid)];

    let began = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) / MESSAGES_PER_SECOND);
    let total = MESSAGES_PER_SECOND * SECONDS;
    let mut sending = Vec::new();
    let mut idle = sockets.into_iter().collect::<std::collections::VecDeque<_>>();
    let (done, mut returned) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..total {
        ticks.tick().await;
        if n == total / 2 {
            resident_at.push(resident(stack.pid));
        }
        while let Ok(socket) = returned.try_recv() {
            idle.push_back(socket);
        }
        let mut socket = idle.pop_front().expect("most of them wait for their turn");
        let done = done.clone();
        sending.push(tokio::spawn(async move {
            let sent = json!({ "action": "echo", "n": n }).to_string();
            let asked = Instant::now();
            socket.sends(sent.clone()).await;
            let answer = timeout(Duration::from_secs(20), socket.receives_json()).await;
            let ok = answer.is_ok_and(|answer| answer["body"] == sent);
            let _ = done.send(socket);
            (ok, asked.elapsed())
        }));
    }
    let mut times = Vec::new();
    let mut lost = 0;
    for sent in sending {
        match sent.await.expect("it does not panic") {
            (true, time) => times.push(time),
            (false, _) => lost += 1,
        }
    }
    let took = began.elapsed();
    resident_at.push(resident(stack.pid));
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!(
        "{CONNECTIONS} connections, {total} messages in {:.1} s: {lost} lost; p50 {:?}, p99 {:?}; gateway \
            {resident_at:?} KiB before, in the middle and after",
        took.as_secs_f64(),
        at(0.5),
        at(0.99),
    );
    assert_eq!(lost, 0);
    assert!(took < Duration::from_secs(u64::from(SECONDS) + 3), "it keeps up: {took:?}");
    assert!(at(0.99) < Duration::from_secs(1), "{:?}", at(0.99));
    // The first half brings some of the allocator's slack. The second has 6,000 messages, and a leak of as
    // little as 350 bytes in each would show.
    assert!(resident_at[2] < resident_at[1] + 2 * 1024, "{resident_at:?}");

    drop((idle, returned));
    let open = async || {
        let all: serde_json::Value =
            reqwest::get(stack.http("/dev/connections")).await.unwrap().json().await.unwrap();
        all["connections"].as_array().unwrap().len()
    };
    eventually("every connection ends", async || open().await == 0).await;
}
