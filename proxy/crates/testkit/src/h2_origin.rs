//! An HTTP/2 origin that does as told for each request: answers, resets, says GOAWAY, hangs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::Response;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

use crate::{
    Stream,
    tasks::{Owned, listen},
};

/// What to do with one request.
#[derive(Debug, Clone)]
pub enum H2Answer {
    /// A response, once the request has come whole.
    Respond {
        /// Its status.
        status: u16,
        /// Its fields.
        fields: Vec<(&'static str, String)>,
        /// Its body.
        body: Vec<u8>,
        /// Its trailers; none: the body ends the stream.
        trailers: Vec<(&'static str, String)>,
    },
    /// RST_STREAM at once.
    Reset(Reason),
    /// A head and these bytes, then RST_STREAM.
    ResetAfter(Vec<u8>, Reason),
    /// Answers 200, and ends the connection orderly after its open streams (GOAWAY, NO_ERROR).
    GoAway,
    /// Ends the connection at once with this reason; this request is not answered.
    Abort(Reason),
    /// Never answers.
    Hang,
}

impl H2Answer {
    /// 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Respond { status: 200, fields: Vec::new(), body: body.into(), trailers: Vec::new() }
    }
}

/// A request head as the origin saw it.
#[derive(Debug, Clone)]
pub struct H2Seen {
    /// Number of its connection, from 0.
    pub connection: usize,
    /// Method, URI and fields.
    pub head: Arc<http::request::Parts>,
}

/// The origin. It and its connections end when this is dropped.
#[derive(Debug)]
pub struct H2Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<H2Seen>>>,
    _task: Owned,
}

type Decide = Arc<dyn Fn(usize, &http::request::Parts) -> H2Answer + Send + Sync>;

impl H2Origin {
    /// `decide` is shown the request's number (from 0, over all connections) and head.
    pub async fn start(
        tls: Option<Arc<rustls::ServerConfig>>,
        decide: impl Fn(usize, &http::request::Parts) -> H2Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_with(tls, None, decide).await
    }

    /// As [`Self::start`], bearing at most so many streams of a connection at once.
    pub async fn start_with(
        tls: Option<Arc<rustls::ServerConfig>>,
        streams: Option<u32>,
        decide: impl Fn(usize, &http::request::Parts) -> H2Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (record, decide): (_, Decide) = (seen.clone(), Arc::new(decide));
        let (address, task) = listen(move |number, stream| {
            serve(stream, tls.clone(), streams, number, record.clone(), decide.clone())
        })
        .await?;
        Ok(Self { address, seen, _task: task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests it saw so far.
    pub fn seen(&self) -> Vec<H2Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a stream wants done to its connection.
enum Order {
    GoAway,
    Abort(Reason),
}

async fn serve(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    most: Option<u32>,
    number: usize,
    record: Arc<Mutex<Vec<H2Seen>>>,
    decide: Decide,
) {
    // What breaks a connection is seen by its peer, whom tests look at.
    let Ok(stream) = Stream::accept(stream, tls).await else { return };
    let mut builder = h2::server::Builder::new();
    if let Some(most) = most {
        builder.max_concurrent_streams(most);
    }
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (head, body) = request.into_parts();
                let head = Arc::new(head);
                let answer = {
                    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
                    record.push(H2Seen { connection: number, head: head.clone() });
                    decide(record.len() - 1, &head)
                };
                streams.spawn(carry_out(answer, body, respond, orders.clone()));
            }
            Some(order) = ordered.recv() => match order {
                Order::GoAway => connection.graceful_shutdown(),
                Order::Abort(reason) => connection.abrupt_shutdown(reason),
            },
        }
    }
}

async fn carry_out(
    answer: H2Answer,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
    orders: mpsc::UnboundedSender<Order>,
) {
    let done = match answer {
        H2Answer::Respond { status, fields, body: bytes, trailers } => {
            drain(body).await;
            send(&mut respond, status, &fields, bytes, &trailers)
        }
        H2Answer::Reset(reason) => {
            respond.send_reset(reason);
            Ok(())
        }
        H2Answer::ResetAfter(bytes, reason) => reset_after(&mut respond, bytes, reason).await,
        H2Answer::GoAway => {
            // The receiver lives as long as the connection, and this stream does not outlive it.
            let _ = orders.send(Order::GoAway);
            drain(body).await;
            send(&mut respond, 200, &[], b"last".to_vec(), &[])
        }
        H2Answer::Abort(reason) => {
            let _ = orders.send(Order::Abort(reason));
            std::future::pending().await
        }
        H2Answer::Hang => std::future::pending().await,
    };
    // An error here is a peer that left before its answer.
    let _: Result<()> = done;
}

async fn drain(mut body: RecvStream) {
    while let Some(Ok(piece)) = body.data().await {
        // Fails only for a stream that is over.
        let _ = body.flow_control().release_capacity(piece.len());
    }
}

fn send(
    respond: &mut SendResponse<Bytes>,
    status: u16,
    fields: &[(&'static str, String)],
    body: Vec<u8>,
    trailers: &[(&'static str, String)],
) -> Result<()> {
    let mut head = Response::builder().status(status);
    for (name, value) in fields {
        head = head.header(*name, value);
    }
    let mut stream = respond.send_response(head.body(())?, body.is_empty() && trailers.is_empty())?;
    if !body.is_empty() {
        stream.send_data(body.into(), trailers.is_empty())?;
    }
    if !trailers.is_empty() {
        let mut map = http::HeaderMap::new();
        for (name, value) in trailers {
            map.append(*name, value.parse()?);
        }
        stream.send_trailers(map)?;
    }
    Ok(())
}

/// The head and the bytes must have been written before the reset, or h2 would drop them.
async fn reset_after(respond: &mut SendResponse<Bytes>, bytes: Vec<u8>, reason: Reason) -> Result<()> {
    let mut stream = respond.send_response(Response::new(()), false)?;
    let length = bytes.len();
    stream.send_data(bytes.into(), false)?;
    // When room for one byte more is granted, what was sent before has been taken by the connection.
    stream.reserve_capacity(length + 1);
    while std::future::poll_fn(|task| stream.poll_capacity(task))
        .await
        .is_some_and(|c| c.is_ok_and(|c| c == 0))
    {}
    tokio::task::yield_now().await;
    stream.send_reset(reason);
    Ok(())
}
