//! Heads of HTTP/1.1, read and written.

use std::hint::black_box;

use criterion::Criterion;
use weir::http::{
    h1::{Connection, Framing, HeadLimits, Scan, parse_request, write_request},
    head::RequestHead,
};

const REQUEST: &[u8] = b"GET /users/42/orders?limit=10 HTTP/1.1\r\nhost: api.example.com\r\nuser-agent: Mozilla/5.0 \
    (X11; Linux x86_64) AppleWebKit/537.36\r\naccept: text/html,application/json;q=0.9\r\naccept-encoding: gzip, br\r\n\
    accept-language: en\r\ncookie: session=0123456789abcdef\r\nx-user: user-42\r\n\r\n";

pub(crate) fn both_ways(criterion: &mut Criterion) {
    let limits = HeadLimits { bytes: 65_536, fields: 100 };
    let mut head = RequestHead::new();
    criterion.bench_function("head of 7 fields, read", |bencher| {
        bencher.iter(|| {
            head.clear();
            black_box(parse_request(REQUEST, &mut Scan::default(), limits, &mut head).expect("it is right"))
        });
    });
    let mut out = Vec::new();
    criterion.bench_function("head of 7 fields, written", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_request(&mut out, black_box(&head), Framing::Length(0), Connection::Implied);
        });
    });
}
