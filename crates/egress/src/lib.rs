//! Every outgoing socket, and the vault of secrets that only outgoing requests may use. Must not know who uses it:
//! vendors, messengers and dialects are the callers' affair. Start with [`HttpClient`] for addresses that the owner configured, with
//! [`Judge`] for those that anybody else chose, and with [`Vault`].

mod address;
mod client;
mod config;
mod configured;
mod deny;
mod error;
mod fetch;
mod fetching;
mod judge;
mod log;
mod model;
mod network;
mod path;
mod presets;
mod proxy;
mod request;
mod resolve;
mod response;
mod rules;
mod second_factor;
mod stream;
mod tally;
mod target;
mod tls;
mod upstream;
mod vault;

pub use address::{AddressClass, AddressRules, Prefix, PrefixError, classify};
pub use client::{ClientConfig, HttpClient, LocalClient, Slot, Timeouts, check_address, leads_to};
pub use config::{EgressConfig, RuleConfig, RuleError};
pub use deny::DenyReason;
pub use error::{EgressError, EgressErrorKind};
pub use fetch::{Credentials, FetchError, FetchRequest, Fetched, Fetcher, Redirects, SecretHeader, VaultCredentials};
pub use judge::{Allowed, Judge, Judged};
pub use log::{EgressLog, EgressRecord, Stage, Unrecorded, Who};
pub use network::{Interfaces, Network};
pub use path::{PathError, PathPattern, PatternError, RequestPath};
pub use presets::Preset;
pub use proxy::{
    CaError, Custody, CustodyError, EgressPolicy, Hello, Limits, Placeholders, Proxy, SandboxCa, SandboxEgress,
    read_head, read_hello,
};
pub use request::Request;
pub use reqwest::Method;
pub use resolve::{Resolve, SystemResolver, TableResolver};
pub use response::Response;
pub use rules::{Ask, Caps, ConnectionRule, EgressRules, HostPattern, HostPatternError, Methods, Reach, Rule, RuleId};
pub use second_factor::SecondFactorKey;
pub use stream::{Stream, StreamClient, connect_local};
pub use tally::{DayTally, Meter, Moved, Tally};
pub use target::{DnsName, Host, Scheme, Target, TargetError, WebTarget};
pub use tls::check_certificates;
pub use upstream::{Connection, Upstream, Wire};
pub use vault::{
    AskPassphrase, Binding, BoundSecret, CredentialSlot, Dead, EnvName, GithubRepository, InvalidBinding, KeySource,
    KeySources, Known, Passphrase, SecretInfo, SecretSettings, SecretValue, Standing, Vault, VaultError,
};
