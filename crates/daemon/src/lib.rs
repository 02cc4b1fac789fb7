//! Wiring: configuration, home, router, session workers, outbox pump, approvals and the HTTP API. It must not speak SQL
//! or a wire format, and no client may do more than the API offers. Start reading at [`Daemon::start`], then `router`.

pub mod api;
pub mod client;
mod clock;
pub mod config;
mod failure;
pub mod home;
pub mod offline;
mod start;

pub use clock::SystemClock;
pub use config::{Config, ConfigError};
pub use home::{Home, HomeError};
pub use start::{Daemon, Options, StartError, maybe_run_sandbox_init};
