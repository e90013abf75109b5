//! Starts everything in order, serves, and stops everything in the opposite order.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures_util::future::try_join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::as_on_aws::{Distances, Shares, TlsError};
use crate::cli::{DEFAULT_DATA_DIR, StackArgs};
use crate::compile::{self, Built, CompileError};
use crate::file_error::FileError;
use crate::keeper::Keeper;
use crate::lambda::{Host, HostConfig, Lambda, NotAnEndpoint, NotStarted, Remote, invoke_api_routes};
use crate::listener::listen;
use crate::pages::Pages;
use crate::services::dynamodb::{self, DynamoDbError};
use crate::services::postgres::{self, Postgres, PostgresError};
use crate::steps::step;
use crate::template::{self, Function, Template, TemplateError, Values};
use crate::token::{self, TokenError};
use crate::variables::{self, DATABASE_URL, JWT_SECRET};
use crate::watch::{self, Changes, Generations, WatchError};
use crate::websocket::Limits;
use crate::{dev_api, http, schedule, serving, websocket};

/// The variables with the endpoints of DynamoDB and of Secrets Manager. The latter is not part of the stack,
/// so the environment may name one.
const DYNAMODB_URL: &str = "AWS_ENDPOINT_URL_DYNAMODB";
const LAMBDA_URL: &str = "AWS_ENDPOINT_URL_LAMBDA";
const SECRETS_MANAGER_URL: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";

