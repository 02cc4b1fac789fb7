//! Durable state: the SQLite journal and the audit chain.
