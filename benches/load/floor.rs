//! The floor: a proxy of nothing but hyper, one thread, connections to the origin kept. What it leaves out - checks,
//! limits, fields, timeouts, counting - is what a proxy adds.

use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, client::conn::http1::SendRequest, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where everything goes.
    #[arg(long)]
    origin: SocketAddr,
    /// Speak HTTP/2 with callers.
    #[arg(long)]
    h2: bool,
}

type Pool = Rc<RefCell<Vec<SendRequest<Empty<Bytes>>>>>;

/// Prints its address, and serves until it is killed.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let pool = Pool::default();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (pool, origin, h2) = (Rc::clone(&pool), options.origin, options.h2);
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| exchange(request, Rc::clone(&pool), origin));
                let io = TokioIo::new(stream);
                // A caller that leaves is no news.
                if h2 {
                    let server = hyper::server::conn::http2::Builder::new(Local);
                    let _ = server.serve_connection(io, service).await;
                } else {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                }
            });
        }
    }))
}

async fn exchange(request: Request<Incoming>, pool: Pool, origin: SocketAddr) -> Result<Response<Incoming>> {
    let (mut head, _) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse()?;
    head.version = hyper::Version::HTTP_11;
    head.headers.entry(hyper::header::HOST).or_insert(hyper::header::HeaderValue::from_static("localhost"));
    let mut sender = match ready(&pool) {
        Some(sender) => sender,
        None => connect(origin).await?,
    };
    let response = sender.send_request(Request::from_parts(head, Empty::new())).await?;
    // Ready again when the body is through.
    pool.borrow_mut().push(sender);
    Ok(response)
}

fn ready(pool: &Pool) -> Option<SendRequest<Empty<Bytes>>> {
    let mut pool = pool.borrow_mut();
    let place = pool.iter().position(|sender| sender.is_ready() || sender.is_closed())?;
    Some(pool.swap_remove(place)).filter(|sender| !sender.is_closed())
}

async fn connect(origin: SocketAddr) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(origin).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    sender.ready().await?;
    Ok(sender)
}

/// Runs hyper's tasks on this thread.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
