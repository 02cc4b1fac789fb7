//! Wiring: configuration, home, router, session workers, outbox pump, approvals and the HTTP API. It must not speak SQL
//! or a wire format, and no client may do more than the API offers. Start reading at [`Daemon::start`], then `router`.

pub mod api;
mod audit_writer;
mod canary;
pub mod client;
mod clock;
mod commands;
pub mod config;
mod core;
mod dead_man;
mod deliver;
mod doctor;
mod failure;
pub mod home;
#[expect(dead_code, reason = "the engine of jobs is the one who calls these")]
mod jobs;
mod journal;
mod leaks;
mod network;
mod network_log;
mod occupancy;
pub mod offline;
mod outbox;
mod practice;
mod present;
mod programs;
mod recovery;
mod requests;
mod router;
mod second_factor;
pub mod security;
mod sessions;
mod ship;
mod slash;
mod start;
mod status;
mod traffic;
mod vault_record;
mod widening;
mod wiring;

pub use audit_writer::{WriterOptions, serve_audit};
pub use channels::terminal;
pub use clock::SystemClock;
pub use config::{Config, ConfigError, WorkspaceConfig};
pub use egress::{AskPassphrase, KeySource, KeySources, Passphrase};
pub use home::{Home, HomeError};
pub use network_log::NetworkLog;
pub use sandbox::apparmor_profile;
pub use second_factor::totp_secret;
pub use start::{Daemon, Options, SelfTest, StartError, maybe_run_sandbox_init};
pub use traffic::Traffic;
pub use wiring::WiringError;
