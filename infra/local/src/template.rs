//! The SAM template: the only definition of functions, routes, tables and environment.
//!
//! Read once, before anything starts. What is not understood is refused by its logical id, so that nothing in
//! the template is silently different from AWS.

mod document;
mod functions;
mod http;
mod intrinsics;
mod model;
mod selection;
mod websocket;

use std::path::Path;

pub(crate) use intrinsics::Values;
pub(crate) use model::{
    Cors, Function, HttpApi, HttpAuthorizer, HttpRoute, IdentitySource, Schedule, Table, Template, Throttle,
    WebSocketApi,
};

/// Why a template cannot be run here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("is not YAML: {0}")]
    NotYaml(#[from] serde_norway::Error),
    #[error("{logical_id}: {reason}")]
    Resource { logical_id: String, reason: String },
    #[error("{0}")]
    Other(String),
}

/// Reads the template at `path`.
pub(crate) fn load(path: &Path, values: &Values) -> Result<Template, TemplateError> {
    let text = std::fs::read_to_string(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    document::read(&text, folder, values)
}
