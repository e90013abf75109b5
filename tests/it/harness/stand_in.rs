//! A server that stands in for something that a stack calls, on a free port.

use axum::Router;
use tokio::net::TcpListener;

/// A port for a server that does not serve yet, so that what it serves may know its address.
#[derive(Debug)]
pub(super) struct StandIn(TcpListener);

impl StandIn {
    pub(super) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Its URL, without a path.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Serves until the story ends.
    pub(super) fn serves(self, routes: Router) {
        tokio::spawn(async move { axum::serve(self.0, routes).await });
    }
}
