//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::lambda::LogFormat;

/// Runs Switchboard on this machine: builds the functions, starts Postgres and DynamoDB, and serves the APIs
/// of the template.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints a token that is signed with the local secret
    Token(TokenArgs),
    /// Ends the child processes of the stack when it is killed; started by the stack
    #[command(name = crate::keeper::ARGUMENT, hide = true)]
    KeepChildren,
}

#[derive(Debug, Args)]
pub(crate) struct StackArgs {
    /// The port to serve at; 0 for any that is free
    #[arg(long, default_value_t = 8700)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Start with an empty database, and throw it away at the end
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Use this Postgres instead of running one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Build the functions optimised, as for AWS
    #[arg(long, conflicts_with = "profile")]
    release: bool,
    /// Build the functions with this profile of cargo
    #[arg(long, default_value = "dev", value_name = "NAME")]
    profile: String,
    /// Run the functions in this folder instead of building them
    #[arg(long, hide = true, conflicts_with = "watch", value_name = "FOLDER")]
    pub(crate) binaries: Option<PathBuf>,
    /// The most processes of one function
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_instances: u16,
    /// Refuse events when all processes of a function are busy, instead of keeping them waiting
    #[arg(long)]
    pub(crate) throttle: bool,
    /// Close a connection after this long without a frame
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) idle_timeout: Duration,
    /// Close a connection that is this old
    #[arg(long, default_value = "2h", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) max_lifetime: Duration,
    /// Give functions the processor share of their memory, freeze them between events, and let them reach
    /// what they call over TLS and from as far away as on AWS
    #[arg(long, conflicts_with = "lambda_endpoint")]
    pub(crate) as_on_aws: bool,
    /// Give all functions this memory in MB instead of what the template says
    #[arg(long, value_name = "MB", hide = true, requires = "as_on_aws")]
    #[arg(value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) memory: Option<u32>,
    /// Build the functions again when their sources change
    #[arg(long, conflicts_with = "lambda_endpoint")]
    pub(crate) watch: bool,
    /// How the log of the functions is written
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// The SAM template to run
    #[arg(long, default_value = "infra/template.yaml", value_name = "PATH")]
    pub(crate) template: PathBuf,
    /// Values for parameters of the template
    #[arg(long, num_args = 1.., value_parser = parameter, value_name = "NAME=VALUE")]
    pub(crate) parameter_overrides: Vec<(String, String)>,
    /// Send invocations to this Invoke API instead of running the functions
    #[arg(long, value_name = "URL")]
    pub(crate) lambda_endpoint: Option<String>,
    /// A setting for the Postgres that is run, as NAME=VALUE
    #[arg(long, value_name = "SETTING", hide = true)]
    pub(crate) postgres_setting: Vec<String>,
    /// Stop when standard input ends: whoever holds its other end need not stop us
    #[arg(long, hide = true)]
    pub(crate) stop_with_stdin: bool,
}

impl StackArgs {
    /// The profile of cargo that the functions are built with.
    pub(crate) fn profile(&self) -> &str {
        if self.release { "release" } else { &self.profile }
    }
}

/// Relative to the current folder.
pub(crate) const DEFAULT_DATA_DIR: &str = ".switchboard";

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Where the database and the local secret are kept
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "PATH")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The user id, the token's `sub`
    pub(crate) user: String,
    /// The name that others see
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A service token, which opens /service: JWT_ISSUER and SERVICE_AUDIENCE have to be set
    #[arg(long)]
    pub(crate) service: bool,
    /// How long the token is valid
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) expires_in: Duration,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

fn parameter(given: &str) -> Result<(String, String), &'static str> {
    match given.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("it has to be NAME=VALUE"),
    }
}
