//! One file per messenger, and what they share.
