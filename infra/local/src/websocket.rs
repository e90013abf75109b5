//! The WebSocket API: handshake, routes and connections.

mod authorizer;
mod connection;
mod event;
mod handshake;
mod peer;
mod registry;
mod route;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use handshake::{asks_for_websocket, handshake};
pub(crate) use registry::{Connection, Registry, Undeliverable};

use crate::lambda::Lambda;
use crate::template::{Values, WebSocketApi};
use crate::throttle::Buckets;

/// A WebSocket API and its connections. Cheap to clone: all clones are one API.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: WebSocketApi,
    values: Values,
    lambda: Lambda,
    limits: Limits,
    registry: Registry,
    buckets: Buckets,
}

/// API Gateway's quotas of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The maximum time without a frame in either direction.
    pub(crate) idle: Duration,
    /// The maximum age.
    pub(crate) lifetime: Duration,
}

impl Gateway {
    /// Serves `api` with the functions of `lambda`.
    pub(crate) fn new(api: WebSocketApi, values: Values, lambda: Lambda, limits: Limits) -> Self {
        let buckets = Buckets::new(api.routes.iter().map(|(key, route)| (key.clone(), route.throttle)));
        Self(Arc::new(Inner { api, values, lambda, limits, registry: Registry::default(), buckets }))
    }

    /// The stage, which is the path.
    pub(crate) fn stage(&self) -> &str {
        &self.0.api.stage
    }

    /// The connections that are open.
    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }
}
