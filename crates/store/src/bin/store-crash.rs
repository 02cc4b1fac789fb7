//! Replaced together with the crash test.
fn main() {}
