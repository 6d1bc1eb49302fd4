//! A worker: one thread that accepts connections and carries their exchanges.

use std::{
    cell::{Cell, RefCell},
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
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    task::spawn_local,
};

use super::{
    accept::{AcceptFault, Accepted, WorkerSocket},
    closing::Closing,
    connection,
    crowd::{Crowd, Place},
    socket::{BACKLOG, ListenSocket},
};
use crate::{
    clock::Clock,
    cluster::{Cluster, Endpoint},
    http::{
        ask::{Question, ask},
        check::check,
    },
    resident,
    snapshot::{LocalState, Shared, Snapshot},
    telemetry::{
        access_log::WorkerLog,
        metrics::{ListenerMetrics, Refusal},
    },
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
    /// Ask an endpoint whether it is well.
    Check(Checkup),
    /// Close what has no exchange, and give memory back.
    Shed,
    /// Take the newest snapshot and the newest data of filters in now, even if no exchange comes.
    Refresh,
    /// Close everything and end when the last connection has.
    Drain {
        /// Take what waits in the backlog too: nobody else will.
        backlog: bool,
    },
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

/// An endpoint to be checked.
pub struct Checkup {
    /// Its cluster, which says how.
    pub cluster: Arc<Cluster>,
    /// Whom to ask.
    pub endpoint: Arc<Endpoint>,
    /// Where the answer goes: in order, or why not.
    pub reply: oneshot::Sender<Result<(), String>>,
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
    places: Places,
}

/// What a connection takes up as long as it lives.
struct Places {
    _of_listener: Open,
    of_worker: Place,
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
    /// How busy its colleagues are.
    pub crowd: Arc<Crowd>,
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
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(self.run()),
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
            backlog: Cell::new(true),
            colleagues: self.colleagues,
            crowd: self.crowd,
        });
        let mut tend = tokio::time::interval(TEND);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut draining = false;
        while !(draining && desk.crowd.is_over(self.index)) {
            let patience = if draining { Duration::from_millis(20) } else { TEND };
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::Quit) => return,
                    Some(Command::Drain { backlog }) => {
                        draining = true;
                        desk.backlog.set(backlog);
                        desk.state.worker.draining.raise();
                        desk.closing.borrow_mut().drain().for_each(|(_, closing)| closing.raise());
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
    closing: RefCell<HashMap<Arc<str>, Closing>>,
    /// Whether who waits at a socket that is closed is served before.
    backlog: Cell<bool>,
    colleagues: Vec<mpsc::UnboundedSender<Command>>,
    crowd: Arc<Crowd>,
}

