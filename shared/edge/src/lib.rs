//! The boundary: a Lambda event in, a status or a frame out.
//!
//! The only crate that picks statuses and writes error frames, verifies tokens and sets up the log.

mod error;
pub mod http;
pub mod task;
pub mod telemetry;
pub mod token;
pub mod websocket;

pub use error::Error;
