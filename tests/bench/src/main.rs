//! The benchmark: how many messages Switchboard handles per second on this machine, and what they cost.
//!
//! `cargo run --profile no-lto --bin bench` starts the stack with a durable Postgres and takes its measures
//! one after another, so that none disturbs another. It prints tables, and writes `bench.json` and two plots
//! to `target/bench`. The stack is built with the same profile as this program: with `--release` the
//! functions are as they are deployed, and without either they are not optimised, so ignore the figures.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod aws;
mod chat;
mod compare;
mod floor;
mod functions;
mod growth;
mod measure;
mod origin;
mod participants;
mod report;
mod rest;
mod stack;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::report::Report;

/// Measures Switchboard on this machine.
#[derive(Debug, Parser)]
struct Args {
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// The measures to take
    #[arg(long, value_enum, num_args = 1.., default_values = ["compare", "floor", "chat", "rest", "functions",
        "participants", "growth", "aws", "memory"])]
    only: Vec<Part>,
    /// How many rounds the comparisons take
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where the figures and the plot are written
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Switchboard beside Postgres alone and the origin design, in turn
    Compare,
    /// Postgres alone, for what this machine can do at best
    Floor,
    /// Pairs of users who send, at several rates
    Chat,
    /// The HTTP API
    Rest,
    /// Cold starts and warm events of each function
    Functions,
    /// Large conversations and lists beside small ones
    Participants,
    /// More connections, messages and conversations
    Growth,
    /// What Lambda would bill
    Aws,
    /// What Lambda would bill with other sizes of memory
    Memory,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let seconds = std::time::Duration::from_secs(args.seconds);
    let stack = Arc::new(stack::start());
    let mut report = Report::default();
    let needs_world = |part| matches!(part, &Part::Compare | &Part::Rest);
    let world = match args.only.iter().any(needs_world) {
        true => Some(Arc::new(rest::world(&stack).await)),
        false => None,
    };
    let world = || world.as_ref().expect("made if a part needs it");
    for part in [
        Part::Compare,
        Part::Floor,
        Part::Chat,
        Part::Rest,
        Part::Functions,
        Part::Participants,
        Part::Growth,
        Part::Aws,
        Part::Memory,
    ] {
        if !args.only.contains(&part) {
            continue;
        }
        match part {
            Part::Compare => {
                report.compare.extend(compare::measure(&stack, world(), seconds, args.rounds).await);
            }
            Part::Floor => report.floor = floor::measure(&stack, seconds / 2).await,
            Part::Chat => report.chat = chat::measure(&stack, seconds).await,
            Part::Rest => report.rest = rest::measure(world(), seconds / 2).await,
            Part::Functions => report.functions = functions::measure(&stack).await,
            Part::Participants => {
                report.compare.extend(participants::measure(&stack, args.rounds).await);
            }
            Part::Growth => {
                let (growth, open) = growth::measure(&stack).await;
                (report.growth, report.open) = (growth, Some(open));
            }
            Part::Aws => report.aws = aws::measure(args.rounds, 8 * args.seconds).await,
            Part::Memory => report.memory = aws::sizes(args.rounds, 8 * args.seconds).await,
        }
    }
    drop(stack);
    report.print();
    report.write(&args.out);
    if report.failures() > 0 {
        eprintln!("messages were lost or doubled, or requests failed: see above");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
