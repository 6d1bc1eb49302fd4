//! haproxy, with one thread; policies in its own terms.

use std::path::Path;

use anyhow::Result;

use super::{OWN, Running, Stage, Subject, free_port, listening, pinned};
use crate::work::{Policies, Wire};

/// See `Subject::most_connections`.
pub(super) const MOST_CONNECTIONS: usize = 9_900;
/// To splice takes pipes, and their descriptors, as well.
const MOST_RELAYED: usize = 1_000;

/// The outer error says that it has no such policy.
pub(super) fn start(stage: &Stage) -> Result<Result<Running>, String> {
    let Some(policies) = policies(stage.policies, &stage.file("public.pem")) else {
        return Err(format!("has no equivalent of {}", stage.policies.name()));
    };
    Ok(run(stage, &policies))
}

fn run(stage: &Stage, policies: &[String; 2]) -> Result<Running> {
    let address = free_port()?;
    let [bind, server] = tls(stage);
    let (mode, most) = if stage.work.is_relay() {
        ("  mode tcp\n  option splice-auto\n", MOST_RELAYED)
    } else {
        let http = "  mode http\n  timeout http-keep-alive 60s\n  http-reuse always\n  option forwardfor\n";
        (http, MOST_CONNECTIONS)
    };
    let [rules, backends] = policies;
    let (v1, v2) = (stage.origin(0), stage.origin(1));
    let config = format!(
        "global\n  nbthread 1\n  maxconn {most}\n  tune.ssl.default-dh-param 2048\n\
         defaults\n{mode}  timeout connect 1s\n  timeout client 60s\n  timeout server 15s\n  \
         timeout tunnel 60s\n  default-server{server}\n\
         frontend web\n  bind {address}{bind}\n{rules}\
         backend users\n  balance leastconn\n  server one {v1}\n  server two {v2}\n\
         {}",
        backends.replace("V1", &v1.to_string()).replace("V2", &v2.to_string())
    );
    let file = stage.write("haproxy.cfg", &config)?;
    let binary = Subject::Haproxy.binary(Path::new("")).unwrap_or_else(|| "haproxy".into());
    let mut command = pinned(&binary);
    command.arg("-db").arg("-f").arg(file);
    listening(stage, "haproxy", command, address)
}

/// What is added to the address that it binds, and to those of its servers.
fn tls(stage: &Stage) -> [String; 2] {
    let (wire, own, ca) = (stage.work.wire(), stage.file(OWN), stage.ca());
    let (own, verified) = (own.display(), format!("ca-file {} verify required", ca.display()));
    let bind = match wire {
        Wire::H2c => " proto h2".to_owned(),
        _ if wire.is_tls() => format!(" ssl crt {own} alpn http/1.1 ssl-min-ver TLSv1.3"),
        _ => String::new(),
    };
    if !wire.is_mutual() {
        return [bind, String::new()];
    }
    let server = format!(" ssl crt {own} {verified} verifyhost localhost ssl-min-ver TLSv1.3");
    [format!("{bind} {verified}"), server]
}

/// Rules of the frontend, and further backends.
fn policies(policies: Policies, key: &Path) -> Option<[String; 2]> {
    let plain = "  default_backend users\n";
    let router = "  acl users path_beg /users\n  http-request return status 404 unless users\n";
    let token = format!(
        "  http-request set-var(txn.bearer) http_auth_bearer\n  \
         http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')\n  \
         http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')\n  \
         http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')\n  \
         http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')\n  \
         http-request set-var(txn.now) date()\n  \
         http-request deny deny_status 401 unless {{ var(txn.alg) -m str ES256 }}\n  \
         http-request deny deny_status 401 unless {{ var(txn.iss) -m str https://bench.weir.example }}\n  \
         http-request deny deny_status 401 unless {{ var(txn.aud) -m str users }}\n  \
         http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}\n  \
         http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,\"{}\") 1 }}\n",
        key.display()
    );
    let canary =
        "  acl next req.hdr(x-user),crc32(),mod(100) lt 10\n  use_backend v2 if next\n  default_backend v1\n";
    let versions = "backend v1\n  server one V1\nbackend v2\n  server two V2\n";
    let guarded = |name: &str, servers: &[&str]| {
        let servers = servers.iter().map(|at| {
            format!("  server {at} {at} check inter 10s observe layer7 error-limit 7 on-error mark-down\n")
        });
        format!("backend {name}\n  balance leastconn\n{}", servers.collect::<String>())
    };
    Some(match policies {
        Policies::None => [plain.to_owned(), String::new()],
        Policies::Noop => return None,
        Policies::Router => [format!("{router}{plain}"), String::new()],
        Policies::Jwt => [format!("{token}{plain}"), String::new()],
        Policies::Canary => [canary.to_owned(), versions.to_owned()],
        Policies::Breaker => ["  default_backend both\n".to_owned(), guarded("both", &["V1", "V2"])],
        Policies::Four => {
            let guarded = format!("{}{}", guarded("v1", &["V1"]), guarded("v2", &["V2"]));
            [format!("{router}{token}{canary}"), guarded]
        }
    })
}
