//! The call: `FetchX509SVID`, a gRPC stream over HTTP/2 over the agent's Unix socket.
//!
//! gRPC is framed as its protocol says (grpc/doc/PROTOCOL-HTTP2.md): five bytes before each message - whether it is
//! compressed, which is never asked for, and its length - and the status among the trailers.

use std::{path::Path, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, client};
use http::{HeaderMap, Request};
use tokio::{net::UnixStream, time::timeout};

use super::message::X509Svids;

const METHOD: &str = "http://localhost/SpiffeWorkloadAPI/FetchX509SVID";
/// Every request says that it is meant for the agent, so that no request that was tricked into its socket passes
/// (SPIFFE Workload Endpoint 6).
const SECURITY_HEADER: &str = "workload.spiffe.io";
/// An empty message: nothing is asked, the kernel tells the agent who asks.
const REQUEST: &[u8] = &[0, 0, 0, 0, 0];
/// Bytes of the longest message that is read; gRPC's own default. The bundles of many trust domains fit.
const LONGEST: usize = 4 << 20;
/// For the connection and for the first message. After that, silence is what nothing new sounds like.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls the agent and hands each message to `take`, for as long as the stream lasts. Answers why it ended, in words.
pub(super) async fn follow(socket: &Path, take: &mut impl FnMut(X509Svids)) -> String {
    match called(socket, take).await {
        Ok(never) => match never {},
        Err(reason) => format!("{}: {reason}", socket.display()),
    }
}

async fn called(socket: &Path, take: &mut impl FnMut(X509Svids)) -> Result<std::convert::Infallible, String> {
    let opened = timeout(PATIENCE, async {
        let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
        client::handshake(stream).await.map_err(|error| error.to_string())
    });
    let (sender, connection) = opened.await.map_err(|_| "the agent does not answer".to_owned())??;
    // The connection carries nothing else; when it ends, so does the call.
    tokio::select! {
        ended = connection => Err(match ended {
            Ok(()) => "the agent closed the connection".to_owned(),
            Err(error) => error.to_string(),
        }),
        ended = conversation(sender, take) => ended,
    }
}

async fn conversation(
    sender: client::SendRequest<Bytes>,
    take: &mut impl FnMut(X509Svids),
) -> Result<std::convert::Infallible, String> {
    let text = |error: h2::Error| error.to_string();
    let request = Request::post(METHOD)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header(SECURITY_HEADER, "true")
        .body(())
        .map_err(|error| error.to_string())?;
    let mut sender = sender.ready().await.map_err(text)?;
    let (response, mut body) = sender.send_request(request, false).map_err(text)?;
    body.send_data(Bytes::from_static(REQUEST), true).map_err(text)?;
    let silent = || "the agent sends no SVID".to_owned();
    let (head, mut messages) =
        timeout(PATIENCE, response).await.map_err(|_| silent())?.map_err(text)?.into_parts();
    if head.status != 200 {
        return Err(format!("the agent answers {}", head.status));
    }
    if let Some(status) = status(&head.headers) {
        return Err(status);
    }
    let mut buffer = BytesMut::new();
    let first = timeout(PATIENCE, next(&mut messages, &mut buffer)).await.map_err(|_| silent())??;
    take(first);
    loop {
        take(next(&mut messages, &mut buffer).await?);
    }
}

/// The next message of the stream.
async fn next(stream: &mut RecvStream, buffer: &mut BytesMut) -> Result<X509Svids, String> {
    loop {
        if let Some(message) = framed(buffer)? {
            return X509Svids::read(&message).map_err(|_| "the agent sent a malformed message".to_owned());
        }
        match stream.data().await {
            Some(Ok(piece)) => {
                buffer.extend_from_slice(&piece);
                // Fails only for a stream that is over.
                let _ = stream.flow_control().release_capacity(piece.len());
            }
            Some(Err(error)) => return Err(error.to_string()),
            None => {
                let trailers = stream.trailers().await.map_err(|error| error.to_string())?;
                let told = trailers.as_ref().and_then(status);
                return Err(told.unwrap_or_else(|| "the agent ended the stream".to_owned()));
            }
        }
    }
}

/// Takes a message from the buffer, if it is there whole.
fn framed(buffer: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some((&[compressed, a, b, c, d], rest)) = buffer.split_first_chunk::<5>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if compressed != 0 {
        return Err("the agent compresses, which was not asked for".to_owned());
    }
    if length > LONGEST {
        return Err(format!("the agent's message is longer than {LONGEST} bytes"));
    }
    if rest.len() < length {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// In words, if it is given and not 0.
fn status(fields: &HeaderMap) -> Option<String> {
    let field = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    let code = field("grpc-status")?;
    let meaning = match code {
        "0" => return None,
        "3" => " (invalid argument)",
        "7" => " (permission denied: the agent has nothing registered for this process)",
        "14" => " (unavailable)",
        _ => "",
    };
    let message: String = field("grpc-message").unwrap_or_default().chars().take(200).collect();
    Some(
        format!("the agent answers gRPC status {}{meaning} {message}", code.escape_debug())
            .trim_end()
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole_however_they_arrive() {
        let mut buffer = BytesMut::new();
        for byte in b"\0\0\0\0\x03abc" {
            assert_eq!(framed(&mut buffer).unwrap(), None);
            buffer.extend_from_slice(&[*byte]);
        }
        buffer.extend_from_slice(b"\0\0\0\0\0\0");
        assert_eq!(framed(&mut buffer).unwrap().as_deref(), Some(&b"abc"[..]));
        assert_eq!(framed(&mut buffer).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(framed(&mut buffer).unwrap(), None);
        for hostile in [&b"\x01\0\0\0\0"[..], b"\0\xff\xff\xff\xff"] {
            assert!(framed(&mut BytesMut::from(hostile)).is_err());
        }
    }

    #[test]
    fn a_status_is_said_in_words() {
        let fields = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        assert_eq!(status(&fields(&[])), None);
        assert_eq!(status(&fields(&[("grpc-status", "0")])), None);
        let denied =
            status(&fields(&[("grpc-status", "7"), ("grpc-message", "no identity issued")])).unwrap();
        assert!(denied.contains("nothing registered") && denied.ends_with("no identity issued"), "{denied}");
    }
}
