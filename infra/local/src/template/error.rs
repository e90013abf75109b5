//! Why a template cannot be run.

#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("is not YAML: {0}")]
    NotYaml(#[from] serde_norway::Error),
    #[error("{logical_id}: {reason}")]
    Resource { logical_id: String, reason: String },
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    #[error("Globals: the section {0} is not supported here")]
    GlobalsSection(String),
    #[error("there is no parameter {0} to give a value to")]
    NoParameter(String),
}
