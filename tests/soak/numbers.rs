//! Sets of numbers that begin at zero and have few gaps: a bit for each, so that millions of events take little memory.

use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Numbers(Mutex<Bits>);

#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Numbers {
    /// Whether it was not there yet.
    pub(crate) fn insert(&self, number: u64) -> bool {
        let mut bits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (word, bit) = place(number);
        if bits.words.len() <= word {
            bits.words.resize(word + 1, 0);
        }
        let is_new = bits.words[word] & bit == 0;
        bits.words[word] |= bit;
        bits.count += u64::from(is_new);
        is_new
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let bits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (word, bit) = place(number);
        bits.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

fn place(number: u64) -> (usize, u64) {
    let word = usize::try_from(number / 64).expect("as many as fit into memory");
    (word, 1 << (number % 64))
}
