//! The packed values that a hook is shown, built into buffers that are used again.

/// The values a filter's `interest` named, in that order.
///
/// Value `i` is `bytes[at[2i] .. at[2i] + at[2i+1]]`; `at[2i] == 0xffff_ffff` says it is absent. Keep
/// one per worker, [`clear`](Self::clear) it and push the values of the next exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// Offset and length of each value.
    pub at: Vec<u32>,
    /// The values, one after another.
    pub bytes: Vec<u8>,
}

impl View {
    /// The offset that says "absent".
    pub const ABSENT: u32 = u32::MAX;

    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the values and keeps the buffers.
    pub fn clear(&mut self) {
        self.at.clear();
        self.bytes.clear();
    }

    /// Adds the next value. A value that would end beyond 4 GiB counts as absent.
    pub fn push(&mut self, value: Option<&[u8]>) {
        let place = value.and_then(|v| self.place(v.len()));
        let (Some(value), Some((offset, length))) = (value, place) else { return self.push_absent() };
        self.bytes.extend_from_slice(value);
        self.at.extend_from_slice(&[offset, length]);
    }

    /// Adds the next value, joined from its parts; absent if there are none.
    pub fn push_joined<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>, separator: &[u8]) {
        let start = self.bytes.len();
        let mut found = false;
        for part in parts {
            if found {
                self.bytes.extend_from_slice(separator);
            }
            found = true;
            self.bytes.extend_from_slice(part);
        }
        let place = u32::try_from(start).ok().zip(u32::try_from(self.bytes.len() - start).ok());
        match place.filter(|(offset, length)| found && offset.checked_add(*length).is_some()) {
            Some((offset, length)) => self.at.extend_from_slice(&[offset, length]),
            None => {
                self.bytes.truncate(start);
                self.push_absent();
            }
        }
    }

    /// The value at a position; none if it is absent or was never pushed.
    pub fn value(&self, position: usize) -> Option<&[u8]> {
        let [offset, length] = *self.at.get(position * 2..position * 2 + 2)? else { return None };
        if offset == Self::ABSENT {
            return None;
        }
        self.bytes.get(offset as usize..)?.get(..length as usize)
    }

    /// How many values were pushed.
    pub fn len(&self) -> usize {
        self.at.len() / 2
    }

    /// Nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    fn push_absent(&mut self) {
        self.at.extend_from_slice(&[Self::ABSENT, 0]);
    }

    /// Where a value of this length would lie.
    fn place(&self, length: usize) -> Option<(u32, u32)> {
        let offset = u32::try_from(self.bytes.len()).ok()?;
        let length = u32::try_from(length).ok()?;
        offset.checked_add(length).map(|_| (offset, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_pushed() {
        let mut view = View::new();
        view.push(Some(b"GET"));
        view.push(None);
        view.push(Some(b""));
        view.push_joined([&b"a"[..], b"b"], b", ");
        view.push_joined([], b", ");
        assert_eq!(view.len(), 5);
        let values: Vec<_> = (0..6).map(|i| view.value(i)).collect();
        assert_eq!(values, [Some(&b"GET"[..]), None, Some(b""), Some(b"a, b"), None, None]);
    }

    #[test]
    fn a_cleared_view_keeps_its_buffers() {
        let mut view = View::new();
        view.push(Some(&[7; 100]));
        let capacity = view.bytes.capacity();
        view.clear();
        assert!(view.is_empty() && view.bytes.is_empty());
        assert_eq!(view.bytes.capacity(), capacity);
    }
}
