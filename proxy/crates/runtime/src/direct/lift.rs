//! Reading what a guest left in its memory, which may be anything.
//!
//! CanonicalABI.md, "Loading": addresses must be aligned to what lies there, ranges must lie within memory, text
//! must be UTF-8. Nothing is copied before it is known to be within the limit of what one answer, or one call,
//! may carry out; what counts against that limit is the size of the values here.

use std::str::Utf8Error;

/// Bytes that are not what the contract says; told as the component lane tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("return pointer not aligned")]
    ResultMisaligned,
    #[error("pointer out of bounds of memory")]
    ResultOutside,
    #[error("list pointer is not aligned")]
    ListMisaligned,
    #[error("list pointer/length out of bounds of memory")]
    ListOutside,
    #[error("string pointer/length out of bounds of memory")]
    TextOutside,
    #[error("{0}")]
    Text(Utf8Error),
    #[error("unexpected discriminant: {0}")]
    Case(u32),
    #[error("invalid option discriminant")]
    Option,
    #[error("invalid expected discriminant")]
    Result,
    #[error(
        "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been \
         exhausted"
    )]
    TooMuch,
}

/// A string or list as it lies in memory: address and length.
pub(super) type Pair = (u32, u32);

/// A guest's memory while one answer, or the arguments of one call, are read from it.
pub(super) struct Lift<'a> {
    memory: &'a [u8],
    /// Bytes that may still be carried out.
    left: usize,
}

impl<'a> Lift<'a> {
    #[inline]
    pub(super) fn new(memory: &'a [u8], limit: usize) -> Self {
        Self { memory, left: limit }
    }

    /// The record that a function returned the address of.
    #[inline]
    pub(super) fn result<const SIZE: usize>(
        &self,
        address: u32,
        align: u32,
    ) -> Result<&'a [u8; SIZE], Malformed> {
        if !address.is_multiple_of(align) {
            return Err(Malformed::ResultMisaligned);
        }
        let rest = self.memory.get(address as usize..);
        rest.and_then(|rest| rest.first_chunk()).ok_or(Malformed::ResultOutside)
    }

    /// The bytes of a string, which need not be text yet.
    #[inline]
    pub(super) fn raw_text(&mut self, (address, length): Pair) -> Result<&'a [u8], Malformed> {
        let bytes = self.range(address, length as usize).ok_or(Malformed::TextOutside)?;
        self.take(bytes.len())?;
        Ok(bytes)
    }

    /// `string`.
    #[inline]
    pub(super) fn text(&mut self, pair: Pair) -> Result<String, Malformed> {
        Ok(text(self.raw_text(pair)?)?.to_owned())
    }

    /// `string`, into one that most likely says the same already: policies repeat themselves.
    #[inline]
    pub(super) fn text_into(&mut self, pair: Pair, into: &mut String) -> Result<(), Malformed> {
        let bytes = self.raw_text(pair)?;
        if into.as_bytes() == bytes {
            return Ok(());
        }
        *into = text(bytes)?.to_owned();
        Ok(())
    }

    /// `list<u8>`.
    #[inline]
    pub(super) fn bytes(&mut self, (address, length): Pair) -> Result<&'a [u8], Malformed> {
        let bytes = self.range(address, length as usize).ok_or(Malformed::ListOutside)?;
        self.take(bytes.len())?;
        Ok(bytes)
    }

    /// `list<T>` of anything larger, its items read one by one.
    #[inline]
    pub(super) fn list<T, const SIZE: usize>(
        &mut self,
        pair: Pair,
        item: impl Fn(&mut Self, &'a [u8; SIZE]) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let chunks = self.items::<T, SIZE>(pair)?;
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let mut items = Vec::with_capacity(chunks.len());
        for bytes in chunks {
            items.push(item(self, bytes)?);
        }
        Ok(items)
    }

    /// `list<T>`, into one that most likely holds the same already.
    #[inline]
    pub(super) fn list_into<T: Default, const SIZE: usize>(
        &mut self,
        pair: Pair,
        into: &mut Vec<T>,
        item: impl Fn(&mut Self, &'a [u8; SIZE], &mut T) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let chunks = self.items::<T, SIZE>(pair)?;
        if into.len() != chunks.len() {
            into.resize_with(chunks.len(), T::default);
        }
        for (bytes, place) in chunks.iter().zip(into) {
            item(self, bytes, place)?;
        }
        Ok(())
    }

    /// The items of a list as they lie there, counted as what they become here.
    #[inline]
    fn items<T, const SIZE: usize>(
        &mut self,
        (address, length): Pair,
    ) -> Result<&'a [[u8; SIZE]], Malformed> {
        let length = length as usize;
        let bytes = length.checked_mul(SIZE).and_then(|size| self.range(address, size));
        let bytes = bytes.ok_or(Malformed::ListOutside)?;
        self.take(length.checked_mul(size_of::<T>()).ok_or(Malformed::TooMuch)?)?;
        // Every record of the contract that is listed begins with an address.
        if !address.is_multiple_of(4) {
            return Err(Malformed::ListMisaligned);
        }
        Ok(bytes.as_chunks::<SIZE>().0)
    }

    #[inline]
    fn range(&self, address: u32, size: usize) -> Option<&'a [u8]> {
        self.memory.get(address as usize..)?.get(..size)
    }

    #[inline]
    fn take(&mut self, size: usize) -> Result<(), Malformed> {
        self.left = self.left.checked_sub(size).ok_or(Malformed::TooMuch)?;
        Ok(())
    }
}

