//! Supervisors for real: processes of their own, in outer namespaces.

mod bridged;
mod job;
mod seats;
mod talks;
