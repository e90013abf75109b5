//! DynamoDB, in this process and in memory: its items are of no use after the connections are closed.

use std::net::SocketAddr;

use dynoxide::Database;
use serde::de::DeserializeOwned;

use crate::listener::listen;
use crate::template::Table;

/// Why DynamoDB cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DynamoDbError {
    #[error("table {name}: {reason}")]
    Table { name: String, reason: serde_json::Error },
    #[error(transparent)]
    Refused(#[from] dynoxide::DynoxideError),
    #[error(transparent)]
    NoPort(#[from] std::io::Error),
}

/// Serves DynamoDB with these tables on a free port.
pub(crate) async fn start(tables: &[Table]) -> Result<SocketAddr, DynamoDbError> {
    let database = Database::memory()?;
    for table in tables {
        database.create_table(request(&table.definition)?)?;
        if let Some(time_to_live) = &table.time_to_live {
            database.update_time_to_live(request(time_to_live)?)?;
        }
    }
    let listener = listen(0)?;
    let address = listener.local_addr()?;
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(address)
}

/// The properties of a table in CloudFormation are parameters of the API calls.
fn request<T: DeserializeOwned>(properties: &serde_json::Value) -> Result<T, DynamoDbError> {
    serde_json::from_value(properties.clone()).map_err(|reason| DynamoDbError::Table {
        name: properties["TableName"].as_str().unwrap_or_default().to_owned(),
        reason,
    })
}
