//! Servers that stand in for what a stack calls, each on a free port: they can fail as the real ones do.

pub(crate) mod callbacks;
pub(crate) mod dynamodb;
pub(crate) mod jwks;
pub(crate) mod receiver;
pub(crate) mod secrets;

use axum::Router;
use tokio::net::TcpListener;

/// A port for a server that does not serve yet, so that what it serves may know its address.
#[derive(Debug)]
struct StandIn(TcpListener);

impl StandIn {
    async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Its URL, without a path.
    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Serves until the story ends.
    fn serves(self, routes: Router) {
        tokio::spawn(async move { axum::serve(self.0, routes).await });
    }
}
