//! Times as the model reads them: `2026-11-21 10:02 UTC`.

use types::Timestamp;

const LAST_DAY: i64 = 2_932_896;

/// The time to the minute. Times outside of the years 1970 to 9999 are shown as the nearest end.
pub(crate) fn minute(at: Timestamp) -> String {
    let minutes = at.0.div_euclid(60_000).rem_euclid(24 * 60);
    let (year, month, day) = civil(at.day().clamp(0, LAST_DAY));
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Year, month and day of a day since 1970.
fn civil(day: i64) -> (i64, usize, i64) {
    let (mut year, mut left) = (1970, day);
    while left >= days_of(year) {
        left -= days_of(year);
        year += 1;
    }
    let february = days_of(year) - 337;
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    (year, month + 1, left + 1)
}

fn days_of(year: i64) -> i64 {
    if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_shown() {
        assert_eq!(minute(Timestamp(0)), "1970-01-01 00:00 UTC");
        assert_eq!(minute(Timestamp(951_782_399_000)), "2000-02-28 23:59 UTC");
        assert_eq!(minute(Timestamp(951_868_799_999)), "2000-02-29 23:59 UTC");
        assert_eq!(minute(Timestamp(1_795_255_347_000)), "2026-11-21 10:02 UTC");
        assert_eq!(minute(Timestamp(253_402_300_799_999)), "9999-12-31 23:59 UTC");
        assert_eq!(minute(Timestamp(i64::MAX)).get(..10), Some("9999-12-31"));
        assert_eq!(minute(Timestamp(-1)).get(..10), Some("1970-01-01"));
    }
}
