//! What the proxy answers to callers who speak gRPC: they look for a `grpc-status`, not for a status of HTTP.
//!
//! The mapping is that of gRPC's `http-grpc-status-mapping.md`, which clients apply to answers of proxies that know
//! nothing of gRPC; the form is Trailers-Only of its `PROTOCOL-HTTP2.md`.

use crate::message::{Known, RequestHead, ResponseHead, Version};

/// Whether the caller speaks gRPC. `application/grpc-web` is something else: it has no trailers.
pub(super) fn is_grpc(head: &RequestHead) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let Some(content) = head.fields.get_known(Known::ContentType) else { return false };
    let Some((name, rest)) = content.split_at_checked(TYPE.len()) else { return false };
    head.version == Version::Http2
        && name.eq_ignore_ascii_case(TYPE)
        && matches!(rest.first(), None | Some(b'+' | b';'))
}

/// Says the same in gRPC: the head is all of the answer.
pub(super) fn answer(head: &mut ResponseHead, reason: &str) {
    let status = status_of(head.status);
    head.status = 200;
    head.fields.set_known(Known::ContentType, b"application/grpc");
    head.fields.set_known(Known::GrpcStatus, status.as_bytes());
    // Reasons are words, blanks and underscores: nothing to percent-encode.
    head.fields.set_known(Known::GrpcMessage, reason.as_bytes());
}

fn status_of(status: u16) -> &'static str {
    match status {
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 | 502..=504 => "14",
        _ => "2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_content() {
        for (content, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC;x=y", true),
            ("application/grpc-web", false),
            ("application/grp", false),
            ("text/plain", false),
        ] {
            let mut head = RequestHead::new();
            head.version = Version::Http2;
            assert!(head.fields.push("content-type", content.as_bytes()));
            assert_eq!(is_grpc(&head), is, "{content}");
            head.version = Version::Http11;
            assert!(!is_grpc(&head));
        }
    }
}
