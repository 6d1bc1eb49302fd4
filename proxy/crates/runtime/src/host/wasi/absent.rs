//! Files, sockets and terminals: a guest that looks for them finds none.

use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, WasmStr};

use crate::host::{Call, Host, Values, charge};

pub(super) struct Descriptor;
pub(super) struct Network;
pub(super) struct Socket;
pub(super) struct Addresses;
pub(super) struct Terminal;
/// Of every resource that no stand-in makes.
pub(super) struct Nothing;

pub(super) fn link<V: Values>(
    instance: &mut LinkerInstance<'_, Host<V>>,
    interface: &str,
) -> wasmtime::Result<()> {
    match interface {
        "wasi:filesystem/preopens" => {
            instance.func_wrap("get-directories", |mut call: Call<'_, V>, (): ()| {
                charge(&mut call)?;
                Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
            })
        }
        "wasi:sockets/instance-network" => {
            instance.func_wrap("instance-network", |mut call: Call<'_, V>, (): ()| {
                charge(&mut call)?;
                Ok((Resource::<Network>::new_own(0),))
            })
        }
        "wasi:sockets/tcp-create-socket" => no_socket(instance, "create-tcp-socket"),
        "wasi:sockets/udp-create-socket" => no_socket(instance, "create-udp-socket"),
        "wasi:sockets/ip-name-lookup" => no_addresses(instance),
        "wasi:cli/terminal-stdin" => no_terminal(instance, "get-terminal-stdin"),
        "wasi:cli/terminal-stdout" => no_terminal(instance, "get-terminal-stdout"),
        "wasi:cli/terminal-stderr" => no_terminal(instance, "get-terminal-stderr"),
        _ => Ok(()),
    }
}

fn no_socket<V: Values>(instance: &mut LinkerInstance<'_, Host<V>>, name: &str) -> wasmtime::Result<()> {
    instance.func_wrap(name, |mut call: Call<'_, V>, (_family,): (AddressFamily,)| {
        charge(&mut call)?;
        Ok((Err::<Resource<Socket>, _>(ErrorCode::AccessDenied),))
    })
}

fn no_addresses<V: Values>(instance: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    instance.func_wrap("resolve-addresses", |mut call: Call<'_, V>, _: (Resource<Network>, WasmStr)| {
        charge(&mut call)?;
        Ok((Err::<Resource<Addresses>, _>(ErrorCode::AccessDenied),))
    })
}

fn no_terminal<V: Values>(instance: &mut LinkerInstance<'_, Host<V>>, name: &str) -> wasmtime::Result<()> {
    instance.func_wrap(name, |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((None::<Resource<Terminal>>,))
    })
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by lifting only")]
enum AddressFamily {
    #[component(name = "ipv4")]
    V4,
    #[component(name = "ipv6")]
    V6,
}

/// `wasi:sockets/network#error-code`; types must match in whole.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "part of the type")]
enum ErrorCode {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "not-supported")]
    NotSupported,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "out-of-memory")]
    OutOfMemory,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "concurrency-conflict")]
    ConcurrencyConflict,
    #[component(name = "not-in-progress")]
    NotInProgress,
    #[component(name = "would-block")]
    WouldBlock,
    #[component(name = "invalid-state")]
    InvalidState,
    #[component(name = "new-socket-limit")]
    NewSocketLimit,
    #[component(name = "address-not-bindable")]
    AddressNotBindable,
    #[component(name = "address-in-use")]
    AddressInUse,
    #[component(name = "remote-unreachable")]
    RemoteUnreachable,
    #[component(name = "connection-refused")]
    ConnectionRefused,
    #[component(name = "connection-reset")]
    ConnectionReset,
    #[component(name = "connection-aborted")]
    ConnectionAborted,
    #[component(name = "datagram-too-large")]
    DatagramTooLarge,
    #[component(name = "name-unresolvable")]
    NameUnresolvable,
    #[component(name = "temporary-resolver-failure")]
    TemporaryResolverFailure,
    #[component(name = "permanent-resolver-failure")]
    PermanentResolverFailure,
}
