//! The sandbox for real: each test builds one with the program `sandbox-init`.

mod basics;
mod support;
