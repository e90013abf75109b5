//! Starts everything in order, serves, and stops everything in the opposite order.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::future::{Ready, ready};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum_server::accept::Accept;
use axum_server::{ConnectionShutdown, Server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_io_timeout::TimeoutStream;
use tower_http::services::ServeDir;

use crate::cli::{DEFAULT_DATA_DIR, StackArgs};
use crate::keeper::Keeper;
use crate::lambda::{Host, HostConfig, InvokeError, Lambda, Remote, invoke_api_routes};
use crate::services::dynamodb;
use crate::services::postgres::{self, Postgres};
use crate::steps::step;
use crate::template::{self, Function, Template, Values};
use crate::watch::{self, Changes, Generations};
use crate::websocket::{Limits, asks_for_websocket};
use crate::{callbacks, compile, dev_api, http, schedule, token, websocket};

/// Stand-ins for what an AWS account would say.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
const STACK_NAME: &str = "switchboard";

/// The file in the data directory with the variables of the functions.
const VARIABLES: &str = "functions.env";

/// A function that has this variable needs Postgres.
const DATABASE_URL: &str = "DATABASE_URL";

/// A function that has this variable verifies tokens.
const JWT_SECRET: &str = "JWT_SECRET";

/// Where AWS SDKs look for DynamoDB, and for Secrets Manager, which is not here: whoever has one names it.
const DYNAMODB_URL: &str = "AWS_ENDPOINT_URL_DYNAMODB";
const SECRETS_MANAGER_URL: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";

/// How long a client may take over the head of its first request, so that slow ones cannot hold all sockets.
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);

/// How long it may take until the head of the next request on the same socket is complete.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How long a client may go without taking more of a response. WebSockets have a shorter limit of their own.
const MAX_STALL: Duration = Duration::from_secs(60);

