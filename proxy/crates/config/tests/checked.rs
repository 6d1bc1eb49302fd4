//! Right configurations, and what becomes of them.

use std::{net::SocketAddr, path::Path, time::Duration};

use weir_config::{
    Config, Severity,
    checked::{
        AccessLog, Address, Balancer, ClientAuth, ClusterId, DataSource, FilterId, Forwarded, GrpcStatus,
        IdentitySource, Listener, ListenerTls, MemoryMark, Mtls, OnFault, ToDestination, UpstreamProtocol,
        UpstreamTls, WasmSource,
    },
    differences, load, parse,
};

/// Where the files are that configurations name.
const FILES: &str = "tests/files";

fn checked(text: &str) -> Config {
    parse(text, Path::new(FILES), "weir.toml").unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_sketch_of_the_design_is_a_whole_configuration() {
    let config = checked(include_str!("sketch.toml"));
    assert_eq!(config.warnings, []);
    assert_eq!(config.admin.map(|admin| admin.address), "127.0.0.1:9901".parse().ok());

    let [web] = config.listeners.as_slice() else { panic!("{:?}", config.listeners) };
    assert_eq!(web.address, Address::Tcp("0.0.0.0:8443".parse::<SocketAddr>().unwrap()));
    assert_eq!(web.chain, [0, 1, 2, 3].map(FilterId));
    assert_eq!(web.limits.head, 65_536);
    assert_eq!(web.limits.connections, 10_000);
    let Some(ListenerTls::Certificates(tls)) = &web.tls else { panic!("{:?}", web.tls) };
    assert_eq!(tls.certificates[0].key, Path::new(FILES).join("web.key"));
    assert_eq!((tls.client_auth, tls.allow_tls12), (ClientAuth::None, true));

    let login = &config.filters[1];
    assert_eq!(&*login.name, "login");
    assert_eq!(login.wasm, WasmSource::Builtin("jwt".into()));
    assert_eq!(login.data["jwks"], DataSource::File(Path::new(FILES).join("jwks.json")));
    assert_eq!(
        &*login.config_json,
        r#"{"issuer":"https://idp.example.com","audience":"users","facts":{"subject":"sub"}}"#
    );
    assert_eq!(config.filters[3].grants.clusters, Some(vec![ClusterId(0), ClusterId(1)]));

    let users = &config.clusters[0];
    let ten_seconds = Duration::from_secs(10);
    let default_rtt = Duration::from_millis(30);
    assert_eq!(users.balancer, Balancer::PeakEwma { decay: ten_seconds, default_rtt });
    assert_eq!(users.endpoints.listed()[1].labels["version"], "v2".into());
    let Some(UpstreamTls::Names(tls)) = &users.tls else { panic!("{:?}", users.tls) };
    assert_eq!(tls.server_name.as_deref(), Some("users.internal"));
}

#[test]
fn the_example_of_the_reference_is_a_whole_configuration() {
    let config = checked(include_str!("../src/example.toml"));
    assert_eq!(config.warnings, []);
    let idp = ClusterId(2);
    let keys = DataSource::Url {
        cluster: idp,
        authority: "idp.example.com".into(),
        path: "/keys".into(),
        refresh: Duration::from_secs(300),
    };
    assert_eq!(config.filters[1].data["jwks"], keys);
    let name = Address::Name { host: "idp.example.com".into(), port: 443 };
    assert_eq!(config.clusters[2].endpoints.listed()[0].address, name);
    assert_eq!((config.limits[0].per_second, config.limits[0].burst), (10.0, 20));
}

/// The least that can be written, to see every default.
const LEAST: &str = "
[listeners.web]
address = '127.0.0.1:0'
cluster = 'users'
[filters.mine]
wasm = 'filter.wasm'
[clusters.users]
endpoints = [{ address = 'unix:run/users.sock' }]
";

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked(LEAST);
    assert!(config.admin.is_none() && config.cache.is_none());
    assert!((1..=1024).contains(&config.workers));
    assert_eq!((config.drain, config.access_log), (Duration::from_secs(30), AccessLog::Off));

    let listener = &config.listeners[0];
    assert!(listener.chain.is_empty() && listener.tls.is_none());
    assert_eq!((listener.cluster, listener.forwarded), (Some(ClusterId(0)), Forwarded::Replace));
    let limits = &listener.limits;
    assert_eq!((limits.connections, limits.head, limits.fields, limits.streams), (10_000, 65_536, 128, 128));
    assert_eq!((limits.body, limits.requests), (None, None));
    let times = [limits.tls_handshake_timeout, limits.head_timeout, limits.idle_timeout, limits.body_timeout];
    assert_eq!(times.map(|time| time.as_secs()), [10, 10, 60, 60]);

    let filter = &config.filters[0];
    assert_eq!(filter.wasm, WasmSource::File(Path::new(FILES).join("filter.wasm")));
    assert_eq!((filter.on_fault, &*filter.config_json), (OnFault::Deny, "{}"));
    assert_eq!((&filter.grants.clusters, filter.grants.ask.len()), (&None, 0));
    let limits = &filter.limits;
    assert_eq!((limits.time, limits.memory), (Duration::from_millis(5), 16 << 20));
    assert_eq!((limits.host_calls, limits.state, limits.body), (10_000, 4 << 20, 1 << 20));
    assert_eq!((limits.answer, limits.remembered), (65_536, 4096));

    let cluster = &config.clusters[0];
    assert_eq!(cluster.endpoints.listed()[0].address, Address::Unix(Path::new(FILES).join("run/users.sock")));
    assert_eq!((cluster.endpoints.listed()[0].weight, cluster.retries), (1, 1));
    let retry = &cluster.retry;
    assert_eq!(
        (&retry.statuses[..], &retry.grpc[..]),
        (&[502, 503, 504][..], &[GrpcStatus::Unavailable][..])
    );
    assert_eq!((retry.per_try_timeout, retry.buffer), (None, 65_536));
    assert_eq!((retry.budget_percent, retry.budget_per_second), (20, 10));
    let ejection = &cluster.ejection;
    assert_eq!((ejection.consecutive_failures, ejection.most_percent, cluster.panic_percent), (5, 10, 50));
    assert_eq!((ejection.time.as_secs(), ejection.most_time.as_secs()), (30, 300));
    assert_eq!(ejection.success_rate, None);
    assert_eq!((cluster.protocol, &cluster.tls), (UpstreamProtocol::Auto, &None));
    let times = [cluster.connect_timeout, cluster.idle_timeout, cluster.exchange_timeout];
    assert_eq!(times.map(|time| time.as_secs()), [1, 50, 15]);
    let limits = &cluster.limits;
    assert_eq!(
        (limits.connections, limits.pending, limits.requests, limits.head),
        (1024, 1024, 1024, 65_536)
    );
}

