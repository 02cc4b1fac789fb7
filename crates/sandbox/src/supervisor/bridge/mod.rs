//! The bridge to a program that is spoken to over HTTP on a port of its sandbox: lines that are written to it become
//! requests, and what comes back becomes lines. Owns the connections; must not know what the requests mean, nor reach any
//! port but the one it was made for. Start with [`bridge`].
//!
//! A line that is written is one of
//!
//! ```text
//! {"id":"7","method":"POST","path":"/session","headers":{…},"body":{…},"timeout_s":60}
//! {"id":"8","method":"GET","path":"/event","stream":true}
//! {"cancel":"8"}
//! ```
//!
//! `headers`, `body`, `stream` and `timeout_s` may be left out. What is said about a request carries its id: once
//! `{"id":"7","status":200,"body":…}`, or `{"id":"7","error":"…"}`. The body is JSON where it can be read as such, a text where
//! not, and null where there is none. A stream begins with `{"id":"8","status":200}`, then gives
//! `{"id":"8","event":…,"name":"…"}` for each event, `{"id":"8","skipped":"…"}` for one that is too large, and ends with
//! `{"id":"8","closed":"why"}`; whether it is asked for again is not decided here. A stream that is answered with another
//! status than 2xx is answered like any request.

mod ask;
mod events;
mod line;
mod serve;

pub(crate) use serve::{Connect, bridge};
