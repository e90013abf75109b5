//! The client at the other end of a connection.

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// The address of a client, and its user agent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_agent: Option<String>,
    pub(crate) source_ip: String,
}

/// A client, as every event of its connection describes it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) connection_id: String,
    pub(crate) connected_at: OffsetDateTime,
    pub(crate) identity: Identity,
    /// The context that the authorizer returned, with the principal.
    pub(crate) authorizer: Option<Map<String, Value>>,
}
