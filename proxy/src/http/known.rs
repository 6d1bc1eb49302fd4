//! Names of fields that the proxy itself reads or writes, as small integers: a look-up on the path of
//! an exchange compares bytes of an index instead of strings. It stands apart from the storage because
//! it grows with the proxy's duties, and the storage does not.

/// Declares [`Known`], its spelling and the way back from a spelling.
macro_rules! known {
    ($($id:ident = $text:literal,)*) => {
        /// A field name that the proxy knows. Anything else is [`Known::Other`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Known {
            /// A name without a meaning to the proxy.
            Other,
            $(#[allow(missing_docs)] // the variant is its own spelling
            $id,)*
        }

        impl Known {
            /// Every known name.
            pub const ALL: &'static [Known] = &[$(Known::$id,)*];

            /// The name in lower case; empty for [`Known::Other`].
            pub const fn as_str(self) -> &'static str {
                // A table, so that the check that names are text is made by the compiler.
                const NAMES: &[&str] = &["", $(match std::str::from_utf8($text) {
                    Ok(name) => name,
                    Err(_) => panic!("a name is text"),
                },)*];
                NAMES[self as usize]
            }

            /// Looks a name up that is in lower case already.
            pub(super) fn of_lower(name: &[u8]) -> Known {
                match name {
                    $($text => Known::$id,)*
                    _ => Known::Other,
                }
            }
        }
    };
}

known! {
    AcceptEncoding = b"accept-encoding",
    Age = b"age",
    Authorization = b"authorization",
    CacheControl = b"cache-control",
    Connection = b"connection",
    ContentEncoding = b"content-encoding",
    ContentLength = b"content-length",
    ContentLengthLookalike = b"content_length",
    ContentRange = b"content-range",
    ContentType = b"content-type",
    Cookie = b"cookie",
    Date = b"date",
    Expect = b"expect",
    Expires = b"expires",
    Forwarded = b"forwarded",
    GrpcMessage = b"grpc-message",
    GrpcStatus = b"grpc-status",
    GrpcTimeout = b"grpc-timeout",
    Host = b"host",
    Http2Settings = b"http2-settings",
    IfMatch = b"if-match",
    IfModifiedSince = b"if-modified-since",
    IfNoneMatch = b"if-none-match",
    IfRange = b"if-range",
    IfUnmodifiedSince = b"if-unmodified-since",
    KeepAlive = b"keep-alive",
    Location = b"location",
    MaxForwards = b"max-forwards",
    Origin = b"origin",
    Pragma = b"pragma",
    ProxyAuthenticate = b"proxy-authenticate",
    ProxyAuthorization = b"proxy-authorization",
    ProxyConnection = b"proxy-connection",
    ProxyStatus = b"proxy-status",
    Range = b"range",
    RetryAfter = b"retry-after",
    Server = b"server",
    SetCookie = b"set-cookie",
    Te = b"te",
    Traceparent = b"traceparent",
    Tracestate = b"tracestate",
    Trailer = b"trailer",
    TransferEncoding = b"transfer-encoding",
    TransferEncodingLookalike = b"transfer_encoding",
    Upgrade = b"upgrade",
    UserAgent = b"user-agent",
    Vary = b"vary",
    Via = b"via",
    WwwAuthenticate = b"www-authenticate",
    XForwardedFor = b"x-forwarded-for",
    XForwardedHost = b"x-forwarded-host",
    XForwardedPort = b"x-forwarded-port",
    XForwardedProto = b"x-forwarded-proto",
    XRealIp = b"x-real-ip",
    XRequestId = b"x-request-id",
    XRequestTimeout = b"x-request-timeout",
}

impl Known {
    /// Looks a name up in whatever case it is written.
    pub fn of(name: &str) -> Known {
        let mut lower = [0; LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else { return Known::Other };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        Known::of_lower(lower)
    }

    /// The bit of this name in a [`KnownSet`].
    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of known names, tested with one instruction.
#[derive(Debug, Clone, Copy, Default)]
pub struct KnownSet(u64);

impl KnownSet {
    /// No name.
    pub const NONE: KnownSet = KnownSet(0);

    /// The set of these names.
    pub const fn of(names: &[Known]) -> KnownSet {
        let (mut bits, mut i) = (0, 0);
        while i < names.len() {
            bits |= names[i].bit();
            i += 1;
        }
        KnownSet(bits)
    }

    /// The set with one name more.
    pub const fn with(self, name: Known) -> KnownSet {
        KnownSet(self.0 | name.bit())
    }

    /// The set without this name.
    pub const fn without(self, name: Known) -> KnownSet {
        KnownSet(self.0 & !name.bit())
    }

    /// What belongs to this set but not to the other.
    pub const fn minus(self, other: KnownSet) -> KnownSet {
        KnownSet(self.0 & !other.0)
    }

    /// Whether the sets have a name in common.
    pub const fn meets(self, other: KnownSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the name belongs to the set.
    pub const fn contains(self, name: Known) -> bool {
        self.0 & name.bit() != 0
    }
}

/// Length of the longest known name.
const LONGEST: usize = 19;

// A set is one word, and the look-up's buffer holds every name: neither can be outgrown unnoticed.
const _: () = {
    assert!(Known::ALL.len() < 64);
    let mut i = 0;
    while i < Known::ALL.len() {
        assert!(Known::ALL[i].as_str().len() <= LONGEST);
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for &known in Known::ALL {
            assert_eq!(Known::of(known.as_str()), known);
            assert_eq!(Known::of(&known.as_str().to_uppercase()), known);
        }
        for other in ["", "x", "hosts", "x-forwarded-for-and-more-than-any-known-name"] {
            assert_eq!(Known::of(other), Known::Other, "{other}");
        }
    }

    #[test]
    fn a_set_holds_what_it_was_given() {
        let set = KnownSet::of(&[Known::Host, Known::XRequestId]).with(Known::Te).without(Known::Host);
        assert!(set.contains(Known::Te) && set.contains(Known::XRequestId));
        assert!(!set.contains(Known::Host) && !set.contains(Known::Other));
    }
}
