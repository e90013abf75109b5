//! Everything goes wrong, one thing after another, and nothing is lost.
//!
//! Users chat while one thing after another fails (`strikes.rs`). Their clients follow the documentation
//! (`device.rs`). At the end what the clients saw is compared with the database, and both with what was
//! promised (`checker.rs`).
//!
//! A seed determines what fails, when, and whom it hits. Which invocation it hits depends on timing, so a
//! seed that failed may pass when it is repeated. Processes are killed, but the machine keeps running: what
//! Postgres has written to the operating system is not lost.

mod checker;
mod device;
mod guests;
mod strikes;
mod world;

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use harness::Server;

use device::Device;
use guests::{Group, Guest};
use strikes::Strikes;
use world::{USERS, World};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute and a half; CI runs it"]
async fn nothing_is_lost_whatever_fails() {
    let rounds = variable("FAULTS_ROUNDS").map_or(2, |text| text.parse().expect("FAULTS_ROUNDS is a number"));
    let seeds = variable("FAULTS_SEEDS").map_or(1..=1, |text| seeds(&text));
    for seed in seeds {
        // Printed first, since a panic does not tell it.
        println!(
            "FAULTS_SEEDS={seed} FAULTS_ROUNDS={rounds} cargo test --test it -- --ignored --nocapture faults"
        );
        let wrong = run(seed, rounds).await;
        assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    }
}

/// Runs a seed, prints what happened, and returns what is wrong.
async fn run(seed: u64, rounds: usize) -> Vec<String> {
    let world = World::begins().await;
    let mut server = Server::of(&world.host);
    let groups = Group::all(&world).await;
    let mut devices = Device::all(&world, &groups, seed).await;
    let guests = groups.iter().map(|group| Guest::of(&world, group, seed));
    let visiting = join_all(guests.map(|guest| tokio::spawn(guest.visits())));
    println!("seed {seed}: {USERS} users on {} devices, every fault {rounds} times", devices.len());

    let mut strikes = Strikes::new(&world, seed);
    let chatting = join_all(devices.into_iter().map(|device| tokio::spawn(device.chats())));
    let striking = async {
        strikes.strike(&mut server, rounds).await;
        world.is_troubled.store(false, Ordering::Relaxed);
    };
    let ((), chatted, visited, mut wrong) =
        tokio::join!(striking, chatting, visiting, checker::connections_while_troubled(&world));
    println!("{strikes}");
    wrong.extend(strikes.wrong());

    // After the trouble: all devices first send what they have not sent, then fetch what they miss.
    devices = chatted.into_iter().map(Result::unwrap).collect();
    join_all(devices.iter_mut().map(Device::settles)).await;
    join_all(devices.iter_mut().map(Device::catches_up)).await;
    wrong.extend(checker::messages(&world, &devices).await);
    wrong.extend(checker::events(&world).await);
    for guest in visited {
        wrong.extend(guest.unwrap().checks().await);
    }
    if !wrong.is_empty() {
        // A lost message matters more than anything below.
        return wrong;
    }
    wrong.extend(checker::presence(&world, &mut devices).await);
    wrong.extend(checker::connections_at_the_end(&world).await);
    wrong.extend(devices.into_iter().flat_map(|device| device.wrong));
    wrong
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `7` or `1-20`.
fn seeds(text: &str) -> RangeInclusive<u64> {
    let number = |text: &str| text.trim().parse().expect("FAULTS_SEEDS is a number or two, as in 1-20");
    match text.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(text)..=number(text),
    }
}