/// Runs the stack until it is told to stop.
pub(crate) fn run(args: StackArgs) -> Result<(), String> {
    raise_open_files();
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

/// A connection is an open file, and the usual limit of 1,024 is only a default that may be raised.
fn raise_open_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // With fewer there are fewer connections, which is no reason not to start.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
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
        .map_err(|error| format!("port {} cannot be used: {error}; choose another with --port", args.port))?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let data_dir = std::path::absolute(&args.data.data_dir).map_err(|error| error.to_string())?;
    let secret = token::secret(&data_dir)?;
    let values = values(args, port, &secret);
    let mut template = template::load(&args.template, &values)
        .map_err(|error| format!("{}: {error}", args.template.display()))?;
    let needs_postgres =
        template.functions.iter().any(|function| function.environment.contains_key(DATABASE_URL));
    let given_url = args.database_url.as_deref().filter(|url| !url.is_empty());
    if args.ephemeral && given_url.is_some() {
        return Err("--ephemeral throws the database away, so it does not go with a database URL".to_owned());
    }
    // The functions find out where a secret leads.
    if let (true, Some(url)) = (needs_postgres, given_url.filter(|url| !url.starts_with("arn:"))) {
        postgres::check(url).await?;
    }

    let keeper = Keeper::start()
        .map_err(|error| format!("the keeper of child processes cannot be started: {error}"))?;
    let mut addresses = Vec::new();
    if needs_postgres {
        let url = match given_url {
            // It may hold a password that is not ours to show.
            Some(url) => url.to_owned(),
            None => {
                let starting = start_postgres(args, &data_dir, &keeper);
                let postgres = started.postgres.insert(step("starting Postgres", starting).await?);
                addresses.push(("Postgres", postgres.url.clone()));
                postgres.url.clone()
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
    // Something may stand in between, such as a proxy.
    let dynamodb_url = given(DYNAMODB_URL).unwrap_or_else(|| format!("http://{dynamodb}"));
    let mut shared = BTreeMap::from([(DYNAMODB_URL.to_owned(), dynamodb_url)]);
    shared.extend(given(SECRETS_MANAGER_URL).map(|url| (SECRETS_MANAGER_URL.to_owned(), url)));
    let variables = data_dir.join(VARIABLES);
    write_variables(&variables, &template.functions, &shared, &values)
        .map_err(|error| format!("{} cannot be written: {error}", variables.display()))?;
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
    for function in template.functions.iter().filter(|function| function.invoke_at_start) {
        step(&format!("invoking {}", function.name), invoke_at_start(&lambda, &function.name)).await?;
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
        router = serve_websocket(router, gateway);
    }
    let pages = template.pages.map(ServeDir::new);
    if pages.is_some() {
        addresses.push(("the page", format!("http://localhost:{port}/")));
    }
    let router =
        router.fallback(async move |ConnectInfo(from): ConnectInfo<SocketAddr>, request: Request| {
            serve_the_rest(http.as_ref(), pages.as_ref(), from, request).await
        });
    for (name, address) in addresses {
        println!("{name:<10}  {address}");
    }
    println!("ready in {:.1} s; Ctrl-C stops it", began.elapsed().as_secs_f64());
    let mut server =
        Server::<SocketAddr>::from_listener(listener).acceptor(Acceptor).first_request_timeout(MAX_HANDSHAKE);
    server.http_builder().http1().header_read_timeout(MAX_KEEP_ALIVE);
    server
        .serve(router.layer(from_fn(http_1_only)).into_make_service_with_connect_info::<SocketAddr>())
        .await
        .map_err(|error| error.to_string())
}

/// Sees to it that sockets wait neither for more to send nor for ever.
#[derive(Clone, Copy, Debug)]
struct Acceptor;

impl<S> Accept<TcpStream, S> for Acceptor {
    type Stream = Pin<Box<TimeoutStream<TcpStream>>>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // Responses and frames are small, and each is waited for: none is held back to be joined by the next.
        ready(stream.set_nodelay(true).map(|()| {
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(MAX_STALL));
            (Box::pin(stream), service)
        }))
    }
}

/// HTTP/2 has no time limit between requests, and nobody needs it here: handshakes and SDKs speak HTTP/1.1.
/// The server cannot be told so and still upgrade to WebSockets, so the first request ends the connection;
/// until then it has a limit.
async fn http_1_only(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_2 {
        return next.run(request).await;
    }
    if let Some(connection) = request.extensions().get::<ConnectionShutdown>() {
        // A graceful end would wait for a client that need not answer.
        connection.shutdown();
    }
    StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response()
}

/// Every variable that the template gives to a function can be overridden by the same variable here.
fn values(args: &StackArgs, port: u16, secret: &str) -> Values {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables = std::env::vars_os().filter_map(text);
    // One that is set to the empty string counts as unset.
    let mut overrides: BTreeMap<_, _> = variables.filter(|(_, value)| !value.is_empty()).collect();
    overrides.insert(JWT_SECRET.to_owned(), secret.to_owned());
    // Known once the server runs.
    overrides.insert(DATABASE_URL.to_owned(), String::new());
    Values {
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        stack_name: STACK_NAME.to_owned(),
        base_url: format!("http://127.0.0.1:{port}"),
        overrides,
        parameters: args.parameter_overrides.iter().cloned().collect(),
    }
}

async fn start_postgres(args: &StackArgs, data_dir: &Path, keeper: &Keeper) -> Result<Postgres, String> {
    let installation = postgres::find(data_dir).await?;
    eprintln!("    with the server in {}", installation.binaries.display());
    let cluster = if args.ephemeral { installation.scratch() } else { "data".to_owned() };
    installation.start(&cluster, &args.postgres_setting, keeper).await
}

/// Builds the functions and runs them.
async fn start_functions(
    args: &StackArgs,
    template: &Template,
    values: &Values,
    data_dir: &Path,
    environment: BTreeMap<String, String>,
    keeper: Keeper,
) -> Result<Host, String> {
    let functions = &template.functions;
    let changes = match args.watch {
        false => None,
        true => {
            let built = compile::locate(functions, args.release).await?;
            Some(Changes::watch(&built, data_dir, &args.template)?)
        }
    };
    let building = compile::build(functions, args.release);
    let built = step(&format!("building {} functions", functions.len()), building).await?;
    let (binaries, generations) = match args.watch {
        false => (built.binaries.clone(), None),
        true => {
            let (generations, first) = Generations::begin(data_dir.join("functions"), functions, &built)
                .map_err(|error| format!("the functions cannot be put into the data directory: {error}"))?;
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
    };
    let host = Host::start(functions.clone(), config, keeper).await.map_err(|error| error.to_string())?;
    if let (Some(changes), Some(generations)) = (changes, generations) {
        tokio::spawn(watch::run(changes, generations, args.release, host.clone()));
    }
    Ok(host)
}

/// Writes down the variables of all functions, for those who run one by hand.
fn write_variables(
    path: &Path,
    functions: &[Function],
    shared: &BTreeMap<String, String>,
    values: &Values,
) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut all = BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", values.region.as_str()),
    ]);
    let given = functions.iter().flat_map(|function| &function.environment).chain(shared);
    // An empty variable counts as unset.
    let given = given.filter(|(_, value)| !value.is_empty());
    all.extend(given.map(|(name, value)| (name.as_str(), value.as_str())));
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    // It holds the secret and the database's password.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    all.iter().try_for_each(|(name, value)| writeln!(file, "{name}={value}"))
}

