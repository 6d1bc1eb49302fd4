//! Guests that bring WASI 0.2 along.

use weir_runtime::{Fault, LoadError};

use crate::{
    ENGINE, ask,
    guest::{Guest, body_of, reply},
    log, pass, settings, start, try_start,
};

/// The parts of WASI that the tests call, as WASI 0.2 declares them.
const WASI: &str = r#"
package wasi:cli@0.2.3 {
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }
    interface exit { exit: func(status: result); }
    interface stdout { use wasi:io/streams@0.2.3.{output-stream}; get-stdout: func() -> output-stream; }
    interface stdin { use wasi:io/streams@0.2.3.{input-stream}; get-stdin: func() -> input-stream; }
}
package wasi:io@0.2.3 {
    interface error { resource error; }
    interface poll { resource pollable { block: func(); ready: func() -> bool; } }
    interface streams {
        use error.{error};
        use poll.{pollable};
        variant stream-error { last-operation-failed(error), closed }
        resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
        resource output-stream {
            check-write: func() -> result<u64, stream-error>;
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            subscribe: func() -> pollable;
        }
    }
}
package wasi:clocks@0.2.3 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.3.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
}
package wasi:random@0.2.3 {
    interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }
    interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }
}
package wasi:filesystem@0.2.3 {
    interface types { resource descriptor { sync: func(); } }
    interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }
}
package wasi:sockets@0.2.3 {
    interface network {
        resource network;
        enum ip-address-family { ipv4, ipv6 }
        enum error-code {
            unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict,
            not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use,
            remote-unreachable, connection-refused, connection-reset, connection-aborted, datagram-too-large,
            name-unresolvable, temporary-resolver-failure, permanent-resolver-failure,
        }
    }
    interface tcp { resource tcp-socket { is-listening: func() -> bool; } }
    interface tcp-create-socket {
        use network.{ip-address-family, error-code};
        use tcp.{tcp-socket};
        create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
    }
}
package wasi:keyvalue@0.2.3 { interface store { open: func(name: string) -> u32; } }
package wasi:http@0.3.0 { interface client { send: func(); } }
"#;

fn guest() -> Guest {
    Guest::new().with_wit(WASI)
}

#[test]
fn what_is_printed_becomes_log_lines() {
    let guest = guest()
        .import_as("get", "wasi:cli/stdout@0.2.3", "get-stdout", "(result i32)")
        .import_as("check", "wasi:io/streams@0.2.3", "[method]output-stream.check-write", "(param i32 i32)")
        .import_as(
            "write",
            "wasi:io/streams@0.2.3",
            "[method]output-stream.blocking-write-and-flush",
            "(param i32 i32 i32 i32)",
        )
        .import_as("drop", "wasi:io/streams@0.2.3", "[resource-drop]output-stream", "(param i32)")
        .data(300, "hello\nworld\n")
        .hook(
            "request",
            "(local $out i32) (local.set $out (call $get)) \
             (call $check (local.get $out) (i32.const 5000)) \
             (if (i64.lt_u (i64.load (i32.const 5008)) (i64.const 1024)) (then (unreachable))) \
             (call $write (local.get $out) (i32.const 300) (i32.const 9) (i32.const 5000)) \
             (call $write (local.get $out) (i32.const 309) (i32.const 3) (i32.const 5000)) \
             (call $drop (local.get $out)) i32.const 2048",
        );
    let (result, lines) = log::captured(|| ask(&mut start(&guest)));
    assert_eq!(result, Ok(pass()));
    assert_eq!(lines, ["INFO weir::filter filter=test hello", "INFO weir::filter filter=test world"]);
}

#[test]
fn the_environment_is_empty_and_input_is_at_its_end() {
    let guest = guest()
        .import_as("env", "wasi:cli/environment@0.2.3", "get-environment", "(param i32)")
        .import_as("args", "wasi:cli/environment@0.2.3", "get-arguments", "(param i32)")
        .import_as("folders", "wasi:filesystem/preopens@0.2.3", "get-directories", "(param i32)")
        .import_as("get", "wasi:cli/stdin@0.2.3", "get-stdin", "(result i32)")
        .import_as(
            "read",
            "wasi:io/streams@0.2.3",
            "[method]input-stream.blocking-read",
            "(param i32 i64 i32)",
        )
        .hook(
            "request",
            format!(
                "(call $env (i32.const 5000)) (call $args (i32.const 5008)) (call $folders (i32.const 5016)) \
                 (call $read (call $get) (i64.const 10) (i32.const 5024)) \
                 (i32.store (i32.const 5000) (i32.load (i32.const 5004))) \
                 (i32.store (i32.const 5004) (i32.load (i32.const 5012))) \
                 (i32.store (i32.const 5008) (i32.load (i32.const 5020))) \
                 (i32.store (i32.const 5012) (i32.load8_u (i32.const 5024))) \
                 (i32.store (i32.const 5016) (i32.load8_u (i32.const 5028))) {}",
                reply("(i32.const 5000)", "(i32.const 20)")
            ),
        );
    let words: Vec<u8> = body_of(&ask(&mut start(&guest)).unwrap()).chunks(4).map(|word| word[0]).collect();
    assert_eq!(words, [0, 0, 0, 1, 1], "no variables, arguments, folders; an error, namely `closed`");
}

