//! The HTTP API on the Unix socket and on the loopback address: what every client speaks. It must hold no logic of its
//! own: commands go to the router, reads to the store.

pub mod views;
