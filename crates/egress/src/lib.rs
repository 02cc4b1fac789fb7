//! Every outgoing socket, and the vault of secrets that only outgoing requests may use. Must not know who uses it:
//! vendors, messengers and dialects are the callers' affair. Start with [`HttpClient`] and [`Vault`].

mod client;
mod error;
mod request;
mod response;
mod sealed;
mod stream;
mod tls;
mod vault;

pub use client::{ClientConfig, HttpClient, LocalClient, Slot, Timeouts, check_address};
pub use error::{EgressError, EgressErrorKind};
pub use request::Request;
pub use reqwest::Method;
pub use response::Response;
pub use stream::{Stream, StreamClient, connect_local};
pub use tls::check_certificates;
pub use vault::{SecretValue, Vault, VaultError};
