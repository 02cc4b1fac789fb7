//! One file per model wire dialect, and what the dialects share. Vendors are data; dialects are code. Must not know
//! sessions. Start with [`build`] and [`ProviderConfig`].

mod config;
pub mod practice;

pub use config::{Api, OutputLimit, ProviderConfig, ProviderConfigError, build};
