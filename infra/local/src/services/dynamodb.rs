//! DynamoDB, in this process and in memory: its items are of no use after the connections are closed.

use std::net::SocketAddr;

use dynoxide::Database;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::template::Table;

/// Serves DynamoDB with these tables on a free port.
pub(crate) async fn start(tables: &[Table]) -> Result<SocketAddr, String> {
    let database = Database::memory().map_err(|error| error.to_string())?;
    for table in tables {
        database.create_table(request(&table.definition)?).map_err(|error| error.to_string())?;
        if let Some(time_to_live) = &table.time_to_live {
            database.update_time_to_live(request(time_to_live)?).map_err(|error| error.to_string())?;
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(address)
}

/// The properties of a table in CloudFormation are parameters of the API calls.
fn request<T: DeserializeOwned>(properties: &serde_json::Value) -> Result<T, String> {
    serde_json::from_value(properties.clone())
        .map_err(|error| format!("table {}: {error}", properties["TableName"].as_str().unwrap_or_default()))
}
