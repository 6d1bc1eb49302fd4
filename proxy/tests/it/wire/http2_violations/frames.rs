//! Violations by frames: their form, their size, the state of their stream, their own rules.

use super::*;

pub(super) fn framing() -> Vec<Case> {
    vec![
        ("4.1 an unknown frame type is ignored", vec![(0xaa, 0x55, 0, vec![0; 9])], Fine),
        ("4.1 unknown flags are ignored", vec![(PING, 0x16, 0, vec![0; 8])], Fine),
        (
            "4.2 DATA beyond the frame size",
            vec![open(1, get()), (DATA, END_STREAM, 1, vec![0; 16_385])],
            OfStream(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.2 HEADERS beyond the frame size",
            vec![whole(1, with(&[(b"x", &[b'y'; 16_400])]))],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        ("4.3 a block that cannot be read", vec![whole(1, vec![0x40])], Connection(&[COMPRESSION_ERROR])),
        (
            "4.3 another frame within a block",
            vec![(HEADERS, END_STREAM, 1, get()), (PRIORITY, 0, 1, vec![0, 0, 0, 0, 1])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "4.3 another stream's HEADERS within a block",
            vec![(HEADERS, END_STREAM, 1, get()), whole(3, get())],
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "5.5 an unknown frame within a block",
            vec![(HEADERS, END_STREAM, 1, get()), (0xaa, 0, 1, vec![0; 8])],
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}

pub(super) fn states() -> Vec<Case> {
    let reset = || (RST_STREAM, 0, 1, vec![0, 0, 0, 8]);
    vec![
        ("5.1 DATA on an idle stream", vec![(DATA, END_STREAM, 1, vec![0])], Connection(&[PROTOCOL_ERROR])),
        ("5.1 RST_STREAM on an idle stream", vec![reset()], Connection(&[PROTOCOL_ERROR])),
        (
            "5.1 WINDOW_UPDATE on an idle stream",
            vec![(WINDOW_UPDATE, 0, 1, vec![0, 0, 0, 1])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1 CONTINUATION on an idle stream",
            vec![(CONTINUATION, END_HEADERS, 1, get())],
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1 DATA on a stream that its caller ended",
            vec![whole(1, get()), (DATA, END_STREAM, 1, vec![0])],
            OfStream(&[STREAM_CLOSED]),
        ),
        (
            "5.1 HEADERS on a stream that its caller ended",
            vec![whole(1, get()), whole(1, get())],
            OfStream(&[STREAM_CLOSED]),
        ),
        (
            "5.1 CONTINUATION on a stream that its caller ended",
            vec![whole(1, get()), (CONTINUATION, END_HEADERS, 1, get())],
            Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "5.1 DATA after RST_STREAM",
            vec![open(1, get()), reset(), (DATA, END_STREAM, 1, vec![0])],
            OfStream(&[STREAM_CLOSED]),
        ),
        (
            "5.1 HEADERS after RST_STREAM",
            vec![open(1, get()), reset(), whole(1, get())],
            OfStream(&[STREAM_CLOSED]),
        ),
        (
            "5.1 CONTINUATION after RST_STREAM",
            vec![open(1, get()), reset(), (CONTINUATION, END_HEADERS, 1, get())],
            Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        ("5.1.1 an even stream", vec![whole(2, get())], Connection(&[PROTOCOL_ERROR])),
        (
            "5.1.1 a stream below the last one",
            vec![whole(5, get()), whole(3, get())],
            Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "5.1.2 more streams than allowed",
            (0..5).map(|n| open(1 + 2 * n, get())).collect(),
            OfStream(&[REFUSED_STREAM, PROTOCOL_ERROR]),
        ),
    ]
}

pub(super) fn frames() -> Vec<Case> {
    vec![
        ("6.1 DATA on stream 0", vec![(DATA, 0, 0, vec![0])], Connection(&[PROTOCOL_ERROR])),
        (
            "6.1 DATA with more padding than payload",
            vec![open(1, get()), (DATA, PADDED | END_STREAM, 1, vec![9, 0, 0])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.2 HEADERS on stream 0", vec![whole(0, get())], Connection(&[PROTOCOL_ERROR])),
        (
            "6.2 HEADERS with more padding than payload",
            vec![(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, [&[200][..], &get()].concat())],
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.3 PRIORITY on stream 0",
            vec![(PRIORITY, 0, 0, vec![0, 0, 0, 1, 1])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.3 PRIORITY of four bytes", vec![(PRIORITY, 0, 1, vec![0; 4])], OfStream(&[FRAME_SIZE_ERROR])),
        ("6.4 RST_STREAM on stream 0", vec![(RST_STREAM, 0, 0, vec![0; 4])], Connection(&[PROTOCOL_ERROR])),
        (
            "6.4 RST_STREAM of three bytes",
            vec![open(1, get()), (RST_STREAM, 0, 1, vec![0; 3])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.5 an acknowledgement with settings",
            vec![(SETTINGS, ACK, 0, vec![0])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.5 SETTINGS on a stream",
            vec![(SETTINGS, 0, 1, vec![0, 3, 0, 0, 0, 9])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.5 half a setting", vec![(SETTINGS, 0, 0, vec![0, 3, 0])], Connection(&[FRAME_SIZE_ERROR])),
        ("6.5.2 ENABLE_PUSH of 2", vec![setting(2, 2)], Connection(&[PROTOCOL_ERROR])),
        ("6.5.2 a window beyond 2^31-1", vec![setting(4, 1 << 31)], Connection(&[FLOW_CONTROL_ERROR])),
        ("6.5.2 a frame size below 2^14", vec![setting(5, 16_383)], Connection(&[PROTOCOL_ERROR])),
        ("6.5.2 a frame size beyond 2^24-1", vec![setting(5, 1 << 24)], Connection(&[PROTOCOL_ERROR])),
        ("6.5.2 an unknown setting", vec![setting(0xff, 1)], Fine),
        (
            "6.6 PUSH_PROMISE from a caller",
            vec![(PUSH_PROMISE, END_HEADERS, 1, vec![0, 0, 0, 2])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.7 PING on a stream", vec![(PING, 0, 1, vec![0; 8])], Connection(&[PROTOCOL_ERROR])),
        ("6.7 PING of six bytes", vec![(PING, 0, 0, vec![0; 6])], Connection(&[FRAME_SIZE_ERROR])),
        ("6.7 an answer to no PING", vec![(PING, ACK, 0, vec![7; 8])], Fine),
        ("6.8 GOAWAY on a stream", vec![(GOAWAY, 0, 1, vec![0; 8])], Connection(&[PROTOCOL_ERROR])),
        ("6.9 WINDOW_UPDATE by 0", vec![(WINDOW_UPDATE, 0, 0, vec![0; 4])], Connection(&[PROTOCOL_ERROR])),
        (
            "6.9 WINDOW_UPDATE of a stream by 0",
            vec![open(1, get()), (WINDOW_UPDATE, 0, 1, vec![0; 4])],
            OfStream(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9 WINDOW_UPDATE of three bytes",
            vec![(WINDOW_UPDATE, 0, 0, vec![0; 3])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.9.1 a connection's window beyond 2^31-1",
            vec![(WINDOW_UPDATE, 0, 0, vec![0x7f, 0xff, 0xff, 0xff]); 2],
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.1 a stream's window beyond 2^31-1",
            vec![open(1, get()), (WINDOW_UPDATE, 0, 1, vec![0x7f, 0xff, 0xff, 0xff])],
            OfStream(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.10 CONTINUATION after the end of a block",
            vec![open(1, get()), (CONTINUATION, END_HEADERS, 1, get())],
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10 CONTINUATION on stream 0",
            vec![(HEADERS, END_STREAM, 1, get()), (CONTINUATION, END_HEADERS, 0, Vec::new())],
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}
