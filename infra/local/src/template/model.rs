//! What is left of a template once it is understood.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// All that the local stack runs.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) functions: Vec<Function>,
    pub(crate) websocket: Option<WebSocketApi>,
    pub(crate) http: Option<HttpApi>,
    pub(crate) tables: Vec<Table>,
    pub(crate) schedules: Vec<Schedule>,
}

/// A Lambda function: a binary of a cargo workspace.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// What it is invoked by: `FunctionName` if the template gives one, else the binary's name.
    pub(crate) name: String,
    pub(crate) binary: String,
    /// The folder with the `Cargo.toml` that builds it.
    pub(crate) code: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) memory_mb: u32,
    pub(crate) environment: BTreeMap<String, String>,
    /// Invoked once before the APIs are served.
    pub(crate) invoke_at_start: bool,
}

#[derive(Debug)]
pub(crate) struct WebSocketApi {
    pub(crate) id: String,
    pub(crate) stage: String,
    /// The path below `$request.body` that selects the route.
    pub(crate) selection: Vec<String>,
    /// The function that is asked before `$connect`.
    pub(crate) authorizer: Option<String>,
    pub(crate) routes: BTreeMap<String, Route>,
}

#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) function: String,
    /// Whether the function's answer goes to the client.
    pub(crate) responds: bool,
    pub(crate) timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct HttpApi {
    pub(crate) id: String,
    pub(crate) routes: Vec<HttpRoute>,
    pub(crate) cors: Option<Cors>,
}

#[derive(Clone, Debug)]
pub(crate) struct HttpRoute {
    /// `None` for any.
    pub(crate) method: Option<String>,
    pub(crate) path: String,
    pub(crate) function: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Cors {
    #[serde(default)]
    pub(crate) allow_origins: Vec<String>,
    #[serde(default)]
    pub(crate) allow_methods: Vec<String>,
    #[serde(default)]
    pub(crate) allow_headers: Vec<String>,
    #[serde(default)]
    pub(crate) expose_headers: Vec<String>,
    #[serde(default)]
    pub(crate) allow_credentials: bool,
    pub(crate) max_age: Option<u32>,
}

/// A function that is invoked over and over.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The name of the event, as the template has it.
    pub(crate) name: String,
    pub(crate) function: String,
    pub(crate) every: Duration,
}

#[derive(Debug)]
pub(crate) struct Table {
    /// As the CreateTable call takes it.
    pub(crate) definition: Value,
    /// As the UpdateTimeToLive call takes it.
    pub(crate) time_to_live: Option<Value>,
}
