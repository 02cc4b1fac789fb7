//! Every outgoing socket, and the vault of secrets.
