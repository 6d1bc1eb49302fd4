//! Why a message is refused: one word each for logs and metrics, and the status that answers it.

use std::fmt;

/// What is wrong with lines and framing, whichever kind of message has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    BareLf,
    Folding,
    FieldName,
    FieldValue,
    HeadTooLarge,
    TooManyFields,
    LengthInvalid,
    LengthRepeated,
    CodingInvalid,
    CodingUnknown,
    CodingWithLength,
    CodingInVersion10,
    ConnectionOption,
}

/// Declares an error whose variants have a reason word.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $id:ident = $reason:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$item])* $id,)* }

        impl $name {
            /// One stable word, for logs and metrics.
            pub const fn reason(self) -> &'static str {
                match self { $($name::$id => $reason,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.reason())
            }
        }

        impl std::error::Error for $name {}
    };
}

/// Declares how a fault is called in an error that has a variant of the same name.
macro_rules! faults {
    ($name:ident: $($id:ident)*) => {
        impl From<Fault> for $name {
            fn from(fault: Fault) -> $name {
                match fault { $(Fault::$id => $name::$id,)* }
            }
        }
    };
}

reasons! {
    /// Why a request is refused. The connection cannot be used further: where the next request begins
    /// is unknown.
    BadRequest {
        /// A line ends in LF without CR (RFC 9112 2.2).
        BareLf = "bare_lf",
        /// The first line is not method, target and version with one space between (RFC 9112 3).
        RequestLine = "request_line",
        /// The request line does not end within the limit for heads (RFC 9112 3; 414).
        RequestLineTooLong = "request_line_too_long",
        /// The method is not a token (RFC 9110 9.1).
        Method = "method",
        /// The method is longer than any that is known (RFC 9112 3; 501).
        MethodTooLong = "method_too_long",
        /// The target is none of the four forms, or not the one its method demands (RFC 9112 3.2).
        Target = "target",
        /// The target names a scheme that is not served (RFC 9110 7.4).
        Scheme = "scheme",
        /// The authority in the target is not a host with an optional port (RFC 9110 4.2.1, 4.2.4).
        Authority = "authority",
        /// The version is not of the form HTTP/1.1 (RFC 9112 2.3).
        Version = "version",
        /// A version other than 1.0 and 1.1 (RFC 9110 15.6.6; 505).
        VersionUnsupported = "version_unsupported",
        /// A line continues the one before (RFC 9112 5.2).
        Folding = "folding",
        /// A field name is not a token, or white space stands before its colon (RFC 9112 5.1).
        FieldName = "field_name",
        /// A field value holds a control byte (RFC 9110 5.5).
        FieldValue = "field_value",
        /// The head is longer than the limit (RFC 6585 5; 431).
        HeadTooLarge = "head_too_large",
        /// There are more fields than the limit (RFC 6585 5; 431).
        TooManyFields = "too_many_fields",
        /// HTTP/1.1 without `host` (RFC 9112 3.2).
        HostMissing = "host_missing",
        /// More than one `host` (RFC 9112 3.2).
        HostRepeated = "host_repeated",
        /// `host` is not a host with an optional port (RFC 9112 3.2, RFC 9110 7.2).
        HostInvalid = "host_invalid",
        /// `host` differs from the authority in the target (RFC 9112 3.2.2).
        HostMismatch = "host_mismatch",
        /// `content-length` is not one decimal number (RFC 9110 8.6).
        LengthInvalid = "length_invalid",
        /// More than one `content-length`, equal or not (RFC 9112 6.3).
        LengthRepeated = "length_repeated",
        /// `transfer-encoding` does not end in exactly one `chunked` (RFC 9112 6.1, 6.3).
        CodingInvalid = "coding_invalid",
        /// A transfer coding that is not registered, or too many (RFC 9112 6.1; 501).
        CodingUnknown = "coding_unknown",
        /// `transfer-encoding` and `content-length` together (RFC 9112 6.1).
        CodingWithLength = "coding_with_length",
        /// `transfer-encoding` in HTTP/1.0 (RFC 9112 6.1).
        CodingInVersion10 = "coding_in_version_1_0",
        /// `connection` is not a list of at most 32 tokens (RFC 9110 7.6.1).
        ConnectionOption = "connection_option",
        /// `CONNECT` with content (RFC 9110 9.3.6).
        ConnectContent = "connect_content",
        /// An expectation other than `100-continue` (RFC 9110 10.1.1; 417).
        Expectation = "expectation",
    }
}