/// A path as a person types it: from the folder that they are in, if it is below that.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Invokes a function that has to be done with its work before the others begin.
pub(crate) async fn invoke_at_start(lambda: &Lambda, function: &str) -> Result<(), String> {
    match lambda.invoke(function, "{}").await {
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

/// Handshakes and callbacks, at the paths of the stage.
fn serve_websocket(router: Router, gateway: websocket::Gateway) -> Router {
    let path = format!("/{}", gateway.stage());
    let callbacks = callbacks::routes(gateway.clone());
    let handshake =
        any(move |ConnectInfo(from), request: Request| websocket::handshake(gateway.clone(), from, request));
    router.route(&path, handshake).merge(callbacks)
}

/// What no WebSocket API serves: the HTTP API decides first, and what it has no route for may be a page.
async fn serve_the_rest(
    http: Option<&http::Gateway>,
    pages: Option<&ServeDir>,
    from: SocketAddr,
    request: Request,
) -> Response {
    if asks_for_websocket(request.headers()) || callbacks::is_path(request.uri().path()) {
        return callbacks::forbidden();
    }
    if let Some(pages) = pages
        && !http.is_some_and(|http| http.takes(&request))
        && let Some(page) = page(pages, without_body(&request)).await
    {
        return page;
    }
    match http {
        Some(http) => http.serve(from, request).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn without_body(request: &Request) -> Request {
    let mut copy = Request::new(Body::empty());
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    copy
}

/// The page that a request is for, if there is one.
async fn page(pages: &ServeDir, request: Request) -> Option<Response> {
    // An error is what the file system says of a path that cannot be one, such as a longer one than it takes.
    let page = pages.clone().try_call(request).await.ok()?;
    if matches!(page.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        return None;
    }
    let mut page = page.map(Body::new);
    // Whoever changes a file wants to see it changed: browsers are to ask each time.
    let no_cache = HeaderValue::from_static("no-cache");
    page.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_cache);
    Some(page)
}

/// A token is signed with the secret in the data directory, so the command has to name the same one.
fn data_dir_option(args: &StackArgs) -> String {
    let data_dir = args.data.data_dir.display().to_string();
    if data_dir == DEFAULT_DATA_DIR { String::new() } else { format!(" --data-dir {data_dir}") }
}

/// Ctrl-C, SIGTERM, a closed terminal, or the end of standard input if that counts.
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
    // A thread of its own: a blocking read would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = notice.await;
}
