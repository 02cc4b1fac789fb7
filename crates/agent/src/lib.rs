//! The turn loop, the context and the tool gate.
