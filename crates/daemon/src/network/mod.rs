//! The ways out: for each workspace the rules by which its programs and the `fetch` tool reach the network, the door of each
//! sandbox, and the record of every decision. Must not judge (that is `egress`) and must not open a socket. Start with
//! [`Ways`].

mod door;
mod records;
mod vendor;
mod ways;

pub(crate) use door::{JobDoor, NewDoor};
pub(crate) use vendor::{binding, vendor_rules};
pub(crate) use ways::{Ways, WaysError};
