//! What is left of a template once it is understood.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::selection::Selection;

/// All that the local stack runs.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) functions: Vec<Function>,
    /// Each at the path of its stage.
    pub(crate) websockets: Vec<WebSocketApi>,
    pub(crate) http: Option<HttpApi>,
    pub(crate) tables: Vec<Table>,
    pub(crate) schedules: Vec<Schedule>,
    /// A folder of files that are served beside the APIs.
    pub(crate) pages: Option<PathBuf>,
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
    /// How many events a process gets at once, if it is a Lambda Managed Instance.
    pub(crate) concurrency: Option<u16>,
    /// Invoked once before the APIs are served.
    pub(crate) invoke_at_start: bool,
}

#[derive(Debug)]
pub(crate) struct WebSocketApi {
    pub(crate) id: String,
    pub(crate) stage: String,
    pub(crate) stage_variables: BTreeMap<String, String>,
    pub(crate) selection: Selection,
    /// Who is asked before `$connect`.
    pub(crate) authorizer: Option<Authorizer>,
    pub(crate) routes: BTreeMap<String, Route>,
}

/// A function that decides who may come in.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    pub(crate) function: String,
    /// All of them have to be there, or it is not even asked.
    pub(crate) identity: Vec<IdentitySource>,
}

/// A part of a request that says who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdentitySource {
    Header(String),
    QueryString(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) function: String,
    /// Whether the function's answer goes to the client.
    pub(crate) responds: bool,
    pub(crate) timeout: Duration,
    pub(crate) throttle: Option<Throttle>,
}

/// How many requests a route takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throttle {
    /// A second, in the long run.
    pub(crate) rate: f64,
    /// At once.
    pub(crate) burst: f64,
}

#[derive(Debug)]
pub(crate) struct HttpApi {
    pub(crate) id: String,
    pub(crate) routes: Vec<HttpRoute>,
    pub(crate) authorizers: BTreeMap<String, HttpAuthorizer>,
    pub(crate) cors: Option<Cors>,
}

#[derive(Clone, Debug)]
pub(crate) struct HttpRoute {
    /// `None` for any.
    pub(crate) method: Option<String>,
    pub(crate) path: String,
    pub(crate) function: String,
    pub(crate) timeout: Duration,
    /// The name of one of the API's authorizers.
    pub(crate) authorizer: Option<String>,
    pub(crate) throttle: Option<Throttle>,
}

impl HttpRoute {
    /// As events and settings name it: `GET /a/{id}`, or `$default`.
    pub(crate) fn key(&self) -> String {
        match self.path.as_str() {
            "$default" => "$default".to_owned(),
            path => format!("{} {path}", self.method.as_deref().unwrap_or("ANY")),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct HttpAuthorizer {
    pub(crate) asks: Authorizer,
    /// Whether it answers with `isAuthorized` instead of a policy.
    pub(crate) simple: bool,
    /// How long an answer counts for the same identity.
    pub(crate) ttl: Duration,
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