/// The variable with the file of the certificates that the SDKs trust.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Why the stack does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error("port {port} cannot be used: {reason}; choose another with --port")]
    Port { port: u16, reason: io::Error },
    #[error("{}: {reason}", path.display())]
    Template { path: PathBuf, reason: TemplateError },
    #[error("--ephemeral throws the database away, so it does not go with a database URL")]
    EphemeralWithUrl,
    #[error("--as-on-aws reaches a Postgres of its own only, so it does not go with a database URL")]
    FarFromUrl,
    #[error("the keeper of child processes cannot be started: {0}")]
    NoKeeper(io::Error),
    #[error("the functions cannot be put into the data directory: {0}")]
    NoGeneration(io::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    DynamoDb(#[from] DynamoDbError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error(transparent)]
    Endpoint(#[from] NotAnEndpoint),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Function(#[from] NotStarted),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the stack until it is told to stop.
pub(crate) fn run(args: StackArgs) -> Result<(), StackError> {
    raise_open_files();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut started = Started::default();
        let done = tokio::select! {
            done = start_and_serve(&args, &mut started) => done,
            () = asked_to_stop(args.stop_with_stdin) => Ok(()),
        };
        started.stop(args.ephemeral).await;
        done
    })
}

/// Raises the limit of open files, since each connection is one. The usual limit of 1,024 is a default.
fn raise_open_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If that fails, there can be fewer connections.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// What is running, and has to be stopped.
#[derive(Default)]
struct Started {
    postgres: Option<Postgres>,
    host: Option<Host>,
}

impl Started {
    async fn stop(self, ephemeral: bool) {
        if let Some(host) = self.host {
            host.stop().await;
        }
        match self.postgres {
            Some(postgres) if ephemeral => postgres.stop_and_remove().await,
            Some(postgres) => postgres.stop().await,
            None => {}
        }
    }
}

async fn start_and_serve(args: &StackArgs, started: &mut Started) -> Result<(), StackError> {
    let began = Instant::now();
    // Mistakes of the command line are reported before the slow steps.
    let listener = listen(args.port).map_err(|reason| StackError::Port { port: args.port, reason })?;
    let port = listener.local_addr()?.port();
    let data_dir = std::path::absolute(&args.data.data_dir)?;
    let secret = token::secret(&data_dir)?;
    let distances = args.as_on_aws.then(|| Distances::new(&data_dir)).transpose()?;
    let gateway_url = match &distances {
        Some(distances) => distances.to_gateway(port)?,
        None => format!("http://127.0.0.1:{port}"),
    };
    let values = variables::values(args, gateway_url.clone(), &secret);
    let mut template = template::load(&args.template, &values)
        .map_err(|reason| StackError::Template { path: args.template.clone(), reason })?;
    let needs_postgres = |function: &&Function| function.environment.contains_key(DATABASE_URL);
    let with_postgres = template.functions.iter().filter(needs_postgres).count();
    if let Some(memory) = args.memory {
        template.functions.iter_mut().for_each(|function| function.memory_mb = memory);
    }
    let given_url = args.database_url.as_deref().filter(|url| !url.is_empty());
    if args.ephemeral && given_url.is_some() {
        return Err(StackError::EphemeralWithUrl);
    }
    if args.as_on_aws && given_url.is_some() {
        return Err(StackError::FarFromUrl);
    }
    // The functions fetch a secret themselves.
    if let (true, Some(url)) = (with_postgres > 0, given_url.filter(|url| !url.starts_with("arn:"))) {
        postgres::check(url).await?;
    }

    let keeper = Keeper::start().map_err(StackError::NoKeeper)?;
    let mut addresses = Vec::new();
    if with_postgres > 0 {
        let url = match given_url {
            // It may hold a password, so it is not shown.
            Some(url) => url.to_owned(),
            None => {
                let starting = start_postgres(args, with_postgres, &data_dir, &keeper);
                let postgres = started.postgres.insert(step("starting Postgres", starting).await?);
                addresses.push(("Postgres", postgres.url.clone()));
                match &distances {
                    Some(distances) => distances.to_postgres(&postgres.url, postgres.port)?,
                    None => postgres.url.clone(),
                }
            }
        };
        for function in &mut template.functions {
            let given = function.environment.entry(DATABASE_URL.to_owned());
            given.and_modify(|value| value.clone_from(&url));
        }
    }
    let dynamodb = step("starting DynamoDB", dynamodb::start(&template.tables)).await?;
    addresses.push(("DynamoDB", format!("http://{dynamodb}")));
    let given = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
    // The environment may name a proxy.
    let own_dynamodb = match &distances {
        Some(distances) => distances.to_dynamodb(dynamodb)?,
        None => format!("http://{dynamodb}"),
    };
    let dynamodb_url = given(DYNAMODB_URL).unwrap_or(own_dynamodb);
    let lambda_url = given(LAMBDA_URL).or_else(|| args.lambda_endpoint.clone()).unwrap_or(gateway_url);
    let mut shared =
        BTreeMap::from([(DYNAMODB_URL.to_owned(), dynamodb_url), (LAMBDA_URL.to_owned(), lambda_url)]);
    shared.extend(distances.iter().map(|distances| (CA_BUNDLE.to_owned(), distances.certificate())));
    shared.extend(given(SECRETS_MANAGER_URL).map(|url| (SECRETS_MANAGER_URL.to_owned(), url)));
    let variables = variables::write(&data_dir, &template.functions, &shared, &values)?;
    let lambda = match &args.lambda_endpoint {
        Some(endpoint) => {
            let remote = Remote::new(endpoint);
            let waiting = format!(
                "waiting for {endpoint}, such as: cargo lambda watch --env-file {}",
                shown(&variables)
            );
            step(&waiting, remote.listens()).await?;
            Lambda::Remote(remote)
        }
        None => {
            let host = start_functions(args, &template, &values, &data_dir, shared, keeper).await?;
            Lambda::Host(started.host.insert(host).clone())
        }
    };
    if let Some(host) = &started.host {
        // Only functions with values from the command line or the environment are tried: those of the
        // template are known to work.
        let given =
            template.functions.iter().filter(|function| variables::are_given(function, args, &values));
        try_join_all(given.map(|function| host.try_start(function))).await?;
    }
    for function in template.functions.iter().filter(|function| function.invoke_at_start) {
        step(&format!("invoking {}", function.name), lambda.invoke_at_start(&function.name)).await?;
    }

    for scheduled in template.schedules {
        tokio::spawn(schedule::run(scheduled, values.clone(), lambda.clone()));
    }
    let limits = Limits { idle: args.idle_timeout, lifetime: args.max_lifetime };
    let gateways: Vec<_> = template
        .websockets
        .into_iter()
        .map(|api| websocket::Gateway::new(api, values.clone(), lambda.clone(), limits))
        .collect();
    let http = template.http.map(|api| http::Gateway::new(api, values, lambda.clone()));
    if http.is_some() {
        addresses.push(("HTTP API", format!("http://localhost:{port}/")));
    }
    for gateway in &gateways {
        let stage = gateway.stage();
        addresses.push(("WebSocket", format!("ws://localhost:{port}/{stage}")));
        addresses.push(("Callbacks", format!("http://localhost:{port}/{stage}/@connections/ID")));
    }
    if template.functions.iter().any(|function| function.environment.contains_key(JWT_SECRET)) {
        addresses.push(("a token", format!("cargo dev token alice --name Alice{}", data_dir_option(args))));
    }
    let mut router = invoke_api_routes(lambda).merge(dev_api::routes(secret, gateways.clone()));
    for gateway in gateways {
        router = serving::with_websocket(router, gateway);
    }
    let pages = template.pages.map(Pages::new);
    if pages.is_some() {
        addresses.push(("the page", format!("http://localhost:{port}/")));
    }
    let router = serving::with_the_rest(router, http, pages);
    for (name, address) in addresses {
        println!("{name:<10}  {address}");
    }
    println!("ready in {:.1} s; Ctrl-C stops it", began.elapsed().as_secs_f64());
    Ok(serving::serve(listener, router).await?)
}

/// Starts a server with room for the processes of so many functions.
async fn start_postgres(
    args: &StackArgs,
    functions: usize,
    data_dir: &Path,
    keeper: &Keeper,
) -> Result<Postgres, PostgresError> {
    let installation = postgres::find(data_dir).await?;
    eprintln!("    with the server in {}", installation.binaries.display());
    let cluster = if args.ephemeral { installation.scratch() } else { "data".to_owned() };
    let processes = functions * usize::from(args.max_instances);
    installation.start(&cluster, processes, &args.postgres_setting, keeper).await
}

/// Builds the functions and runs them.
async fn start_functions(
    args: &StackArgs,
    template: &Template,
    values: &Values,
    data_dir: &Path,
    environment: BTreeMap<String, String>,
    keeper: Keeper,
) -> Result<Host, StackError> {
    let functions = &template.functions;
    let changes = match args.watch {
        false => None,
        true => {
            let built = compile::locate(functions, args.profile()).await?;
            Some(Changes::watch(&built, data_dir, &args.template)?)
        }
    };
    let built = match &args.binaries {
        Some(folder) => Built { binaries: folder.clone(), ..Built::default() },
        None => {
            let building = compile::build(functions, args.profile());
            step(&format!("building {} functions", functions.len()), building).await?
        }
    };
    let (binaries, generations) = match args.watch {
        false => (built.binaries.clone(), None),
        true => {
            let (generations, first) = Generations::begin(data_dir.join("functions"), functions, &built)
                .map_err(StackError::NoGeneration)?;
            (first, Some(generations))
        }
    };
    let config = HostConfig {
        max_instances: args.max_instances.into(),
        throttle: args.throttle,
        binaries,
        environment,
        log_format: args.log_format,
        values: values.clone(),
        shares: args.as_on_aws.then(shares),
    };
    let host = Host::start(functions.clone(), config, keeper).await?;
    if let (Some(changes), Some(generations)) = (changes, generations) {
        tokio::spawn(watch::run(changes, generations, args.profile().to_owned(), host.clone()));
    }
    Ok(host)
}

/// The shares of processors; a person is told if there cannot be any.
fn shares() -> Shares {
    let (shares, problem) = Shares::new();
    if let Some(error) = problem {
        eprintln!("functions have all processors, since a control group cannot be made: {error}");
    }
    shares
}

/// A path as a person would type it: relative to the current folder, if it is below that.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// The option that makes `cargo dev token` use the secret of this stack.
fn data_dir_option(args: &StackArgs) -> String {
    let data_dir = args.data.data_dir.display().to_string();
    if data_dir == DEFAULT_DATA_DIR { String::new() } else { format!(" --data-dir {data_dir}") }
}

/// Waits for Ctrl-C, SIGTERM, a closed terminal, or the end of standard input if that counts.
async fn asked_to_stop(with_stdin: bool) {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .map(|kind| signal(kind).expect("these signals can be handled on every Unix"));
    let [interrupt, terminate, hangup] = &mut signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        () = stdin_ended(), if with_stdin => {}
    }
}

async fn stdin_ended() {
    let (ended, notice) = oneshot::channel();
    // In a thread of its own: a blocking read would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = notice.await;
}