impl Desk {
    fn follow(self: &Rc<Self>, command: Command) {
        match command {
            Command::Listen(listen) => self.listen(listen),
            Command::Close(name) => {
                if let Some(closing) = self.closing.borrow_mut().remove(&name) {
                    closing.raise();
                }
            }
            Command::Serve(handed) => {
                let Ok(stream) = tokio::net::TcpStream::from_std(handed.stream) else { return };
                self.serve(handed.listener, Accepted::Tcp(stream, handed.peer), handed.places);
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
            Command::Check(Checkup { cluster, endpoint, reply }) => {
                let state = Rc::clone(&self.state);
                spawn_local(async move {
                    let Some(health) = &cluster.config.health else { return };
                    let _ = reply.send(check(&state.worker, &cluster, &endpoint, health).await);
                });
            }
            Command::Refresh => self.state.refresh(),
            Command::Shed => {
                let mut closing = self.closing.borrow_mut();
                closing.values_mut().for_each(Closing::raise_for_those_there);
                drop(closing);
                self.state.shed();
                resident::collect();
            }
            Command::Drain { .. } | Command::Quit => {}
        }
    }

    fn listen(self: &Rc<Self>, listen: Listen) {
        let Listen { name, socket, open } = listen;
        // The worker's own end of it: the others' must not stay open with this one.
        let own = socket.for_worker(self.state.worker.index, self.colleagues.len());
        drop(socket);
        let sockets = match own {
            Ok(sockets) => sockets,
            Err(error) => return tracing::error!(listener = &*name, %error, "a worker cannot accept"),
        };
        let closing = Closing::default();
        let signal = closing.accepting.clone();
        if let Some(before) = self.closing.borrow_mut().insert(Arc::clone(&name), closing) {
            before.raise();
        }
        for socket in sockets {
            self.listen_on(socket, Arc::clone(&name), Arc::clone(&open), signal.clone());
        }
    }

    fn listen_on(
        self: &Rc<Self>,
        socket: WorkerSocket,
        name: Arc<str>,
        open: Arc<AtomicUsize>,
        signal: Signal,
    ) {
        let accepting = self.crowd.accept();
        let desk = Rc::clone(self);
        spawn_local(async move {
            desk.accept(&name, &socket, &open, &signal).await;
            // Whoever is through with the handshake would be reset with the socket.
            for _ in (0..BACKLOG).take_while(|_| desk.backlog.get()) {
                match socket.take_waiting() {
                    Ok(Some(accepted)) => desk.place(&name, &open, accepted),
                    Err(error) if AcceptFault::of(&error) == AcceptFault::Transient => {}
                    Ok(None) | Err(_) => break,
                }
            }
            drop((socket, accepting));
        });
    }

    async fn accept(
        self: &Rc<Self>,
        name: &Arc<str>,
        socket: &WorkerSocket,
        open: &Arc<AtomicUsize>,
        closing: &Signal,
    ) {
        let mut closed = closing.waiter();
        loop {
            let accepted = tokio::select! {
                biased;
                () = std::future::poll_fn(|cx| closed.poll(cx)) => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => self.place(name, open, accepted),
                Err(error) => match AcceptFault::of(&error) {
                    AcceptFault::Transient => {}
                    AcceptFault::Exhausted => {
                        tracing::warn!(listener = &**name, %error, "accepting pauses");
                        self.refused(name, Refusal::Exhausted);
                        tokio::time::sleep(PAUSE).await;
                    }
                    AcceptFault::Fatal => {
                        tracing::error!(listener = &**name, %error, "accepting ends");
                        return;
                    }
                },
            }
        }
    }

    /// Finds the worker for a new connection, or refuses it.
    fn place(self: &Rc<Self>, name: &Arc<str>, open: &Arc<AtomicUsize>, accepted: Accepted) {
        // Closed, not left in the backlog: whoever waits there does not know that it is in vain.
        if self.state.shared.overload.is_on() {
            return self.refused(name, Refusal::Overload);
        }
        let snapshot = self.state.snapshot();
        let Some(listener) = snapshot.listener(name) else { return };
        let before = open.fetch_add(1, Ordering::Relaxed);
        let of_listener = Open(Arc::clone(open));
        if before >= listener.plan.config.limits.connections {
            return self.refused(name, Refusal::Limit);
        }
        let me = self.state.worker.index;
        let of_worker = match accepted {
            Accepted::Tcp(..) => self.crowd.place(me),
            // All workers accept from the one socket: whoever has time does.
            Accepted::Unix(_) => self.crowd.place_at(me),
        };
        let other = of_worker.worker;
        let places = Places { _of_listener: of_listener, of_worker };
        match accepted {
            Accepted::Tcp(stream, peer) if other != me => {
                let Ok(stream) = stream.into_std() else { return };
                let handed = Handed { listener: Arc::clone(name), stream, peer, places };
                let _ = self.colleagues[other].send(Command::Serve(handed));
            }
            mine => self.serve(Arc::clone(name), mine, places),
        }
    }

    fn serve(self: &Rc<Self>, name: Arc<str>, accepted: Accepted, places: Places) {
        let snapshot = self.state.snapshot();
        let Some(listener) = snapshot.listener(&name) else { return };
        // Accepted before the listener closed, it is served to the end, and no longer.
        let closing = self.closing.borrow().get(&name).map(|closing| closing.connections.waiter());
        let closing = closing.unwrap_or_else(|| Signal::raised().waiter());
        let listener = Rc::clone(listener);
        let active = Active::new(&listener.plan.metrics, places.of_worker.worker);
        let state = Rc::clone(&self.state);
        spawn_local(async move {
            connection::serve(&state, listener, accepted, closing).await;
            drop((places, active));
        });
    }

    fn refused(&self, name: &str, why: Refusal) {
        if let Some(listener) = self.state.snapshot().listener(name) {
            listener.plan.metrics.refused.one(self.state.worker.index, why);
        }
    }
}

/// Counts a connection that is served, in the listener's metrics. Lowered in whatever way its task ends.
struct Active(Arc<ListenerMetrics>, usize);

impl Active {
    fn new(metrics: &Arc<ListenerMetrics>, worker: usize) -> Self {
        metrics.connections.one(worker);
        metrics.connections_active.up(worker);
        Self(Arc::clone(metrics), worker)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.connections_active.down(self.1);
    }
}
