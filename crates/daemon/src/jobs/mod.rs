//! Jobs: what a coding agent is given to work on and with, and the answers to what it asks.

mod door;
mod gate;