#[test]
fn a_filters_config_becomes_json_in_the_order_written() {
    let text = format!(
        "{LEAST}\n[filters.z]\nwasm = 'builtin:router'\n[filters.z.config]\nz = 1\na = [1.5, true, 'x']\n\
         when = 2026-01-02T03:04:05Z\n[filters.z.config.m]\nb = '\"'\n[[filters.z.config.list]]\nk = 0x10\n"
    );
    assert_eq!(
        &*checked(&text).filters[1].config_json,
        r#"{"z":1,"a":[1.5,true,"x"],"when":"2026-01-02T03:04:05Z","m":{"b":"\""},"list":[{"k":16}]}"#
    );
}

#[test]
fn what_is_configured_and_never_used_is_a_warning() {
    let warnings = checked(LEAST).warnings;
    let [unused] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!((unused.severity, unused.key.as_str()), (Severity::Warning, "filters.mine"));
    assert_eq!((unused.line, unused.column), (5, 10));

    // With filters of which Weir knows what they name, clusters are looked at too.
    let text = LEAST.replace("filter.wasm", "builtin:router")
        + "[clusters.old]\nendpoints = [{ address = 'a:1' }]\n";
    let keys: Vec<String> = checked(&text).warnings.into_iter().map(|warning| warning.key).collect();
    assert_eq!(keys, ["filters.mine", "clusters.old"]);
}

