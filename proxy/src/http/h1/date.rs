//! The `date` field's text, made once a second (RFC 9110 6.6.1, 5.6.7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A `date` value kept for the second it is right in. One per worker.
#[derive(Debug, Default)]
pub struct DateCache {
    second: u64,
    text: String,
}

impl DateCache {
    /// Holds no date yet.
    pub const fn new() -> DateCache {
        DateCache { second: 0, text: String::new() }
    }

    /// The value for this moment, such as `Sun, 06 Nov 1994 08:49:37 GMT`. A clock outside the years
    /// 1970 to 9999 is held at the nearest of them.
    pub fn at(&mut self, now: SystemTime) -> &[u8] {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since_epoch.as_secs().min(LAST_SECOND);
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        self.text.as_bytes()
    }
}

/// The last second of the year 9999, which is as far as the format goes.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cache: &mut DateCache, millis: u64) -> String {
        String::from_utf8(cache.at(UNIX_EPOCH + Duration::from_millis(millis)).to_vec()).unwrap()
    }

    #[test]
    fn a_date_is_right_in_every_second() {
        let mut cache = DateCache::new();
        assert_eq!(text(&mut cache, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(&mut cache, 784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(&mut cache, 784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(&mut cache, 784_111_778_000), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(text(&mut cache, 784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_clock_beyond_the_format_is_held_at_its_end() {
        let mut cache = DateCache::new();
        assert_eq!(text(&mut cache, 400_000_000_000_000), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(cache.at(UNIX_EPOCH - Duration::from_secs(5)), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
