//! Wiring, router, session actors, outbox, API.
