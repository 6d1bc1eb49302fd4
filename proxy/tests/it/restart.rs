//! Restarts: a new process takes the sockets over, and nobody notices.

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{sync::Notify, task::JoinSet};
use weir_testkit::{
    Ca, EchoOrigin, Http1, Http2, Launch, Load, LoadPlan, Script, ScriptedOrigin, Signal, WeirProcess,
    eventually,
};

use crate::stage::{WEIR, plain};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A configuration of so many workers, whose processes hand over to each other in this folder.
fn config(origin: SocketAddr, folder: &Path, workers: usize, more: &str) -> String {
    let restart = format!("[restart]\nsocket = \"{}\"\n{more}", folder.join("restart.sock").display());
    plain(origin, &restart).replace("count = 2", &format!("count = {workers}"))
}

async fn start(config: String) -> Result<WeirProcess> {
    Launch::new(WEIR, config).start().await
}

/// A listener over TLS, of which a handshake is nearly always under way.
const SECURE: &str = "[listeners.secure]\naddress = \"127.0.0.1:0\"\ncluster = \"origin\"\n\
    tls = { certificates = [{ cert = \"leaf.pem\", key = \"leaf.key\" }] }\nlimits = { requests = 3 }\n";

/// How a listener is reached over HTTP/2.
#[derive(Clone)]
struct Way(SocketAddr, Option<Arc<rustls::ClientConfig>>);

impl Way {
    async fn connect(&self) -> Result<Http2> {
        match &self.1 {
            Some(tls) => Http2::connect_tls(self.0, Arc::clone(tls), "localhost").await,
            None => Http2::connect(self.0).await,
        }
    }
}

