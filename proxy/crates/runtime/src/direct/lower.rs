//! Writing values into a guest's memory, at places that the guest gives.
//!
//! CanonicalABI.md, "Storing": each string and list is allocated by one call to the guest's `realloc`, empty ones
//! too, and what that answers is checked. While it runs, and while a `post-return` does, the guest may not call
//! the proxy.

use wasmtime::{AsContextMut, Memory, StoreContextMut, TypedFunc, component::ComponentType};

use super::lift::Pair;
use crate::{Answer, ConnectionView, contract::Address, host::Host};

/// A guest's allocator: old address and size, which are always 0, then alignment and size.
pub(super) type Realloc = TypedFunc<(u32, u32, u32, u32), u32>;

/// Bytes of the record `connection-view`; where its fields lie follows from the contract as in [`super::answers`].
const CONNECTION_VIEW: usize = 84;

const _: () = assert!(<ConnectionView<'static> as ComponentType>::SIZE32 == CONNECTION_VIEW);

/// What imports have to know of their guest.
pub(crate) struct Ties {
    memory: Option<Memory>,
    /// Away while it runs.
    realloc: Option<Realloc>,
    /// The guest may call the proxy now.
    may_leave: bool,
}

impl Default for Ties {
    /// Of a guest that is not there yet.
    fn default() -> Self {
        Self { memory: None, realloc: None, may_leave: true }
    }
}

impl Ties {
    pub(super) fn new(memory: Memory, realloc: Realloc) -> Self {
        Self { memory: Some(memory), realloc: Some(realloc), may_leave: true }
    }

    /// Its memory, if it may call the proxy now.
    #[inline]
    pub(super) fn memory(&self) -> wasmtime::Result<Memory> {
        self.may_leave()?;
        self.memory.ok_or_else(cannot_leave)
    }

    /// Fails if the guest may not call the proxy now.
    #[inline]
    pub(super) fn may_leave(&self) -> wasmtime::Result<()> {
        if self.may_leave { Ok(()) } else { Err(cannot_leave()) }
    }
}

#[cold]
fn cannot_leave() -> wasmtime::Error {
    wasmtime::Trap::CannotLeaveComponent.into()
}

/// What a guest's allocator or place for a result got wrong; told as the component lane tells it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Misplaced {
    #[error("realloc return: result not aligned")]
    Misaligned,
    #[error("realloc return: beyond end of memory")]
    Outside,
    #[error("pointer not aligned")]
    ResultMisaligned,
    #[error("pointer out of bounds")]
    ResultOutside,
}

/// A guest that is being written to.
pub(super) struct Lower<'a, V: 'static> {
    pub(super) store: StoreContextMut<'a, Host<V>>,
    pub(super) memory: Memory,
    pub(super) realloc: &'a Realloc,
}

