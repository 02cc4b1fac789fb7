//! What the fuzz targets run; the normal suite runs the same bodies over mutated seeds (`crates/egress/tests/it/fuzz.rs`).

pub mod bodies;
