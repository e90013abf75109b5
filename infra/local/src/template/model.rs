//! The model of a template: what the local stack runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::selection::Selection;

/// A template.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) functions: Vec<Function>,
    /// Each is served at the path of its stage.
    pub(crate) websockets: Vec<WebSocketApi>,
    pub(crate) http: Option<HttpApi>,
    pub(crate) tables: Vec<Table>,
    pub(crate) schedules: Vec<Schedule>,
    /// A folder of static files.
    pub(crate) pages: Option<PathBuf>,
}

/// A Lambda function: a binary of a cargo workspace.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// Its name: `FunctionName`, or else the name of the binary.
    pub(crate) name: String,
    pub(crate) binary: String,
    /// The folder with the `Cargo.toml` that builds it.
    pub(crate) code: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) memory_mb: u32,
    pub(crate) environment: BTreeMap<String, String>,
    /// The number of concurrent events of a Lambda Managed Instance.
    pub(crate) concurrency: Option<u16>,
    /// Whether it is invoked once before the APIs are served.
    pub(crate) invoke_at_start: bool,
}

#[derive(Debug)]
pub(crate) struct WebSocketApi {
    pub(crate) id: String,
    pub(crate) stage: String,
    pub(crate) stage_variables: BTreeMap<String, String>,
    pub(crate) selection: Selection,
    /// The authorizer of `$connect`.
    pub(crate) authorizer: Option<Authorizer>,
    pub(crate) routes: BTreeMap<String, Route>,
}

/// An authorizer: its function, and what it needs of a request.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    pub(crate) function: String,
    /// The identity sources. If one is missing, the request is refused without asking.
    pub(crate) identity: Vec<IdentitySource>,
}

/// An identity source: a part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdentitySource {
    Header(String),
    QueryString(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) function: String,
    /// Whether the result of the function is sent to the client.
    pub(crate) responds: bool,
    pub(crate) timeout: Duration,
    pub(crate) throttle: Option<Throttle>,
}

/// The limit of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throttle {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Requests at once.
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
    /// `None` for any method.
    pub(crate) method: Option<String>,
    pub(crate) path: String,
    pub(crate) function: String,
    pub(crate) timeout: Duration,
    /// The name of one of the API's authorizers.
    pub(crate) authorizer: Option<String>,
    pub(crate) throttle: Option<Throttle>,
}

impl HttpRoute {
    /// The route key: `GET /a/{id}`, or `$default`.
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
    /// Whether it returns `isAuthorized` instead of a policy.
    pub(crate) simple: bool,
    /// How long an answer is cached.
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

/// A schedule that invokes a function.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The name of the event in the template.
    pub(crate) name: String,
    pub(crate) function: String,
    pub(crate) every: Duration,
}

#[derive(Debug)]
pub(crate) struct Table {
    /// The parameters of CreateTable.
    pub(crate) definition: Value,
    /// The parameters of UpdateTimeToLive.
    pub(crate) time_to_live: Option<Value>,
}