/// Text, if the bytes are that.
#[inline]
pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(bytes).map_err(Malformed::Text)
}

/// A part of a record. That it lies within is proved when this is compiled.
#[inline]
pub(super) fn part<const AT: usize, const SIZE: usize, const OF: usize>(record: &[u8; OF]) -> &[u8; SIZE] {
    const { assert!(AT + SIZE <= OF) };
    match record.get(AT..).and_then(|rest| rest.first_chunk()) {
        Some(part) => part,
        None => unreachable!(),
    }
}

#[inline]
pub(super) fn byte<const AT: usize, const OF: usize>(record: &[u8; OF]) -> u8 {
    part::<AT, 1, OF>(record)[0]
}

#[inline]
pub(super) fn half<const AT: usize, const OF: usize>(record: &[u8; OF]) -> u16 {
    u16::from_le_bytes(*part::<AT, 2, OF>(record))
}

#[inline]
pub(super) fn word<const AT: usize, const OF: usize>(record: &[u8; OF]) -> u32 {
    u32::from_le_bytes(*part::<AT, 4, OF>(record))
}

#[inline]
pub(super) fn long<const AT: usize, const OF: usize>(record: &[u8; OF]) -> u64 {
    u64::from_le_bytes(*part::<AT, 8, OF>(record))
}

/// A string or list in a record.
#[inline]
pub(super) fn pair<const AT: usize, const OF: usize>(record: &[u8; OF]) -> Pair {
    let pair = part::<AT, 8, OF>(record);
    (word::<0, 8>(pair), word::<4, 8>(pair))
}

/// `option<T>`: the byte that says whether there is one, and what to read then.
#[inline]
pub(super) fn option<T>(
    case: u8,
    read: impl FnOnce() -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    match case {
        0 => Ok(None),
        1 => read().map(Some),
        _ => Err(Malformed::Option),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_beyond_memory_is_read() {
        let memory = [7; 32];
        let lift = || Lift::new(&memory, usize::MAX);
        assert_eq!(lift().result::<8>(24, 8), Ok(&[7; 8]));
        assert_eq!(lift().result::<8>(28, 4), Err(Malformed::ResultOutside));
        assert_eq!(lift().result::<8>(0xffff_fff8, 8), Err(Malformed::ResultOutside));
        assert_eq!(lift().result::<8>(20, 8), Err(Malformed::ResultMisaligned));
        assert_eq!(lift().bytes((31, 1)), Ok(&[7][..]));
        assert_eq!(lift().bytes((32, 0)), Ok(&[][..]));
        for outside in [(33, 0), (32, 1), (0, 33), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
            assert_eq!(lift().bytes(outside), Err(Malformed::ListOutside));
            assert_eq!(lift().text(outside), Err(Malformed::TextOutside));
            assert_eq!(lift().list(outside, |_, item: &[u8; 16]| Ok(item[0])), Err(Malformed::ListOutside));
        }
        let list = |pair| lift().list(pair, |_, item: &[u8; 16]| Ok(item[0]));
        assert_eq!(list((16, 1)), Ok(vec![7]));
        assert_eq!(list((17, 0)), Err(Malformed::ListMisaligned));
    }

    #[test]
    fn no_more_is_carried_out_than_may_be() {
        let memory = [b'a'; 64];
        let mut lift = Lift::new(&memory, 40);
        assert_eq!(lift.text((0, 30)).map(|text| text.len()), Ok(30));
        assert_eq!(lift.bytes((0, 11)), Err(Malformed::TooMuch));
        assert_eq!(lift.bytes((0, 10)).map(<[u8]>::len), Ok(10));
        // Two items of 16 bytes there are 48 here.
        let mut lift = Lift::new(&memory, 47);
        let list = lift.list((0, 2), |_, _: &[u8; 16]| Ok(String::new()));
        assert_eq!(list, Err(Malformed::TooMuch));
    }

    #[test]
    fn text_is_utf_8_and_a_case_is_one_of_the_cases() {
        let memory = [b'a', 0xff, 0xc3, 0xa9];
        let lift = || Lift::new(&memory, 100);
        assert_eq!(lift().text((2, 2)), Ok("é".to_owned()));
        assert!(matches!(lift().text((0, 2)), Err(Malformed::Text(_))));
        assert_eq!(
            [0, 1, 2].map(|case| option(case, || Ok(5))),
            [Ok(None), Ok(Some(5)), Err(Malformed::Option)]
        );
    }
}
