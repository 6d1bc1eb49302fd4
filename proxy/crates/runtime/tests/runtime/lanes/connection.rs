//! The hook about connections: shown in the same places, and whatever is answered comes to the same.

use std::cell::RefCell;

use proptest::{collection::vec, option, prelude::*};
use weir_runtime::{
    ConnectionView, Verdict,
    contract::{Address, Protocol},
};

use super::{Both, Known, for_all};
use crate::guest::{DECISION, Guest, PASS, reply};

/// A connection, with text of its own.
#[derive(Debug, Clone)]
struct Owned {
    listener: String,
    protocol: Protocol,
    secure: bool,
    addresses: [Option<(String, u16)>; 3],
    texts: [Option<String>; 2],
}

impl Owned {
    fn view(&self) -> ConnectionView<'_> {
        let address = |at: usize| {
            let (ip, port) = self.addresses[at].as_ref()?;
            Some(Address { ip, port: *port })
        };
        ConnectionView {
            listener: &self.listener,
            protocol: self.protocol,
            secure: self.secure,
            peer: address(0),
            local: address(1),
            destination: address(2),
            sni: self.texts[0].as_deref(),
            identity: self.texts[1].as_deref(),
        }
    }
}

/// Mostly short, sometimes larger than the guest's memory to begin with.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => ".{0,12}", 1 => (0_usize..200_000).prop_map(|size| "x".repeat(size))]
}

fn connections() -> impl Strategy<Value = Owned> {
    let address = || option::of((text(), any::<u16>()));
    let protocols = vec![Protocol::Tcp, Protocol::Tls, Protocol::Http1, Protocol::Http2];
    (
        text(),
        prop::sample::select(protocols),
        any::<bool>(),
        [address(), address(), address()],
        [option::of(text()), option::of(text())],
    )
        .prop_map(|(listener, protocol, secure, addresses, texts)| Owned {
            listener,
            protocol,
            secure,
            addresses,
            texts,
        })
}

/// Notes where it was shown a connection, and answers a body with all of its memory.
fn witness() -> Guest {
    Guest::new()
        .hook("connection", format!("(i32.store (i32.const 5000) (local.get $view)) (i32.const {PASS})"))
        .hook("request-body", reply("(i32.const 0)", "(i32.shl (memory.size) (i32.const 16))"))
}

/// Answers with what `update` brought last, at the address with which that begins.
fn parrot() -> Guest {
    Guest::new().hook("connection", "(i32.load (i32.const 7000))").update(&format!(
        "(i32.store (i32.const 7000) (i32.load (local.get $content))) \
         (memory.copy (i32.const {DECISION}) (i32.add (local.get $content) (i32.const 4)) \
            (i32.sub (local.get $content-len) (i32.const 4))) \
         (call $reset) (i32.const 1200)"
    ))
}

fn answered(both: &RefCell<Both>, address: u32, image: &[u8]) -> Result<Verdict, weir_runtime::Fault> {
    let mut both = both.borrow_mut();
    let content = [&address.to_le_bytes()[..], image].concat();
    assert_eq!(both.same(|instance| instance.update("answer", &content)), Ok(Ok(())));
    both.same(|instance| instance.on_connection(&ConnectionView::default()))
}

#[test]
fn a_connection_lies_in_the_same_places() {
    let both = RefCell::new(Both::of(&witness()));
    for_all(250, connections(), |connection| {
        let mut both = both.borrow_mut();
        assert_eq!(both.same(|instance| instance.on_connection(&connection.view())), Ok(Verdict::Pass(None)));
        both.same(|instance| instance.on_request_body(0, 0, b"", &mut Known)).unwrap();
    });
}

#[test]
fn every_verdict_comes_back_as_it_was_laid_out() {
    let both = RefCell::new(Both::of(&parrot()));
    let verdicts =
        prop_oneof![any::<Option<u32>>().prop_map(Verdict::Pass), ".{0,40}".prop_map(Verdict::Refuse)];
    for_all(200, verdicts, |verdict| {
        let (words, text) = match &verdict {
            Verdict::Pass(None) => ([0, 0, 7], ""),
            Verdict::Pass(Some(position)) => ([0, 1, *position], ""),
            Verdict::Refuse(text) => ([1, DECISION + 12, text.len() as u32], text.as_str()),
        };
        let mut image: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        image.extend_from_slice(text.as_bytes());
        assert_eq!(answered(&both, DECISION, &image), Ok(verdict));
    });
}

#[test]
fn whatever_lies_there_is_the_same_verdict_or_fault() {
    let both = RefCell::new(Both::of(&parrot()));
    let end = 2_u32 << 16;
    let word = || {
        prop_oneof![
            6 => 0_u32..4,
            4 => DECISION..DECISION + 64,
            1 => end - 20..end + 20,
            1 => any::<u32>(),
        ]
    };
    let address = prop_oneof![8 => Just(DECISION), 1 => word()];
    for_all(1_500, (address, vec(word(), 3..16)), |(address, words)| {
        let image: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        _ = answered(&both, address, &image);
    });
}

#[test]
fn an_allocator_that_lies_about_a_connection_is_the_same_fault() {
    let liar = Guest::new()
        .hook("connection", format!("i32.const {PASS}"))
        .update(
            "(memory.copy (i32.const 7000) (local.get $content) (local.get $content-len)) \
             (call $reset) (i32.const 1200)",
        )
        .misplaces("(select (i32.load (i32.const 7004)) (local.get $at) (i32.load (i32.const 7000)))");
    let both = RefCell::new(Both::of(&liar));
    let end = 2_u32 << 16;
    let places = prop_oneof![0_u32..64, 7_100_u32..8_000, end - 100..end + 24, any::<u32>()];
    for_all(400, (places, connections()), |(place, connection)| {
        let mut both = both.borrow_mut();
        let content = [1_u32.to_le_bytes(), place.to_le_bytes()].concat();
        if both.same(|instance| instance.update("place", &content)).is_ok() {
            _ = both.same(|instance| instance.on_connection(&connection.view()));
            _ = both.same(|instance| instance.update("place", &[0; 4]));
        }
    });
}