#[test]
fn a_file_is_loaded_with_paths_relative_to_its_folder() {
    let path = Path::new("tests/files/least.toml");
    let config = load(path).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.access_log, AccessLog::File("tests/files/access.log".into()));

    let missing = load(Path::new("tests/files/none.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("tests/files/none.toml: error: cannot be read: No such file"), "{missing}");
}

#[test]
fn differences_are_told_by_name() {
    let old = checked(include_str!("sketch.toml"));
    let with = |from: &str, to: &str| {
        let text = include_str!("sketch.toml");
        assert!(text.contains(from), "{from}");
        differences(&old, &checked(&text.replace(from, to)))
    };
    let names = |names: &[std::sync::Arc<str>]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();

    assert!(with("[admin]", "# only a comment\n[admin]").is_empty());
    assert!(with("head = \"64KiB\"", "head = 65_536").is_empty());

    let changes = with("time = \"5ms\"", "time = \"6ms\"");
    assert_eq!(names(&changes.filters.changed), ["login"]);
    assert!(changes.listeners.changed.is_empty() && changes.clusters.changed.is_empty());

    let changes = with("10.0.0.9:8080", "10.0.0.8:8080");
    assert_eq!(names(&changes.clusters.changed), ["users-cache"]);

    // Another position of everything, yet only what was added counts.
    let more = "[filters.first]\nwasm = \"builtin:api-key\"\n[clusters.first]\nendpoints = [{ address = \"a:1\" }]\n";
    let changes = with("[admin]", &format!("{more}[admin]"));
    assert_eq!(names(&changes.filters.added), ["first"]);
    assert_eq!(names(&changes.clusters.added), ["first"]);
    assert!(changes.filters.changed.is_empty() && changes.listeners.changed.is_empty());

    let changes = with("\"canary\", \"breaker\"]", "\"breaker\"]");
    assert_eq!(names(&changes.listeners.changed), ["web"]);

    let changes = with("[filters.canary]", "[filters.c]\nwasm = \"builtin:canary\"\n[filters.canary]");
    assert_eq!(names(&changes.filters.added), ["c"]);

    let changes = with("[workers]\ncount = \"cores\"", "[workers]\ncount = 3\n[drain]\ntimeout = \"1s\"");
    assert_eq!(changes.process, ["workers", "drain"]);
}

#[test]
fn identities_are_named_by_listeners_and_clusters() {
    let config = checked(
        "
[identities.cart]
files = { cert = 'web.pem', key = 'web.key', bundle = 'ca.pem' }
[identities.agent]
workload_api = 'unix:///run/agent.sock'
id = 'spiffe://td/sa/cart'
[listeners.web]
address = '127.0.0.1:0'
cluster = 'users'
tls = { identity = 'cart' }
[listeners.moving]
address = '127.0.0.1:0'
cluster = 'users'
tls = { identity = 'agent', mtls = 'permissive', peers = ['spiffe://td/ns/*/sa/web'], allow_tls12 = true }
[clusters.users]
endpoints = [{ address = 'unix:run/users.sock' }]
tls = { identity = 'cart', expect = ['spiffe://td/sa/users'] }
",
    );
    assert_eq!(config.warnings, []);
    let IdentitySource::Files { certificate, bundle } = &config.identities[0].source else { panic!() };
    assert_eq!(
        (&*certificate.key, &**bundle),
        (&*Path::new(FILES).join("web.key"), &*Path::new(FILES).join("ca.pem"))
    );
    assert_eq!(config.identities[1].source, IdentitySource::WorkloadApi("/run/agent.sock".into()));
    let Some(ListenerTls::Identity(web)) = &config.listeners[0].tls else { panic!() };
    assert_eq!((web.mtls, web.peers.len(), web.allow_tls12), (Mtls::Require, 0, false));
    let Some(ListenerTls::Identity(moving)) = &config.listeners[1].tls else { panic!() };
    assert_eq!((moving.mtls, moving.peers.len(), moving.allow_tls12), (Mtls::Permissive, 1, true));
    let Some(UpstreamTls::Identity(users)) = &config.clusters[0].tls else { panic!() };
    assert_eq!((&*users.identity, users.expect[0].to_string().as_str()), ("cart", "spiffe://td/sa/users"));
}

#[test]
fn captured_connections_go_to_clusters_by_where_they_were_going() {
    let config = checked(
        "
[listeners.outbound]
address = '127.0.0.1:15001'
protocol = 'detect'
captured = true
destinations = { '10.0.0.0/8' = 'mesh', '10.0.0.9:5432' = 'db' }
cluster = 'elsewhere'
[listeners.inbound]
address = '127.0.0.1:15006'
captured = true
destinations = { ':8080' = 'app' }
[clusters.elsewhere]
destination = 'original'
[clusters.mesh]
destination = 'original'
[clusters.app]
destination = 'loopback'
[clusters.db]
endpoints = [{ address = '127.0.0.1:1' }]
",
    );
    assert_eq!(config.warnings, []);
    let [outbound, inbound] = config.listeners.as_slice() else { panic!() };
    let found =
        |listener: &Listener, to: &str| Some(listener.captured.as_ref()?.find(to.parse().unwrap())?.cluster);
    assert_eq!(found(outbound, "10.0.0.9:5432"), Some(ClusterId(3)));
    assert_eq!(found(outbound, "10.0.0.9:80"), Some(ClusterId(1)));
    assert_eq!((found(outbound, "192.0.2.1:80"), outbound.cluster), (None, Some(ClusterId(0))));
    assert_eq!(found(inbound, "10.0.0.1:8080"), Some(ClusterId(2)));
    assert_eq!((found(inbound, "10.0.0.1:8081"), inbound.cluster), (None, None));
    assert_eq!(config.clusters[2].endpoints.to_destination(), Some(ToDestination::Loopback));
    assert_eq!(config.clusters[3].endpoints.to_destination(), None);
}

#[test]
fn zones_are_labels_and_the_own_one_is_preferred_where_it_can_be() {
    let config = checked(
        "[node]\nzone = 'a'\n[overload]\nmemory = '80%'\n\
         [listeners.web]\naddress = '127.0.0.1:0'\ncluster = 'one'\n\
         [filters.mine]\nwasm = 'filter.wasm'\n\
         [clusters.one]\nslow_start = '30s'\nendpoints = [{ address = '10.0.0.1:1', zone = 'b' }]\n\
         [clusters.off]\nzone_preference = false\nendpoints = [{ address = '10.0.0.1:1' }]\n\
         [clusters.keyed]\nbalancer = 'maglev'\nslow_start = '30s'\nendpoints = [{ address = '10.0.0.1:1' }]\n",
    );
    assert_eq!(config.memory, Some(MemoryMark::Percent(80)));
    let own: Vec<_> = config.clusters.iter().map(|cluster| cluster.own_zone.as_deref()).collect();
    assert_eq!(own, [Some("a"), None, None]);
    assert_eq!(config.clusters[0].endpoints.listed()[0].labels["zone"], "b".into());
    assert_eq!(config.clusters[0].slow_start, Some(Duration::from_secs(30)));
    let warned: Vec<_> = config.warnings.iter().map(|problem| problem.key.as_str()).collect();
    assert!(warned.contains(&"clusters.keyed.slow_start"), "{warned:?}");
}

#[test]
fn retry_policies_say_what_is_otherwise() {
    let config = checked(&format!(
        "{LEAST}[retry_policies.patient]\nretries = 3\nstatuses = [429]\nhedge = {{ after = '50ms', most = 0 }}\n"
    ));
    let [policy] = config.retry_policies.as_slice() else { panic!("{:?}", config.retry_policies) };
    assert_eq!(
        (&*policy.name, policy.retries, policy.statuses.as_deref()),
        ("patient", Some(3), Some(&[429][..]))
    );
    assert_eq!((&policy.grpc, policy.backoff, policy.per_try_timeout), (&None, None, None));
    assert_eq!(policy.hedge.as_ref().map(|hedge| hedge.most), Some(0));
    let changes = differences(&checked(LEAST), &config);
    assert_eq!((changes.retry_policies.added, changes.clusters.changed.len()), (vec!["patient".into()], 0));
}
