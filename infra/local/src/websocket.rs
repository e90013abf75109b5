//! The WebSocket API: from the handshake to `$disconnect`, with a function behind every step.

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

/// One WebSocket API and all its connections. Cheap to clone: all clones are one API.
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

/// API Gateway's quotas on the life of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a connection may be without a frame in either direction.
    pub(crate) idle: Duration,
    /// How long it may last.
    pub(crate) lifetime: Duration,
}

impl Gateway {
    /// Serves `api` with the functions of `lambda`.
    pub(crate) fn new(api: WebSocketApi, values: Values, lambda: Lambda, limits: Limits) -> Self {
        let buckets = Buckets::new(api.routes.iter().map(|(key, route)| (key.clone(), route.throttle)));
        Self(Arc::new(Inner { api, values, lambda, limits, registry: Registry::default(), buckets }))
    }

    /// The stage, the first part of every path.
    pub(crate) fn stage(&self) -> &str {
        &self.0.api.stage
    }

    /// The connections that are open.
    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }
}
