//! Supervisors for real: processes of their own, in outer namespaces.

mod bridged;
mod daemons;
mod ends;
mod full;
mod job;
mod knocks;
mod seats;
mod strays;
mod talks;