impl<V: 'static> Lower<'_, V> {
    /// `string` and `list<u8>`.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> wasmtime::Result<Pair> {
        let (address, place) = self.allocate(1, bytes.len())?;
        place.copy_from_slice(bytes);
        Ok((address, u32::try_from(bytes.len())?))
    }

    /// `list<u32>`.
    #[inline]
    pub(super) fn words(&mut self, words: &[u32]) -> wasmtime::Result<Pair> {
        let (address, place) = self.allocate(4, size_of_val(words))?;
        for (place, word) in place.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        Ok((address, u32::try_from(words.len())?))
    }

    /// `list<tuple<string, list<u8>>>`.
    fn fields(&mut self, fields: &[(String, Vec<u8>)]) -> wasmtime::Result<Pair> {
        const FIELD: u32 = 16;
        let (address, _) = self.allocate(4, fields.len() * FIELD as usize)?;
        for (index, (name, value)) in (0_u32..).zip(fields) {
            let at = address + index * FIELD;
            let name = self.bytes(name.as_bytes())?;
            self.write_pair(at, name)?;
            let value = self.bytes(value)?;
            self.write_pair(at + 8, value)?;
        }
        Ok((address, u32::try_from(fields.len())?))
    }

    /// `connection-view`, as the address of the record. Fields in their order, as the component lane has it: each
    /// may allocate.
    pub(super) fn connection(&mut self, view: &ConnectionView<'_>) -> wasmtime::Result<u32> {
        let (at, _) = self.allocate(4, CONNECTION_VIEW)?;
        let listener = self.bytes(view.listener.as_bytes())?;
        self.write_pair(at, listener)?;
        self.write(at + 8, &[view.protocol as u8])?;
        self.write(at + 9, &[u8::from(view.secure)])?;
        self.optional_address(at + 12, view.peer)?;
        self.optional_address(at + 28, view.local)?;
        self.optional_address(at + 44, view.destination)?;
        self.optional_text(at + 60, view.sni)?;
        self.optional_text(at + 72, view.identity)?;
        Ok(at)
    }

    fn optional_address(&mut self, at: u32, address: Option<Address<'_>>) -> wasmtime::Result<()> {
        self.write(at, &[u8::from(address.is_some())])?;
        let Some(Address { ip, port }) = address else { return Ok(()) };
        let ip = self.bytes(ip.as_bytes())?;
        self.write_pair(at + 4, ip)?;
        self.write(at + 12, &port.to_le_bytes())
    }

    fn optional_text(&mut self, at: u32, text: Option<&str>) -> wasmtime::Result<()> {
        self.write(at, &[u8::from(text.is_some())])?;
        let Some(text) = text else { return Ok(()) };
        let text = self.bytes(text.as_bytes())?;
        self.write_pair(at + 4, text)
    }

    /// `answer`, as its status and two lists.
    pub(super) fn answer(&mut self, answer: &Answer) -> wasmtime::Result<(u32, Pair, Pair)> {
        let fields = self.fields(&answer.fields)?;
        let body = self.bytes(&answer.body)?;
        Ok((answer.status.into(), fields, body))
    }

    #[inline]
    pub(super) fn write_pair(&mut self, address: u32, (at, length): Pair) -> wasmtime::Result<()> {
        self.write(address, &at.to_le_bytes())?;
        self.write(address + 4, &length.to_le_bytes())
    }

    #[inline]
    pub(super) fn write(&mut self, address: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        self.place(address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, align: u32, size: usize) -> wasmtime::Result<(u32, &mut [u8])> {
        let arguments = (0, 0, align, u32::try_from(size)?);
        let realloc = self.realloc;
        let address = secluded(&mut self.store, |store| realloc.call(store, arguments))?;
        if !address.is_multiple_of(align) {
            return Err(wasmtime::Error::new(Misplaced::Misaligned));
        }
        Ok((address, self.place(address, size)?))
    }

    /// Memory from an address that the guest answered.
    #[inline]
    fn place(&mut self, address: u32, size: usize) -> wasmtime::Result<&mut [u8]> {
        let rest = self.memory.data_mut(&mut self.store).get_mut(address as usize..);
        let place = rest.and_then(|rest| rest.get_mut(..size));
        place.ok_or_else(|| wasmtime::Error::new(Misplaced::Outside))
    }
}

/// Runs the guest so that it cannot call the proxy.
#[inline]
pub(super) fn secluded<V: 'static, T>(
    store: &mut StoreContextMut<'_, Host<V>>,
    run: impl FnOnce(StoreContextMut<'_, Host<V>>) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    store.data_mut().ties.may_leave = false;
    // After a trap nothing runs in this store any more.
    let result = run(store.as_context_mut())?;
    store.data_mut().ties.may_leave = true;
    Ok(result)
}

/// Writes the result of an import to the place that its caller set aside for it.
pub(super) fn give<V: 'static>(
    mut store: StoreContextMut<'_, Host<V>>,
    address: u32,
    align: u32,
    size: usize,
    write: impl FnOnce(&mut Lower<'_, V>) -> wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    let ties = &mut store.data_mut().ties;
    let (Some(memory), Some(realloc)) = (ties.memory, ties.realloc.take()) else {
        return Err(cannot_leave());
    };
    if !address.is_multiple_of(align) {
        return Err(wasmtime::Error::new(Misplaced::ResultMisaligned));
    }
    if (address as usize).saturating_add(size) > memory.data_size(&store) {
        return Err(wasmtime::Error::new(Misplaced::ResultOutside));
    }
    write(&mut Lower { store: store.as_context_mut(), memory, realloc: &realloc })?;
    store.data_mut().ties.realloc = Some(realloc);
    Ok(())
}
