//! Supervisors for real: processes of their own, in outer namespaces.

mod job;
mod talks;
