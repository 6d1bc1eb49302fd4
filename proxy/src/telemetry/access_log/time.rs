//! Times as logs show them: RFC 3339 in UTC, with milliseconds.

/// Appends a Unix time in milliseconds, as `2026-03-21T09:05:07.042Z`. Years beyond 9999 stay at its end.
pub(super) fn write(unix_ms: u64, out: &mut Vec<u8>) {
    const LAST: u64 = 253_402_300_799_999;
    let unix_ms = unix_ms.min(LAST);
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = date(days);
    let seconds = ms / 1_000;
    digits::<4>(year, out);
    out.push(b'-');
    digits::<2>(month, out);
    out.push(b'-');
    digits::<2>(day, out);
    out.push(b'T');
    digits::<2>(seconds / 3_600, out);
    out.push(b':');
    digits::<2>(seconds / 60 % 60, out);
    out.push(b':');
    digits::<2>(seconds % 60, out);
    out.push(b'.');
    digits::<3>(ms % 1_000, out);
    out.push(b'Z');
}

/// Year, month and day of a count of days since 1970-01-01 in the Gregorian calendar. Years are taken to
/// begin in March, so that the odd day comes last; an era is 400 years (Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", civil_from_days).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

fn digits<const N: usize>(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_ms: u64) -> String {
        let mut out = Vec::new();
        write(unix_ms, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_moments_are_written_as_they_were() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_234_567_890_123), "2009-02-13T23:31:30.123Z");
        assert_eq!(text(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(text(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        for day in 1..200_000 {
            let (year, month, of_month) = date(day);
            let first_of_month = of_month == 1 && before.2 >= 28;
            assert!(of_month == before.2 + 1 || first_of_month, "day {day}");
            assert!((year, month) >= (before.0, before.1) && month <= 12, "day {day}");
            before = (year, month, of_month);
        }
    }
}
