//! nginx, with one process.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;

use super::{Running, Stage, Subject, free_port, listening, pinned};
use crate::work::{Policies, Wire};

/// Its relay of bytes, which is packaged apart, and where packages put modules.
const STREAM: &str = "ngx_stream_module.so";
const MODULES: [&str; 3] = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"];

/// The outer error says that it has no such policy.
pub(super) fn start(stage: &Stage) -> Result<Result<Running>, String> {
    if stage.work.is_relay() {
        let module = MODULES.iter().map(|folder| Path::new(folder).join(STREAM)).find(|file| file.is_file());
        let module = module.ok_or("has no stream module installed (libnginx-mod-stream)")?;
        return Ok(relay(stage, &module));
    }
    let (outside, inside, to) = match stage.policies {
        Policies::None => ("", "location / { PASS }", "users"),
        Policies::Router => ("", "location /users { PASS } location / { return 404; }", "users"),
        Policies::Canary => {
            ("split_clients $http_x_user $version { 10% v2; * v1; }", "location / { PASS }", "$version")
        }
        Policies::Breaker => ("", "location / { PASS }", "guarded"),
        Policies::Noop | Policies::Jwt | Policies::Four => {
            return Err(format!("as packaged, has no equivalent of {}", stage.policies.name()));
        }
    };
    Ok(run(stage, outside, inside, to))
}

fn run(stage: &Stage, outside: &str, inside: &str, to: &str) -> Result<Running> {
    let address = free_port()?;
    let (mode, tls) = server(stage);
    let (scheme, upstream) = upstream(stage);
    let connection = match stage.work.wire() {
        Wire::Websocket => "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"Upgrade\"",
        _ => "proxy_set_header Connection \"\"",
    };
    let pass = format!(
        "proxy_pass {scheme}://{to}; proxy_http_version 1.1; {connection}; {upstream}\
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
         proxy_max_temp_file_size 0;"
    );
    let folder = stage.folder.path().display();
    let (v1, v2) = (stage.origin(0), stage.origin(1));
    let config = format!(
        "http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; http2_max_requests 1000000000;\n\
         client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; \
         uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         upstream users {{ least_conn; server {v1}; server {v2}; keepalive 128; keepalive_requests 1000000000; }}\n\
         upstream v1 {{ server {v1}; keepalive 128; keepalive_requests 1000000000; }}\n\
         upstream v2 {{ server {v2}; keepalive 128; keepalive_requests 1000000000; }}\n\
         upstream guarded {{ server {v1} max_fails=7 fail_timeout=10s; server {v2} max_fails=7 fail_timeout=10s; \
         keepalive 128; keepalive_requests 1000000000; }}\n{outside}\n\
         server {{ listen {address}{mode}; {tls} {} }} }}\n",
        inside.replace("PASS", &pass)
    );
    started(stage, address, "", &config)
}

/// Bytes, whatever they are.
fn relay(stage: &Stage, module: &Path) -> Result<Running> {
    let address = free_port()?;
    let (v1, v2) = (stage.origin(0), stage.origin(1));
    let config = format!(
        "stream {{ upstream users {{ least_conn; server {v1}; server {v2}; }}\n\
         server {{ listen {address}; proxy_pass users; }} }}\n"
    );
    started(stage, address, &format!("load_module {};", module.display()), &config)
}

/// How a listener's address is used, and what belongs to it.
fn server(stage: &Stage) -> (&'static str, String) {
    let wire = stage.work.wire();
    if !wire.is_tls() {
        return (if wire == Wire::H2c { " http2" } else { "" }, String::new());
    }
    let (cert, key) = (stage.file("leaf.pem"), stage.file("leaf.key"));
    let mut tls = format!(
        "ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
        cert.display(),
        key.display()
    );
    if wire.is_mutual() {
        tls += &format!(" ssl_client_certificate {}; ssl_verify_client on;", stage.ca().display());
    }
    (" ssl", tls)
}

/// What is spoken with upstreams, and what belongs to it.
fn upstream(stage: &Stage) -> (&'static str, String) {
    if !stage.work.wire().is_mutual() {
        return ("http", String::new());
    }
    let (cert, key, ca) = (stage.file("leaf.pem"), stage.file("leaf.key"), stage.ca());
    let tls = format!(
        "proxy_ssl_protocols TLSv1.3; proxy_ssl_certificate {}; proxy_ssl_certificate_key {}; \
         proxy_ssl_trusted_certificate {}; proxy_ssl_verify on; proxy_ssl_name localhost; ",
        cert.display(),
        key.display(),
        ca.display()
    );
    ("https", tls)
}

/// Starts it with this, and what is always the same.
fn started(stage: &Stage, address: SocketAddr, modules: &str, config: &str) -> Result<Running> {
    let config = format!(
        "worker_processes 1; daemon off; master_process off; pid {}; error_log stderr error;\n\
         worker_rlimit_nofile 65536; {modules} events {{ worker_connections 32768; }}\n{config}",
        stage.file("nginx.pid").display()
    );
    let file = stage.write("nginx.conf", &config)?;
    let mut command = pinned(&Subject::Nginx.binary(Path::new("")).unwrap_or_else(|| "nginx".into()));
    command.arg("-c").arg(file).arg("-p").arg(stage.folder.path()).args(["-e", "stderr"]);
    listening(stage, "nginx", command, address)
}
