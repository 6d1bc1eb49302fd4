//! Two machines, each with a service, the rules, and a sidecar for both directions: services call one another in plain
//! HTTP and TCP, over IPv4 and IPv6, and on the cable there is nothing but TLS.

use std::io::{ErrorKind, Read};

use anyhow::{Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use weir_testkit::{Ca, Launch, Namespace, SvidPlan};

use super::{FAR, Sidecar, ask, cable, capture, database, query, refused, service};
use crate::{mesh::IDENTITY, stage::WEIR};

const WEB: &str = "spiffe://td/sa/web";
const USERS: &str = "spiffe://td/sa/users";

/// What both sidecars have: services of the mesh are at two ports, and everything else passes.
const BOTH: &str = r#"
[admin]
address = "127.0.0.1:9901"
[access_log]
to = "stdout"
[listeners.outbound]
address = "[::]:15001"
protocol = "detect"
captured = true
cluster = "elsewhere"
destinations = { ":8080" = "mesh", "10.77.0.0/24:5432" = "mesh", "[fd77::]/64:5432" = "mesh" }
[clusters.elsewhere]
destination = "original"
[clusters.mesh]
destination = "original"
tls = { identity = "own", expect = ["spiffe://td/sa/*"] }
[clusters.app]
destination = "loopback"
"#;

/// Beside the service that speaks HTTP: who may do what is up to a policy.
const BESIDE_USERS: &str = r#"
[listeners.inbound]
address = "[::]:15006"
captured = true
destinations = { ":8080" = "app" }
chain = ["access"]
tls = { identity = "own", mtls = "require" }
[filters.access]
wasm = "builtin:rbac"
[filters.access.config]
remember = "0s"
[[filters.access.config.allow]]
name = "web_reads"
from = "spiffe://td/sa/web"
method = "GET"
[[filters.access.config.allow]]
name = "others_write"
from = "spiffe://td/sa/batch"
method = "POST"
"#;

/// Beside the database: one identity may connect.
const BESIDE_DB: &str = r#"
[listeners.inbound]
address = "[::]:15006"
protocol = "tcp"
captured = true
destinations = { ":5432" = "app" }
tls = { identity = "own", mtls = "require", peers = ["spiffe://td/sa/users"] }
"#;

/// Hears everything that goes over a cable.
struct Ears(Socket);

impl Ears {
    fn at(namespace: &Namespace) -> Result<Self> {
        // All protocols: ETH_P_ALL (packet(7)).
        let every = Protocol::from(i32::from(3u16.to_be()));
        let socket = namespace.within(|| Socket::new(Domain::PACKET, Type::RAW, Some(every)))??;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(1 << 20)?;
        Ok(Self(socket))
    }

    /// What was said since the last time.
    fn heard(&mut self) -> Result<Vec<u8>> {
        let (mut frame, mut heard) = (vec![0; 1 << 17], Vec::new());
        loop {
            match self.0.read(&mut frame) {
                // On loopback both ends have the address 0, and there it is plain text.
                Ok(n) if frame[..12] != [0; 12] => heard.extend_from_slice(&frame[..n]),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(heard),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn contains(heard: &[u8], words: &[u8]) -> bool {
    heard.windows(words.len()).any(|window| window == words)
}

fn launch(ca: &Ca, id: &str, beside: &str) -> Result<Launch> {
    let svid = ca.svid(&SvidPlan::of(id))?;
    let launch = Launch::new(WEIR, format!("{BOTH}{beside}{IDENTITY}"));
    let launch = launch.file("svid.pem", svid.pem()).file("svid.key", svid.key_pem());
    Ok(launch.file("bundle.pem", ca.pem()))
}

#[tokio::test]
async fn between_two_machines_whatever_services_say_is_said_in_tls() -> Result<()> {
    let Some(cable) = cable()? else { return Ok(()) };
    // No time is lost on finding out whether somebody else has the address.
    cable.near.ip(&["-6", "address", "add", "fd77::1/64", "dev", "to-other", "nodad"])?;
    cable.far.ip(&["-6", "address", "add", "fd77::2/64", "dev", "to-one", "nodad"])?;
    let users = service(&cable.far, "users", "[::]:8080").await?;
    let db = database(&cable.near, "[::]:5432").await?;
    let ca = Ca::new()?;
    let near = Sidecar::start(&cable.near, launch(&ca, WEB, BESIDE_DB)?).await?;
    let far = Sidecar::start(&cable.far, launch(&ca, USERS, BESIDE_USERS)?).await?;
    let rules = ["--outbound", "15001", "--inbound", "15006", "--user", "1337"];
    for namespace in [&cable.near, &cable.far] {
        capture(namespace, &rules)?;
    }
    let mut ears = Ears::at(&cable.near)?;

    for host in ["10.77.0.2", "[fd77::2]"] {
        let answer = ask(&cable.near, &format!("{host}:8080"), "GET").await?;
        ensure!((answer.status, answer.field("x-origin")) == (200, Some("users")), "{host}: {answer:?}");
        // That is for somebody else to do.
        ensure!(ask(&cable.near, &format!("{host}:8080"), "POST").await?.status == 403, "{host}");
    }
    for host in ["10.77.0.1", "[fd77::1]"] {
        let told = query(&cable.far, &format!("{host}:5432")).await?;
        ensure!(told == b"220 ready\r\nselect 1", "{host}: {told:?}");
    }
    ensure!((users.requests(), db.connections()) == (2, 2));
    far.counted("weir_filter_allowed_by_web_reads_total{filter=\"access\"}", 2.0).await?;
    for (weir, caller, to) in [(&far, WEB, "10.77.0.2:8080"), (&near, USERS, "[fd77::1]:5432")] {
        let to = format!("\"destination\":\"{to}\"");
        let lines = weir.weir.line_with(&to).await?;
        ensure!(lines.contains(caller), "{lines}");
    }
    let heard = ears.heard()?;
    // A record of application data in TLS, and nothing of what it holds.
    ensure!(contains(&heard, b"\x17\x03\x03"));
    for words in ["/users/7", "HTTP/1.1 200", "220 ready", "select 1"] {
        ensure!(!contains(&heard, words.as_bytes()), "{words:?} was on the cable");
    }

    // Where one sidecar knows nothing of mTLS it passes, and the other one knows no such destination.
    for host in ["10.77.0.2", "[fd77::2]"] {
        ensure!(ask(&cable.near, &format!("{host}:8081"), "POST").await?.status >= 500, "{host}");
    }
    let unknown = "weir_connections_refused_total{listener=\"inbound\",reason=\"unknown_destination\"}";
    far.counted(unknown, 2.0).await?;

    // Whoever has no sidecar is nobody.
    remove(&cable.near)?;
    refused(&cable.near, &format!("{FAR}:8080")).await?;
    refused(&cable.near, "[fd77::2]:8080").await?;
    far.counted("weir_tls_refusals_total{listener=\"inbound\",reason=\"plain_text\"}", 2.0).await?;
    ensure!(users.requests() == 2);

    // And without rules everything is as it was before.
    remove(&cable.far)?;
    let before = near.metric("weir_connections_total{listener=\"outbound\"}").await?;
    ears.heard()?;
    for host in ["10.77.0.2", "[fd77::2]"] {
        ensure!(ask(&cable.near, &format!("{host}:8080"), "POST").await?.status == 200, "{host}");
    }
    ensure!(query(&cable.far, "10.77.0.1:5432").await? == b"220 ready\r\nselect 1");
    let heard = ears.heard()?;
    ensure!(["/users/7", "select 1"].iter().all(|words| contains(&heard, words.as_bytes())));
    ensure!((users.requests(), db.connections()) == (4, 3));
    ensure!(near.metric("weir_connections_total{listener=\"outbound\"}").await? == before);
    Ok(())
}

fn remove(namespace: &Namespace) -> Result<()> {
    crate::ops::capture::said(namespace, WEIR, &["capture", "remove", "--tool", "nft"]).map(drop)
}
