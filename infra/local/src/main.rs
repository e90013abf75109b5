//! The local stack: API Gateway, Lambda, DynamoDB and Postgres on one machine, as the SAM template says.
//!
//! It knows nothing of messaging: like the real gateway it selects a route by an expression, so it cannot
//! hide mistakes of our functions.

mod acceptor;
mod as_on_aws;
mod callbacks;
mod cli;
mod compile;
mod dev_api;
mod file_error;
mod http;
mod keeper;
mod lambda;
mod listener;
mod pages;
mod policy;
mod request;
mod schedule;
mod services;
mod serving;
mod stack;
mod steps;
mod template;
mod throttle;
mod token;
mod variables;
mod watch;
mod websocket;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command, TokenArgs};
use mimalloc::MiMalloc;
use stack::StackError;
use token::{Kind, TokenError};

/// Every message is many small allocations: with the default allocator they took an eighth of this process's
/// time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done: Result<(), StackError> = match cli.command {
        Some(Command::KeepChildren) => {
            keeper::run();
            Ok(())
        }
        Some(Command::Token(args)) => print_token(&args).map_err(Into::into),
        None => stack::run(cli.stack),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn print_token(args: &TokenArgs) -> Result<(), TokenError> {
    let secret = token::secret(&args.data.data_dir)?;
    let kind = if args.service { Kind::Service } else { Kind::User };
    println!("{}", token::issue(&secret, &args.user, args.name.as_deref(), kind, args.expires_in)?);
    Ok(())
}
