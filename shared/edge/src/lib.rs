//! Between Lambda events and handlers: an event in, a status or a frame out.
//!
//! The only crate that maps errors to statuses and frames, verifies tokens, and sets up the log.

mod error;
pub mod http;
mod start;
pub mod task;
pub mod telemetry;
pub mod token;
pub mod url;
pub mod websocket;

pub use error::Error;
pub use start::warm_up;
