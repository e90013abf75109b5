//! Starts everything in order, serves, and stops everything in the opposite order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::StackArgs;
use crate::keeper::Keeper;
use crate::lambda::{Host, HostConfig, InvokeError, Lambda, Remote, invoke_api_routes};
use crate::services::dynamodb;
use crate::services::postgres::{self, Postgres};
use crate::steps::step;
use crate::template::{self, Template, Values};
use crate::websocket::Limits;
use crate::{callbacks, compile, dev_api, http, token, websocket};

/// Stand-ins for what an AWS account would say.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
const STACK_NAME: &str = "switchboard";

/// A function that has this variable needs Postgres.
const DATABASE_URL: &str = "DATABASE_URL";

/// Runs the stack until it is told to stop.
pub(crate) fn run(args: StackArgs) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
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

/// What is running and has to be stopped.
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

async fn start_and_serve(args: &StackArgs, started: &mut Started) -> Result<(), String> {
    let began = Instant::now();
    // What can be wrong with the command line comes before what takes time.
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .await
        .map_err(|error| {
            format!(
                "port {} cannot be used: {error}; choose another with --port",
                args.port
            )
        })?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let data_dir = std::path::absolute(&args.data.data_dir).map_err(|error| error.to_string())?;
    let secret = token::secret(&data_dir)?;
    let values = values(port, &secret);
    let mut template = template::load(&args.template, &values)
        .map_err(|error| format!("{}: {error}", args.template.display()))?;
    let needs_postgres = template
        .functions
        .iter()
        .any(|function| function.environment.contains_key(DATABASE_URL));
    if let (true, Some(url)) = (needs_postgres, &args.database_url) {
        postgres::check(url).await?;
    }

    let keeper = Keeper::start()
        .map_err(|error| format!("the keeper of child processes cannot be started: {error}"))?;
    let binaries = match &args.lambda_endpoint {
        Some(_) => None,
        None => {
            let name = format!("building {} functions", template.functions.len());
            Some(step(&name, compile::build(&template.functions, args.release)).await?)
        }
    };
    let dynamodb = step("starting DynamoDB", dynamodb::start(&template.tables)).await?;
    if needs_postgres {
        let url = match &args.database_url {
            Some(url) => url.clone(),
            None => {
                let postgres = step("starting Postgres", start_postgres(args, &data_dir, &keeper)).await?;
                started.postgres.insert(postgres).url.clone()
            }
        };
        println!("Postgres     {url}");
        for function in &mut template.functions {
            function
                .environment
                .entry(DATABASE_URL.to_owned())
                .and_modify(|value| value.clone_from(&url));
        }
    }
    let lambda = match (&args.lambda_endpoint, binaries) {
        (None, Some(binaries)) => {
            let config = HostConfig {
                max_instances: args.max_instances.into(),
                throttle: args.throttle,
                binaries,
                environment: BTreeMap::from([(
                    "AWS_ENDPOINT_URL_DYNAMODB".to_owned(),
                    format!("http://{dynamodb}"),
                )]),
                region: REGION.to_owned(),
            };
            let functions = template.functions.iter().cloned();
            let functions = functions
                .map(|function| (values.function_arn(&function.name), function))
                .collect();
            let host = Host::start(functions, config, keeper)
                .await
                .map_err(|error| error.to_string())?;
            Lambda::Host(started.host.insert(host).clone())
        }
        (Some(endpoint), _) => Lambda::Remote(Remote::new(endpoint)),
        (None, None) => unreachable!("without an endpoint the functions were built"),
    };
    for function in template
        .functions
        .iter()
        .filter(|function| function.invoke_at_start)
    {
        step(
            &format!("invoking {}", function.name),
            invoke_at_start(&lambda, &function.name),
        )
        .await?;
    }

    let limits = Limits {
        idle: args.idle_timeout,
        lifetime: args.max_lifetime,
    };
    let router = router(template, &values, &lambda, limits, secret, port);
    println!(
        "ready        in {:.1} s; Ctrl-C stops it",
        began.elapsed().as_secs_f64()
    );
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await
    .map_err(|error| error.to_string())
}

/// Every variable that the template gives to a function can be overridden by the same variable here.
fn values(port: u16, secret: &str) -> Values {
    let mut overrides: BTreeMap<String, String> = std::env::vars().collect();
    overrides.insert("JWT_SECRET".to_owned(), secret.to_owned());
    // Known once the server runs.
    overrides.insert(DATABASE_URL.to_owned(), String::new());
    Values {
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        stack_name: STACK_NAME.to_owned(),
        base_url: format!("http://127.0.0.1:{port}"),
        overrides,
    }
}

async fn start_postgres(args: &StackArgs, data_dir: &Path, keeper: &Keeper) -> Result<Postgres, String> {
    let installation = postgres::find(data_dir).await?;
    eprintln!("    with the server in {}", installation.binaries.display());
    let cluster = if args.ephemeral {
        installation.scratch()
    } else {
        "data".to_owned()
    };
    installation.start(&cluster, &args.postgres_setting, keeper).await
}

async fn invoke_at_start(lambda: &Lambda, function: &str) -> Result<(), String> {
    match lambda.invoke(function, "{}".into()).await {
        Ok(result) => {
            eprintln!("    {}", String::from_utf8_lossy(&result));
            Ok(())
        }
        Err(InvokeError::Function(error)) => {
            Err(format!("{function} failed: {}", String::from_utf8_lossy(&error)))
        }
        Err(error) => Err(format!("{function} cannot be invoked: {error:?}")),
    }
}

/// Everything that is served at the one port; prints where what is.
fn router(
    template: Template,
    values: &Values,
    lambda: &Lambda,
    limits: Limits,
    secret: String,
    port: u16,
) -> Router {
    let mut router = invoke_api_routes(lambda.clone()).merge(dev_api::routes(secret));
    if let Some(api) = template.websocket {
        let gateway = websocket::Gateway::new(api, values.clone(), lambda.clone(), limits);
        let stage = gateway.stage();
        println!("WebSocket    ws://localhost:{port}/{stage}?token=…");
        println!("Callbacks    http://localhost:{port}/{stage}/@connections/…");
        let path = format!("/{stage}");
        let handshake = {
            let gateway = gateway.clone();
            any(move |ConnectInfo(from), request: Request| websocket::handshake(gateway, from, request))
        };
        router = router.route(&path, handshake).merge(callbacks::routes(gateway));
    }
    match template.http {
        None => router.fallback(StatusCode::NOT_FOUND),
        Some(api) => {
            println!("HTTP API     http://localhost:{port}/");
            let gateway = http::Gateway::new(api, values.clone(), lambda.clone());
            router.fallback(async move |ConnectInfo(from), request: Request| {
                gateway.serve(from, request).await.into_response()
            })
        }
    }
}

/// Ctrl-C, SIGTERM, a closed terminal, or the end of standard input if that counts.
async fn asked_to_stop(with_stdin: bool) {
    let mut signals = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ]
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
    // A thread of its own: a blocking read would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = notice.await;
}