#[test]
fn clocks_run_chance_differs_and_waiting_does_not_wait() {
    let guest = guest()
        .import_as("now", "wasi:clocks/monotonic-clock@0.2.3", "now", "(result i64)")
        .import_as("wall", "wasi:clocks/wall-clock@0.2.3", "now", "(param i32)")
        .import_as(
            "sleep",
            "wasi:clocks/monotonic-clock@0.2.3",
            "subscribe-duration",
            "(param i64) (result i32)",
        )
        .import_as("block", "wasi:io/poll@0.2.3", "[method]pollable.block", "(param i32)")
        .import_as("random", "wasi:random/random@0.2.3", "get-random-u64", "(result i64)")
        .import_as("seed", "wasi:random/insecure-seed@0.2.3", "insecure-seed", "(param i32)")
        .hook(
            "request",
            format!(
                "(local $from i64) (local.set $from (call $now)) \
                 (call $block (call $sleep (i64.const 0x7fff_ffff_ffff))) \
                 (if (i64.lt_u (call $now) (local.get $from)) (then (unreachable))) \
                 (call $wall (i32.const 5000)) (call $seed (i32.const 5016)) \
                 (if (i64.eq (call $random) (call $random)) (then (unreachable))) {}",
                reply("(i32.const 5000)", "(i32.const 32)")
            ),
        );
    let decision = ask(&mut start(&guest)).unwrap();
    let body = body_of(&decision);
    let seconds = u64::from_le_bytes(body[..8].try_into().unwrap());
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now - seconds < 3600, "{seconds}");
    assert_ne!(body[16..24], body[24..32]);
}

#[test]
fn there_are_no_sockets() {
    let guest = guest()
        .import_as("create", "wasi:sockets/tcp-create-socket@0.2.3", "create-tcp-socket", "(param i32 i32)")
        .hook(
            "request",
            format!(
                "(call $create (i32.const 0) (i32.const 5000)) {}",
                reply("(i32.const 5000)", "(i32.const 8)")
            ),
        );
    let decision = ask(&mut start(&guest)).unwrap();
    assert_eq!([body_of(&decision)[0], body_of(&decision)[4]], [1, 1], "an error, namely `access-denied`");
}

#[test]
fn an_exit_or_a_function_without_a_stand_in_ends_the_guest_by_name() {
    let exit = guest()
        .import_as("exit", "wasi:cli/exit@0.2.3", "exit", "(param i32)")
        .hook("request", "(call $exit (i32.const 0)) unreachable");
    let fault = ask(&mut start(&exit));
    assert!(matches!(&fault, Err(Fault::Trap(text)) if text.contains("exit")), "{fault:?}");
    let store = guest()
        .import_as("open", "wasi:keyvalue/store@0.2.3", "open", "(param i32 i32) (result i32)")
        .hook("request", "(drop (call $open (i32.const 0) (i32.const 0))) unreachable");
    let fault = ask(&mut start(&store));
    assert!(
        matches!(&fault, Err(Fault::Trap(text)) if text.contains("wasi:keyvalue/store#open")),
        "{fault:?}"
    );
}

#[test]
fn calls_to_stand_ins_count_as_calls_to_the_proxy() {
    let guest = guest()
        .import_as("now", "wasi:clocks/monotonic-clock@0.2.3", "now", "(result i64)")
        .hook("request", "(loop $again (drop (call $now)) (br $again)) unreachable");
    let mut limited = settings();
    limited.limits.time = std::time::Duration::from_secs(60);
    let (mut instance, _) = try_start(&guest, limited).unwrap();
    assert_eq!(ask(&mut instance), Err(Fault::TooManyHostCalls));
}

#[test]
fn another_generation_of_wasi_is_refused_when_loaded() {
    let guest = guest()
        .import_as("send", "wasi:http/client@0.3.0", "send", "")
        .hook("request", "(call $send) i32.const 2048");
    let refused = ENGINE.load(&guest.build()).err();
    assert!(matches!(&refused, Some(LoadError::Import(name)) if name.contains("wasi:http")), "{refused:?}");
}
