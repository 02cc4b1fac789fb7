//! One file per model wire dialect.