/// Requests over HTTP/2, one after the other, until it is told to stop. A caller that is told to go away, or cannot
/// open a stream, makes another connection, as callers of HTTP/2 do (RFC 9113 6.8).
async fn call_over_h2(way: Way, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Result<()> {
    let mut client = way.connect().await?;
    while !stop.load(Relaxed) {
        // Nothing was sent if this fails.
        let Ok(sending) = client.open("GET", "/", &[], true).await else {
            client = way.connect().await?;
            continue;
        };
        match sending.response().await {
            Ok(response) => {
                ensure!(response.status == 200, "{}: {}", response.status, response.text());
                answered.fetch_add(1, Relaxed);
            }
            Err(error) if was_not_processed(&error) => client = way.connect().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn was_not_processed(error: &anyhow::Error) -> bool {
    let mut errors = error.chain().filter_map(|cause| cause.downcast_ref::<h2::Error>());
    errors.any(|error| {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        refused || (error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// Loads of every kind, which go on whatever happens.
struct Callers {
    h1: [Load; 2],
    h2: JoinSet<Result<()>>,
    stop: Arc<AtomicBool>,
    /// Over HTTP/2, in plain text and over TLS.
    answered: [Arc<AtomicU64>; 2],
}

impl Callers {
    fn start(weir: &WeirProcess, ca: &Ca) -> Result<Self> {
        let (web, secure) = (weir.address("web")?, weir.address("secure")?);
        let over_tls = LoadPlan::new(secure, "/").tls(ca.client(&["http/1.1"], None)?, "localhost");
        let h1 = [LoadPlan::new(web, "/").start(), over_tls.start()];
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), [(); 2].map(|()| Arc::default()));
        let mut h2 = JoinSet::new();
        let ways = [Way(web, None), Way(secure, Some(ca.client(&["h2"], None)?))];
        for (way, answered) in ways.iter().zip(&answered) {
            for _ in 0..2 {
                h2.spawn(call_over_h2(way.clone(), Arc::clone(&stop), Arc::clone(answered)));
            }
        }
        Ok(Self { h1, h2, stop, answered })
    }

    async fn go_on(&self) -> Result<()> {
        for load in &self.h1 {
            load.passed(30).await?;
        }
        for answered in &self.answered {
            let before = answered.load(Relaxed);
            let further = async || (answered.load(Relaxed) > before + 10).then_some(());
            eventually("HTTP/2 going on", further).await?;
        }
        Ok(())
    }

    /// An error if anything had failed.
    async fn end(mut self) -> Result<()> {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.h2.join_next().await {
            ended??;
        }
        for load in self.h1 {
            load.stop().await?.all_ok()?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn ten_restarts_under_load_fail_no_request_and_no_handshake() -> Result<()> {
    let (origin, folder, ca) = (EchoOrigin::start("one").await?, tempfile::tempdir()?, Ca::new()?);
    let leaf = ca.leaf(&["localhost"])?;
    let start = async |workers| {
        let config = config(origin.address(), folder.path(), workers, SECURE);
        Launch::new(WEIR, config).file("leaf.pem", leaf.pem()).file("leaf.key", leaf.key_pem()).start().await
    };
    let mut running = start(2).await?;
    let (web, secure) = (running.address("web")?, running.address("secure")?);
    let callers = Callers::start(&running, &ca)?;
    for round in 0..10 {
        // As many workers as before, and more, and fewer.
        let next = start([2, 1, 3][round % 3]).await?;
        let addresses = (next.address("web")?, next.address("secure")?);
        assert_eq!(addresses, (web, secure), "it listens on the same sockets");
        ensure!(running.ended().await?.success(), "round {round}: {}", running.stderr().join("\n"));
        callers.go_on().await.with_context(|| format!("round {round}"))?;
        running = next;
    }
    callers.end().await
}

#[tokio::test]
async fn what_is_under_way_ends_well_in_the_old_process() -> Result<()> {
    let (gate, folder) = (Arc::new(Notify::new()), tempfile::tempdir()?);
    let held = Arc::clone(&gate);
    let origin = ScriptedOrigin::start_with(None, move |number| match number {
        0 => Script::new().head().wait(&held).send(OK).hang(),
        _ => Script::always(OK),
    })
    .await?;
    let mut old = start(config(origin.address(), folder.path(), 1, "")).await?;
    let mut busy = Http1::connect(old.address("web")?).await?;
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    let new = start(config(origin.address(), folder.path(), 1, "")).await?;
    old.line_with("a successor has taken over").await?;
    assert_eq!(Http1::fetch(new.address("web")?, "/").await?.status, 200);
    // The admin API is the new one's.
    assert_eq!(new.admin()?, old.admin()?);
    eventually("the new admin API", async || {
        (new.admin_get("/ready").await.ok()?.status == 200).then_some(())
    })
    .await?;
    gate.notify_one();
    let told = busy.response("GET").await?;
    assert_eq!((told.text().as_str(), told.closes()), ("ok", true));
    assert!(old.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_successor_that_fails_leaves_everything_as_it_was() -> Result<()> {
    let (origin, folder) = (EchoOrigin::start("one").await?, tempfile::tempdir()?);
    let mut old = start(config(origin.address(), folder.path(), 2, "")).await?;
    let load = LoadPlan::new(old.address("web")?, "/").start();
    let broken = "[filters.broken]\nwasm = \"broken.wasm\"\n";
    let broken = config(origin.address(), folder.path(), 2, broken);
    for _ in 0..3 {
        Launch::new(WEIR, broken.clone()).file("broken.wasm", "no filter").refused().await?;
    }
    old.line_with("a successor did not take over").await?;
    load.passed(20).await?;
    assert_eq!(old.admin_get("/ready").await?.status, 200);
    let new = start(config(origin.address(), folder.path(), 2, "")).await?;
    assert!(old.ended().await?.success());
    load.passed(20).await?;
    load.stop().await?.all_ok()?;
    // One that ends without a successor leaves nothing behind.
    let mut new = new;
    new.signal(Signal::TERM)?;
    assert!(new.ended().await?.success());
    assert!(!folder.path().join("restart.sock").exists());
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_goes_over_with_its_file() -> Result<()> {
    let (origin, folder) = (EchoOrigin::start("one").await?, tempfile::tempdir()?);
    let path = folder.path().join("web.sock");
    let listener = format!("address = \"unix:{}\"\ncluster", path.display());
    let config = config(origin.address(), folder.path(), 2, "");
    let config = config.replace("address = \"127.0.0.1:0\"\ncluster", &listener);
    let mut old = start(config.clone()).await?;
    let _new = start(config).await?;
    assert!(old.ended().await?.success());
    assert_eq!(Http1::connect_unix(&path).await?.get("/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_service_manager_is_told_when_traffic_is_taken() -> Result<()> {
    let (origin, folder) = (EchoOrigin::start("one").await?, tempfile::tempdir()?);
    let path = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut weir =
        Launch::new(WEIR, plain(origin.address(), "")).environment("NOTIFY_SOCKET", &path).start().await?;
    let mut heard = [0; 256];
    let hear = |heard: &mut [u8]| -> Result<String> {
        let length = manager.recv(heard)?;
        Ok(String::from_utf8_lossy(&heard[..length]).into_owned())
    };
    assert_eq!(hear(&mut heard)?, format!("READY=1\nMAINPID={}", weir.id()));
    weir.signal(Signal::TERM)?;
    assert_eq!(hear(&mut heard)?, "STOPPING=1");
    assert!(weir.ended().await?.success());
    Ok(())
}

/// Killed, by its own id, when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Weir as a service manager starts it, with one socket under this name as its third descriptor.
fn activated(folder: &Path, config: &str, socket: OwnedFd, name: &str) -> Result<Killed> {
    std::fs::write(folder.join("weir.toml"), config)?;
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$; exec \"$@\"";
    let child = Command::new("sh")
        .args(["-c", script, "sh", WEIR, "run", "--config"])
        .arg(folder.join("weir.toml"))
        .arg("--announce")
        .arg(folder.join("announced.json"))
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", name)
        .stdin(socket)
        .spawn()?;
    Ok(Killed(child))
}

#[tokio::test]
async fn sockets_of_a_service_manager_are_listened_on() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    for named in [true, false] {
        let folder = tempfile::tempdir()?;
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        // Whoever calls before the service runs waits in the backlog.
        let mut early = Http1::connect(address).await?;
        early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let (config, name) = match named {
            true => (plain(origin.address(), ""), "web"),
            false => {
                let listener = format!("address = \"{address}\"\ncluster");
                let config = plain(origin.address(), "");
                (config.replace("address = \"127.0.0.1:0\"\ncluster", &listener), "weir.socket")
            }
        };
        let mut weir = activated(folder.path(), &config, socket.try_clone()?.into(), name)?;
        assert_eq!(early.response("GET").await?.status, 200);
        let announced = eventually("weir being ready", async || {
            if let Ok(Some(status)) = weir.0.try_wait() {
                return Some(Err(status));
            }
            std::fs::read_to_string(folder.path().join("announced.json")).ok().map(Ok)
        });
        let Ok(announced) = announced.await? else { bail!("weir ended") };
        assert!(announced.contains(&address.to_string()), "{announced}");
        assert_eq!(Http1::fetch(address, "/").await?.status, 200);
    }
    Ok(())
}
