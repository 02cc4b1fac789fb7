//! Points in time.

use jiff::{Timestamp as Instant, tz::TimeZone};
use types::Timestamp;

/// A point in time in the machine's time zone, to the minute.
pub fn time(at: Timestamp) -> String {
    in_zone(at, TimeZone::system())
}

fn in_zone(at: Timestamp, zone: TimeZone) -> String {
    match Instant::from_millisecond(at.0) {
        Ok(instant) => instant.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => format!("{} ms", at.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable_even_when_they_are_nonsense() {
        assert_eq!(in_zone(Timestamp(1_795_255_440_000), TimeZone::UTC), "2026-11-21 10:04");
        assert_eq!(in_zone(Timestamp(i64::MAX), TimeZone::UTC), format!("{} ms", i64::MAX));
    }
}
