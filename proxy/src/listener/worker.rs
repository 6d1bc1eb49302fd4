//! A worker: one thread that accepts connections and carries their exchanges.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
};

use super::{
    accept::{AcceptFault, Accepted, WorkerSocket},
    connection,
    socket::ListenSocket,
};
use crate::{
    clock::Clock,
    http::ask::{Question, ask},
    snapshot::{LocalState, Shared, Snapshot},
    telemetry::{access_log::WorkerLog, metrics::Refusal},
    worker::{Signal, Worker},
};

/// How long accepting pauses when the process has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// How often pools are looked after.
const TEND: Duration = Duration::from_secs(1);

/// What the control side tells a worker.
pub enum Command {
    /// Accept on a socket.
    Listen(Listen),
    /// Stop accepting for this listener, and close its connections when they have nothing to do.
    Close(Arc<str>),
    /// Serve a connection that another worker accepted.
    Serve(Handed),
    /// Send a request of the proxy's own.
    Ask(Errand),
    /// Take the newest snapshot and the newest data of filters in now, even if no exchange comes.
    Refresh,
    /// Close everything and end when the last connection has.
    Drain,
    /// End now.
    Quit,
}

/// A request of the proxy's own.
pub struct Errand {
    /// What to ask.
    pub question: Question,
    /// Bytes of the answer's body that are taken.
    pub most: usize,
    /// Through whose clusters; none: those in force.
    pub ahead: Option<Arc<Snapshot>>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<weir_runtime::Answer, weir_runtime::AnswerFailure>>,
}

/// A socket to accept on.
pub struct Listen {
    /// The listener's name.
    pub name: Arc<str>,
    /// Where.
    pub socket: Arc<ListenSocket>,
    /// Connections the listener has open, over all workers.
    pub open: Arc<AtomicUsize>,
}

/// A connection on its way to another worker.
pub struct Handed {
    listener: Arc<str>,
    stream: std::net::TcpStream,
    peer: SocketAddr,
    open: Open,
}

/// Counts a connection of a listener as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a worker is made of.
pub struct Seed {
    /// Its position.
    pub index: usize,
    /// Process time.
    pub clock: Clock,
    /// For its randomness.
    pub random: u64,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Its end of the access log.
    pub access_log: Option<WorkerLog>,
    /// What it is told.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// The ways to all workers, itself included.
    pub colleagues: Vec<mpsc::UnboundedSender<Command>>,
}

impl Seed {
    /// Starts the thread.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        thread::Builder::new().name(format!("weir-worker-{}", self.index)).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => LocalSet::new().block_on(&runtime, self.run()),
                Err(error) => tracing::error!(%error, "a worker could not start"),
            }
        })
    }

    async fn run(mut self) {
        let worker = Worker::new(self.index, self.clock, self.random);
        let state = Rc::new(LocalState::new(worker, self.shared, self.access_log));
        let desk = Rc::new(Desk {
            state,
            closing: RefCell::default(),
            colleagues: self.colleagues,
            connections: Rc::new(()),
        });
        let mut tend = tokio::time::interval(TEND);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut draining = false;
        while !(draining && Rc::strong_count(&desk.connections) == 1) {
            let patience = if draining { Duration::from_millis(20) } else { TEND };
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::Quit) => return,
                    Some(Command::Drain) => {
                        draining = true;
                        desk.state.worker.draining.raise();
                        desk.closing.borrow_mut().drain().for_each(|(_, signal)| signal.raise());
                    }
                    // A reload that was under way when the drain began.
                    Some(Command::Listen(_)) if draining => {}
                    Some(command) => desk.follow(command),
                },
                _ = tend.tick() => desk.state.tend(),
                () = tokio::time::sleep(patience), if draining => {}
            }
        }
    }
}

/// Where a worker's commands are followed.
struct Desk {
    state: Rc<LocalState>,
    /// For each listener, what is raised when it closes.
    closing: RefCell<HashMap<Arc<str>, Signal>>,
    colleagues: Vec<mpsc::UnboundedSender<Command>>,
    /// One count for each connection.
    connections: Rc<()>,
}

impl Desk {
    fn follow(self: &Rc<Self>, command: Command) {
        match command {
            Command::Listen(listen) => self.listen(listen),
            Command::Close(name) => {
                if let Some(signal) = self.closing.borrow_mut().remove(&name) {
                    signal.raise();
                }
            }
            Command::Serve(handed) => {
                let Ok(stream) = tokio::net::TcpStream::from_std(handed.stream) else { return };
                self.serve(handed.listener, Accepted::Tcp(stream, handed.peer), handed.open);
            }
            Command::Ask(Errand { question, most, ahead, reply }) => {
                let state = Rc::clone(&self.state);
                spawn_local(async move {
                    let snapshot = match ahead {
                        Some(next) => state.ahead(next),
                        None => state.snapshot(),
                    };
                    let _ = reply.send(ask(&state, &snapshot, question, most).await);
                });
            }
            Command::Refresh => self.state.refresh(),
            Command::Drain | Command::Quit => {}
        }
    }

