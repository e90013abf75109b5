//! The boundary: a Lambda event in, a status or a frame out.
//!
//! The only crate that picks statuses and writes error frames, verifies tokens, reads the environment and
//! sets up the log.

pub mod env;
mod error;
pub mod http;
pub mod telemetry;
pub mod token;
pub mod websocket;

pub use error::Error;
