//! The months of budgets.

use types::Timestamp;

/// The UTC month of a time: the year times 100 plus the month from 1 to 12, such as 202611.
pub fn year_month(at: Timestamp) -> i64 {
    // Years are counted from March, so that the leap day is the last of its year, in eras of 400 years, which all have
    // the same length.
    let days = at.day() + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    year * 100 + month
}

/// The UTC hour of a time, counted from 1970.
pub fn hour_of(at: Timestamp) -> i64 {
    at.0.div_euclid(3_600_000)
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::year_month;

    #[test]
    fn months_end_where_the_calendar_says() {
        let day = 86_400_000;
        for (at, expected) in [
            (0, 197_001),
            (-1, 196_912),
            (30 * day, 197_001),
            (31 * day, 197_002),
            (951_782_400_000, 200_002),       // 2000-02-29
            (951_782_400_000 + day, 200_003), // 2000-03-01
            (4_107_542_400_000, 210_003),     // 2100-03-01: 2100 is no leap year
            (4_107_542_400_000 - 1, 210_002),
            (1_798_761_599_999, 202_612),
            (1_798_761_600_000, 202_701),
        ] {
            assert_eq!(year_month(Timestamp(at)), expected, "{at}");
        }
    }
}