faults!(BadRequest: BareLf Folding FieldName FieldValue HeadTooLarge TooManyFields LengthInvalid LengthRepeated
    CodingInvalid CodingUnknown CodingWithLength CodingInVersion10 ConnectionOption);

impl BadRequest {
    /// The status that answers such a request.
    pub const fn status(self) -> u16 {
        match self {
            BadRequest::RequestLineTooLong => 414,
            BadRequest::Expectation => 417,
            BadRequest::HeadTooLarge | BadRequest::TooManyFields => 431,
            BadRequest::MethodTooLong | BadRequest::CodingUnknown => 501,
            BadRequest::VersionUnsupported => 505,
            _ => 400,
        }
    }
}

reasons! {
    /// Why a response of an origin is not passed on. The caller gets a 502; the connection to the
    /// origin cannot be used further.
    BadResponse {
        /// A line ends in LF without CR (RFC 9112 2.2).
        BareLf = "bare_lf",
        /// The first line is not version, status and reason (RFC 9112 4).
        StatusLine = "status_line",
        /// The status is not a number from 100 to 599 (RFC 9110 15).
        Status = "status",
        /// A version other than 1.0 and 1.1 (RFC 9112 2.3).
        Version = "version",
        /// A line continues the one before (RFC 9112 5.2).
        Folding = "folding",
        /// A field name is not a token, or white space stands before its colon (RFC 9112 5.1).
        FieldName = "field_name",
        /// A field value holds a control byte (RFC 9110 5.5).
        FieldValue = "field_value",
        /// The head is longer than the limit.
        HeadTooLarge = "head_too_large",
        /// There are more fields than the limit.
        TooManyFields = "too_many_fields",
        /// `content-length` is not one decimal number (RFC 9112 6.3).
        LengthInvalid = "length_invalid",
        /// `content-length` twice with different values (RFC 9112 6.3).
        LengthRepeated = "length_repeated",
        /// `transfer-encoding` does not end in exactly one `chunked` (RFC 9112 6.3).
        CodingInvalid = "coding_invalid",
        /// A transfer coding other than `chunked`, which nobody asked for (RFC 9110 10.1.4).
        CodingUnknown = "coding_unknown",
        /// `transfer-encoding` and `content-length` together (RFC 9112 6.3).
        CodingWithLength = "coding_with_length",
        /// `transfer-encoding` in HTTP/1.0 (RFC 9112 6.1).
        CodingInVersion10 = "coding_in_version_1_0",
        /// `connection` is not a list of at most 32 tokens (RFC 9110 7.6.1).
        ConnectionOption = "connection_option",
    }
}

faults!(BadResponse: BareLf Folding FieldName FieldValue HeadTooLarge TooManyFields LengthInvalid LengthRepeated
    CodingInvalid CodingUnknown CodingWithLength CodingInVersion10 ConnectionOption);

reasons! {
    /// Why a chunked body is refused (RFC 9112 7.1). The connection cannot be used further.
    BadChunk {
        /// The size is not 1 to 16 hexadecimal digits.
        Size = "chunk_size",
        /// A chunk extension is malformed.
        Extension = "chunk_extension",
        /// The extensions of one chunk are longer than 1 KiB.
        ExtensionTooLong = "chunk_extension_too_long",
        /// CR and LF are missing where a line or the data end.
        LineEnd = "chunk_line_end",
        /// A trailer field is malformed.
        Trailer = "trailer",
        /// The trailer section is longer than the limit, or has too many fields.
        TrailersTooLarge = "trailers_too_large",
    }
}
