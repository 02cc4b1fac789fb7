//! The proxy between a program in a sandbox and servers on the internet, all of them played in a private network.
#![expect(clippy::disallowed_methods, reason = "tests play the programs and servers outside, with clocks of their own")]

/// Defines tests of the module that run in a network of their own.
macro_rules! in_private_network {
    ($module:literal: $($name:ident)*) => {
        mod inside {$(
            #[test]
            fn $name() {
                $crate::inside::run(concat!("proxy::", $module, "::inside::", stringify!($name)), super::$name);
            }
        )*}
    };
}

#[cfg(feature = "faults")]
mod broken;
mod credentials;
mod custody;
mod fetching;
mod framing;
mod limits;
mod live;
mod masking;
mod models;
mod server;
mod tunnels;
mod world;
