//! nginx, with one process.

use std::path::Path;

use anyhow::Result;

use super::{Running, Stage, Subject, free_port, listening, pinned};
use crate::work::{Policies, Wire};

/// The outer error says that it has no such policy.
pub(super) fn start(stage: &Stage) -> Result<Result<Running>, String> {
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
    let (mode, tls) = match stage.work.wire() {
        Wire::H1 => ("", String::new()),
        Wire::H2c => (" http2", String::new()),
        Wire::Tls | Wire::TlsNew => {
            let (cert, key) = (stage.file("leaf.pem"), stage.file("leaf.key"));
            let files = format!("ssl_certificate {}; ssl_certificate_key {};", cert.display(), key.display());
            (" ssl", format!("ssl_protocols TLSv1.3; {files}"))
        }
    };
    let pass = format!(
        "proxy_pass http://{to}; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
         proxy_max_temp_file_size 0;"
    );
    let folder = stage.folder.path().display();
    let (v1, v2) = (stage.origin(0), stage.origin(1));
    let config = format!(
        "worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr error;\n\
         worker_rlimit_nofile 65536; events {{ worker_connections 32768; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; http2_max_requests 1000000000;\n\
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
    let file = stage.write("nginx.conf", &config)?;
    let mut command = pinned(&Subject::Nginx.binary(Path::new("")).unwrap_or_else(|| "nginx".into()));
    command.arg("-c").arg(file).arg("-p").arg(stage.folder.path()).args(["-e", "stderr"]);
    listening(stage, "nginx", command, address)
}
