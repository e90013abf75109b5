//! Postgres, as the stories look into it.

use std::sync::Arc;

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::Stack;

/// An empty database on the shared server, gone with this value's server.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// The server is the shared stack's.
    _server: Arc<Stack>,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let server = Stack::shared();
        let name = format!("test_{}", Uuid::new_v4().simple());
        let admin = connect(server.postgres_url()).await;
        admin.batch_execute(&format!("create database {name}")).await.expect("we are the superuser");
        let (address, _) = server.postgres_url().rsplit_once('/').expect("it names a database");
        Self { url: format!("{address}/{name}"), _server: server }
    }
}

/// A connection to the database at `url`.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("Postgres is running");
    tokio::spawn(connection);
    client
}
