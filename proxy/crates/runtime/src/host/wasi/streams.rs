//! `wasi:io` and the standard streams: input is at its end, output becomes log lines, and whoever waits
//! finds that everything is ready.

use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource, WasmList};

use crate::{
    clock,
    host::{Call, Host, Values, charge, forbid},
    shared::Level,
};

/// Longer lines are cut in pieces.
const MAX_LINE_BYTES: usize = 4096;
/// What `check-write` permits at a time.
const PERMITTED_BYTES: u64 = 64 << 10;

pub(super) struct IoError;
pub(super) struct InputStream;
pub(super) struct OutputStream;
pub(super) struct Pollable;

/// The number inside an [`OutputStream`].
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

#[derive(ComponentType, Lower)]
#[component(variant)]
#[allow(dead_code, reason = "part of the type")]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

/// Lines begun and not ended.
#[derive(Default)]
pub(crate) struct Streams {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Streams {
    /// Takes bytes in and hands out each line that they end.
    fn write(&mut self, stream: u32, bytes: &[u8], mut line: impl FnMut(&str)) {
        let begun = if stream == STDERR { &mut self.stderr } else { &mut self.stdout };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(MAX_LINE_BYTES) {
                begun.extend_from_slice(piece);
                if begun.len() >= MAX_LINE_BYTES || begun.ends_with(b"\n") {
                    line(&String::from_utf8_lossy(begun));
                    begun.clear();
                }
            }
        }
    }
}

pub(super) fn link<V: Values>(
    instance: &mut LinkerInstance<'_, Host<V>>,
    interface: &str,
) -> wasmtime::Result<()> {
    match interface {
        "wasi:cli/stdin" => instance.func_wrap("get-stdin", |mut call: Call<'_, V>, (): ()| {
            charge(&mut call)?;
            Ok((Resource::<InputStream>::new_own(0),))
        }),
        "wasi:cli/stdout" => standard_output(instance, "get-stdout", STDOUT),
        "wasi:cli/stderr" => standard_output(instance, "get-stderr", STDERR),
        "wasi:io/error" => instance.func_wrap(
            "[method]error.to-debug-string",
            |mut call: Call<'_, V>, _: (Resource<IoError>,)| {
                charge(&mut call)?;
                Ok((String::new(),))
            },
        ),
        "wasi:io/poll" => poll(instance),
        "wasi:io/streams" => {
            input(instance)?;
            output(instance)
        }
        _ => Ok(()),
    }
}

fn standard_output<V: Values>(
    instance: &mut LinkerInstance<'_, Host<V>>,
    name: &str,
    stream: u32,
) -> wasmtime::Result<()> {
    instance.func_wrap(name, move |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((Resource::<OutputStream>::new_own(stream),))
    })
}

fn poll<V: Values>(poll: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    poll.func_wrap("[method]pollable.ready", |mut call: Call<'_, V>, _: (Resource<Pollable>,)| {
        charge(&mut call)?;
        Ok((true,))
    })?;
    poll.func_wrap("[method]pollable.block", |mut call: Call<'_, V>, _: (Resource<Pollable>,)| {
        charge(&mut call)
    })?;
    poll.func_wrap("poll", |mut call: Call<'_, V>, (pollables,): (Vec<Resource<Pollable>>,)| {
        charge(&mut call)?;
        if pollables.is_empty() {
            return forbid("`wasi:io/poll#poll` of nothing");
        }
        let all: Vec<u32> = (0..).take(pollables.len()).collect();
        Ok((all,))
    })
}

type Outcome<T> = wasmtime::Result<(Result<T, StreamError>,)>;

fn input<V: Values>(streams: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    type Asked = (Resource<InputStream>, u64);
    for name in ["read", "blocking-read"] {
        let name = format!("[method]input-stream.{name}");
        streams.func_wrap(&name, |mut call: Call<'_, V>, _: Asked| -> Outcome<Vec<u8>> {
            charge(&mut call)?;
            Ok((Err(StreamError::Closed),))
        })?;
    }
    for name in ["skip", "blocking-skip"] {
        let name = format!("[method]input-stream.{name}");
        streams.func_wrap(&name, |mut call: Call<'_, V>, _: Asked| -> Outcome<u64> {
            charge(&mut call)?;
            Ok((Err(StreamError::Closed),))
        })?;
    }
    streams.func_wrap(
        "[method]input-stream.subscribe",
        |mut call: Call<'_, V>, _: (Resource<InputStream>,)| {
            charge(&mut call)?;
            Ok((pollable(),))
        },
    )
}

fn output<V: Values>(streams: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    type This = (Resource<OutputStream>,);
    for name in ["write", "blocking-write-and-flush"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(
            &name,
            |mut call: Call<'_, V>, (this, bytes): (Resource<OutputStream>, WasmList<u8>)| -> Outcome<()> {
                charge(&mut call)?;
                write(&mut call, this.rep(), &bytes);
                Ok((Ok(()),))
            },
        )?;
    }
    for name in ["flush", "blocking-flush"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |mut call: Call<'_, V>, _: This| -> Outcome<()> {
            charge(&mut call)?;
            Ok((Ok(()),))
        })?;
    }
    streams.func_wrap(
        "[method]output-stream.check-write",
        |mut call: Call<'_, V>, _: This| -> Outcome<u64> {
            charge(&mut call)?;
            Ok((Ok(PERMITTED_BYTES),))
        },
    )?;
    streams.func_wrap("[method]output-stream.subscribe", |mut call: Call<'_, V>, _: This| {
        charge(&mut call)?;
        Ok((pollable(),))
    })
}

fn write<V: Values>(call: &mut Call<'_, V>, stream: u32, bytes: &WasmList<u8>) {
    let bytes = bytes.as_le_slice(&*call).to_vec();
    let host = call.data_mut();
    let level = if stream == STDERR { Level::Warn } else { Level::Info };
    let (shared, name) = (&host.shared, &host.name);
    host.streams.write(stream, &bytes, |line| shared.log.write(name, level, line, clock::monotonic_ms()));
}

/// One that is ready.
pub(super) fn pollable() -> Resource<Pollable> {
    Resource::new_own(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: &[(u32, &str)]) -> Vec<String> {
        let (mut streams, mut lines) = (Streams::default(), Vec::new());
        for (stream, text) in writes {
            streams.write(*stream, text.as_bytes(), |line| lines.push(line.to_owned()));
        }
        lines
    }

    #[test]
    fn output_comes_out_by_lines_and_streams_do_not_mix() {
        let writes =
            [(STDOUT, "he"), (STDERR, "oh "), (STDOUT, "llo\nwor"), (STDERR, "no\n"), (STDOUT, "ld\n\n")];
        assert_eq!(lines(&writes), ["hello\n", "oh no\n", "world\n", "\n"]);
    }

    #[test]
    fn an_endless_line_comes_out_in_pieces() {
        let lines = lines(&[(STDOUT, &"x".repeat(10_000)), (STDOUT, "\n")]);
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [4096, 4096, 1809]);
    }
}
