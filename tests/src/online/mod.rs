//! Real programs against servers that the test plays: HTTPS servers with certificates of an authority of the test's own, a
//! Git server among them, and a daemon in this process whose network is played.

pub mod git;
pub mod scene;
pub mod vendor;
pub mod web;

pub use git::{GitServer, TOKEN};
pub use scene::Online;
pub use web::{Authority, serve_plain, serve_tls, tunnel_tls};
