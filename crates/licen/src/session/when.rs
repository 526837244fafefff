//! Moments and durations as people type them.

use chrono::{DateTime, NaiveDate};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// The last second of the year 9999. More is milliseconds, or a slip.
const LATEST: u64 = 253_402_300_799;
/// Fewer Unix seconds (before September 2001) are rather a date without its dashes.
const EARLIEST: u64 = 1_000_000_000;

/// Unix seconds of a date (midnight UTC), a time or Unix seconds; 0 is before everything.
///
/// # Errors
/// Something else, or nothing between 2001 and 9999.
pub fn moment(flag: &str, text: &str) -> Outcome<u64> {
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    let seconds = if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        u64::try_from(time.timestamp()).ok()
    } else {
        date().and_then(|midnight| u64::try_from(midnight.and_utc().timestamp()).ok())
    };
    seconds.filter(|s| *s == 0 || (EARLIEST..=LATEST).contains(s)).ok_or_else(|| {
        CliError::environment(codes::USAGE, format!("{flag} {text:?} is no moment between 2001 and 9999"))
            .hint("2026-12-01 is midnight UTC; 2026-12-01T09:30:00Z and Unix seconds are understood, too")
    })
}

/// Seconds of 90s, 30min, 12h, 30d, 4w, or seconds without a unit.
///
/// # Errors
/// Something else.
pub fn duration(flag: &str, text: &str) -> Outcome<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "" | "s" => Some(1),
        "min" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        "w" => Some(7 * 86_400),
        _ => None,
    };
    let seconds = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, n)| n.checked_mul(unit));
    seconds.filter(|s| *s <= LATEST).ok_or_else(|| {
        CliError::environment(codes::USAGE, format!("{flag} {text:?} is not a duration"))
            .hint("for example 90s, 30min, 12h, 30d or 4w; a number alone is seconds")
    })
}

/// Unix seconds for people.
#[must_use]
pub fn shown(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| DateTime::from_timestamp(s, 0));
    time.map_or_else(|| seconds.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_what_people_mean() {
        let day = moment("--vest-start", "2026-12-01").unwrap();
        assert_eq!(shown(day), "2026-12-01 00:00:00 UTC");
        assert_eq!(moment("--vest", "2026-12-01T02:00:00+02:00").unwrap(), day);
        assert_eq!(moment("--vest", &day.to_string()).unwrap(), day);
        assert_eq!(moment("--vest", "0").unwrap(), 0);
        for wrong in ["20261201", "1796083200000", "2026-13-01", "2026-02-30", "1969-01-01", "", "-5", "soon"]
        {
            assert!(moment("--vest", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units_and_no_month_is_a_minute() {
        let of = |text| duration("--vest-for", text).ok();
        assert_eq!((of("30d"), of("2w"), of("1h")), (Some(2_592_000), Some(1_209_600), Some(3_600)));
        assert_eq!((of("5min"), of("9s"), of("7"), of("0")), (Some(300), Some(9), Some(7), Some(0)));
        for wrong in ["", "d", "1m", "1.5d", "-1d", "30 d", "99999999999999999999", "99999999999999w"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