    fn listen(self: &Rc<Self>, listen: Listen) {
        let socket = match listen.socket.for_worker(self.state.worker.index) {
            Ok(socket) => socket,
            Err(error) => {
                return tracing::error!(listener = &*listen.name, %error, "a worker cannot accept");
            }
        };
        let signal = Signal::default();
        if let Some(before) = self.closing.borrow_mut().insert(Arc::clone(&listen.name), signal.clone()) {
            before.raise();
        }
        spawn_local(Rc::clone(self).accept(listen, socket, signal));
    }

    async fn accept(self: Rc<Self>, listen: Listen, socket: WorkerSocket, closing: Signal) {
        let mut closed = closing.waiter();
        loop {
            let accepted = tokio::select! {
                biased;
                () = std::future::poll_fn(|cx| closed.poll(cx)) => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => self.place(&listen, accepted),
                Err(error) => match AcceptFault::of(&error) {
                    AcceptFault::Transient => {}
                    AcceptFault::Exhausted => {
                        tracing::warn!(listener = &*listen.name, %error, "accepting pauses");
                        self.refused(&listen.name, Refusal::Exhausted);
                        tokio::time::sleep(PAUSE).await;
                    }
                    AcceptFault::Fatal => {
                        tracing::error!(listener = &*listen.name, %error, "accepting ends");
                        return;
                    }
                },
            }
        }
    }

    /// Finds the worker for a new connection, or refuses it.
    fn place(self: &Rc<Self>, listen: &Listen, accepted: Accepted) {
        let snapshot = self.state.snapshot();
        let Some(listener) = snapshot.listener(&listen.name) else { return };
        let open = listen.open.fetch_add(1, Ordering::Relaxed);
        let counted = Open(Arc::clone(&listen.open));
        if open >= listener.plan.config.limits.connections {
            return self.refused(&listen.name, Refusal::Limit);
        }
        let me = self.state.worker.index;
        let Some(other) = self.less_busy() else {
            return self.serve(Arc::clone(&listen.name), accepted, counted);
        };
        match accepted {
            Accepted::Tcp(stream, peer) => {
                let Ok(stream) = stream.into_std() else { return };
                let handed = Handed { listener: Arc::clone(&listen.name), stream, peer, open: counted };
                // The colleague counts it from now on, so that a burst is not sent to one worker.
                let _ = self.colleagues[other].send(Command::Serve(handed));
            }
            unix => {
                debug_assert!(me < self.colleagues.len());
                self.serve(Arc::clone(&listen.name), unix, counted);
            }
        }
    }

    /// A worker with clearly fewer connections. Few connections are evened out exactly: they may be
    /// HTTP/2 ones that live long.
    fn less_busy(&self) -> Option<usize> {
        let counts = &self.state.shared.connections;
        let mine = counts[self.state.worker.index].load(Ordering::Relaxed);
        let (least, index) = counts.iter().enumerate().map(|(i, c)| (c.load(Ordering::Relaxed), i)).min()?;
        (mine > least + least / 8).then_some(index).filter(|&index| index != self.state.worker.index)
    }

    fn serve(self: &Rc<Self>, name: Arc<str>, accepted: Accepted, open: Open) {
        let snapshot = self.state.snapshot();
        let Some(listener) = snapshot.listener(&name) else { return };
        let Some(closing) = self.closing.borrow().get(&name).map(Signal::waiter) else {
            return self.refused(&name, Refusal::Draining);
        };
        let listener = Rc::clone(listener);
        let worker = self.state.worker.index;
        let metrics = Arc::clone(&listener.plan.metrics);
        metrics.connections.one(worker);
        metrics.connections_active.up(worker);
        self.state.shared.connections[worker].fetch_add(1, Ordering::Relaxed);
        let (state, count) = (Rc::clone(&self.state), Rc::clone(&self.connections));
        spawn_local(async move {
            connection::serve(&state, listener, accepted, closing).await;
            state.shared.connections[worker].fetch_sub(1, Ordering::Relaxed);
            metrics.connections_active.down(worker);
            drop((open, count));
        });
    }

    fn refused(&self, name: &str, why: Refusal) {
        if let Some(listener) = self.state.snapshot().listener(name) {
            listener.plan.metrics.refused.one(self.state.worker.index, why);
        }
    }
}
