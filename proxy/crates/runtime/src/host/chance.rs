//! Random numbers for filters, from the kernel and in batches.
//!
//! Not from the library that does the cryptography: its generator gathers entropy of its own when it is
//! first used, some ten milliseconds of processor time, and that would fall on the first exchange.

/// Numbers fetched with one system call.
const BATCH: usize = 32;

/// Random numbers of one instance, good enough for tokens: filters will use them for that.
#[derive(Default)]
pub(crate) struct Chance {
    /// Taken from the end and not kept, so that no later leak tells what was handed out.
    left: Vec<u64>,
}

impl Chance {
    /// The next number; none if the kernel has none to give.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.left.is_empty() {
            self.fetch()?;
        }
        let number = self.left.last_mut().map(std::mem::take);
        self.left.pop();
        number
    }

    fn fetch(&mut self) -> Option<()> {
        let mut bytes = [0; BATCH * 8];
        fill(&mut bytes)?;
        let numbers = bytes.as_chunks::<8>().0.iter().map(|number| u64::from_ne_bytes(*number));
        self.left.extend(numbers);
        Some(())
    }
}

/// Fills a buffer; none if the kernel has nothing to give.
pub(crate) fn fill(bytes: &mut [u8]) -> Option<()> {
    getrandom::fill(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_comes_twice_within_or_across_batches() {
        let mut chance = Chance::default();
        let numbers: HashSet<u64> = (0..BATCH * 4).map(|_| chance.next().unwrap()).collect();
        assert_eq!(numbers.len(), BATCH * 4);
    }
}
