//! What the peer's copy may lack, kept in memory: which pieces of which files changed since a
//! number of the stream that the peer certainly had.
//!
//! A comparison walks the names of the whole tree in any case, and describes every object; the debt
//! only says of which files the *contents* need not be read. So it holds contents alone, and is
//! conservative: whatever got a name anew (created, linked, renamed, and everything below a
//! directory that was renamed) is owed as a whole, because what the peer has under that name may be
//! something else.
//!
//! There is a net beneath that: the follower names each file that a listing had to make. If one of
//! them was passed over, the debt is given up, and everything is compared. This happens where two
//! names of one file became two files.
//!
//! **Base** (R7). The debt counts from a number of one stream. It is used only against a copy that
//! shows exactly that stream (process, epoch and generation of the source) and a number that is not
//! before the base: a follower that never died, or one that ended cleanly. It is cleared by the
//! follower's word that it is level, and by nothing else.
//!
//! **Rotation.** Effects are marked in the younger half. While both copies are level, the older half
//! is dropped now and then, once the follower has applied everything that it counts. Whoever carries
//! out an effect holds [`Debt::effect`] from the mark to the number; a rotation waits for all of
//! them, so that no mark is in a half that is older than its number.
//!
//! **What is lost by a crash** of this process: all of it, and then everything is compared.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use tandem_wire::stream::COMPARE_BYTES;

/// The most files in a half: 100 bytes each, and beyond that a comparison of everything is not much
/// slower.
const FILES_MAX: usize = 100 << 10;
/// The most pieces of a file that are told apart: 1 GiB of changes here and there.
const PIECES_MAX: usize = 4 << 10;

/// From which position of which stream a debt counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base {
    /// The epoch of the session.
    pub epoch: u64,
    /// The generation that both copies had.
    pub generation: u64,
    /// Everything after this number is in the debt.
    pub number: u64,
}

/// What of a file's contents is owed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owed {
    /// All of it.
    Whole,
    /// Some of it.
    Pieces(Pieces),
}

/// Pieces of [`COMPARE_BYTES`] that are owed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pieces {
    numbers: BTreeSet<u64>,
    /// Every piece from this one on.
    tail: Option<u64>,
}

impl Pieces {
    /// The first piece at or after this one that is owed.
    #[must_use]
    pub fn next(&self, piece: u64) -> Option<u64> {
        let tail = self.tail.map(|tail| tail.max(piece));
        let next = self.numbers.range(piece..).next().copied();
        match (next, tail) {
            (Some(next), Some(tail)) => Some(next.min(tail)),
            (next, tail) => next.or(tail),
        }
    }
}

/// An effect on contents.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// The object got a name anew.
    Named,
    /// Bytes from the offset on.
    Bytes { offset: u64, bytes: u64 },
    /// Everything from the offset on.
    From(u64),
}

/// Volume and inode number. A number that is used again belongs to an object that was created.
type Key = (u16, u64);

#[derive(Default)]
struct Half {
    files: HashMap<Key, Owed>,
    /// There was more than it holds.
    overflowed: bool,
}

/// See the module.
#[derive(Default)]
pub struct Debt {
    effects: RwLock<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the older half begins; `None`: nobody knows what is owed.
    base: Option<Base>,
    /// Where the younger half begins.
    younger_from: u64,
    older: Half,
    younger: Half,
}

/// An effect is between its mark and its number.
pub struct Marking<'a>(#[expect(dead_code, reason = "held, not used")] RwLockReadGuard<'a, ()>);

impl Debt {
    /// To be held from before the mark of an effect until it has its number.
    #[must_use]
    pub fn effect(&self) -> Marking<'_> {
        Marking(self.effects.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Marks an effect.
    pub fn mark(&self, volume: u16, node: u64, effect: Effect) {
        let mut state = self.lock();
        if state.younger.files.len() >= FILES_MAX {
            state.younger.overflowed = true;
            return;
        }
        let owed = state.younger.files.entry((volume, node));
        owed.or_insert_with(|| Owed::Pieces(Pieces::default()))
            .add(effect);
    }

    /// The debt's base, if what is owed is known.
    #[must_use]
    pub fn base(&self) -> Option<Base> {
        let state = self.lock();
        let complete = !state.older.overflowed && !state.younger.overflowed;
        state.base.filter(|_| complete)
    }

    /// What of a file is owed, if anything; to be asked under the object's lock.
    #[must_use]
    pub fn owed(&self, volume: u16, node: u64) -> Option<Owed> {
        let state = self.lock();
        let key = (volume, node);
        match (state.older.files.get(&key), state.younger.files.get(&key)) {
            (Some(older), Some(younger)) => Some(older.clone().and(younger)),
            (one, other) => one.or(other).cloned(),
        }
    }

    /// Begins a new half: what is marked from now on has a number after the one that `last` says.
    /// What was owed stays owed.
    pub fn begin_half(&self, last: impl FnOnce() -> u64) {
        let quiet = self.effects.write().unwrap_or_else(PoisonError::into_inner);
        // Before the lock: whoever knows the last number asks for the debt under a lock of its own.
        let younger_from = last();
        let mut state = self.lock();
        state.younger_from = younger_from;
        let younger = std::mem::take(&mut state.younger);
        state.older.overflowed |= younger.overflowed;
        for (key, owed) in younger.files {
            match state.older.files.remove(&key) {
                Some(older) => state.older.files.insert(key, older.and(&owed)),
                None => state.older.files.insert(key, owed),
            };
        }
        drop(quiet);
    }

    /// The follower has applied everything from before the younger half: only that is owed.
    pub fn drop_older(&self, epoch: u64, generation: u64) {
        let mut state = self.lock();
        state.older = Half::default();
        state.base = Some(Base {
            epoch,
            generation,
            number: state.younger_from,
        });
    }

    /// Nobody knows any more what is owed.
    pub fn give_up(&self) {
        self.lock().base = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here can panic between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owed {
    fn add(&mut self, effect: Effect) {
        let Self::Pieces(pieces) = self else {
            return;
        };
        match effect {
            Effect::Named => *self = Self::Whole,
            Effect::Bytes { offset, bytes } => {
                let touched = pieces_of(offset, bytes);
                let new = touched.end().saturating_sub(*touched.start()) as usize;
                if pieces.numbers.len().saturating_add(new) >= PIECES_MAX {
                    *self = Self::Whole;
                } else {
                    pieces.numbers.extend(touched);
                }
            }
            Effect::From(offset) => {
                let from = offset / u64::from(COMPARE_BYTES);
                pieces.tail = Some(pieces.tail.map_or(from, |tail| tail.min(from)));
            }
        }
    }

    fn and(self, other: &Self) -> Self {
        let (Self::Pieces(mut ours), Self::Pieces(theirs)) = (self, other) else {
            return Self::Whole;
        };
        ours.numbers.extend(&theirs.numbers);
        ours.tail = match (ours.tail, theirs.tail) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        Self::Pieces(ours)
    }
}

fn pieces_of(offset: u64, bytes: u64) -> RangeInclusive<u64> {
    let piece = u64::from(COMPARE_BYTES);
    let last = offset.saturating_add(bytes.max(1) - 1);
    offset / piece..=last / piece
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u64 = COMPARE_BYTES as u64;

    fn bytes(offset: u64, bytes: u64) -> Effect {
        Effect::Bytes { offset, bytes }
    }

    fn listed(debt: &Debt, node: u64, up_to: u64) -> Vec<u64> {
        match debt.owed(0, node) {
            None => Vec::new(),
            Some(Owed::Whole) => vec![u64::MAX],
            Some(Owed::Pieces(pieces)) => (0..up_to)
                .filter(|piece| pieces.next(*piece) == Some(*piece))
                .collect(),
        }
    }

    #[test]
    fn what_is_written_is_owed_by_pieces_and_what_is_named_as_a_whole() {
        let debt = Debt::default();
        debt.mark(0, 1, bytes(0, 1));
        debt.mark(0, 1, bytes(3 * PIECE - 1, 2));
        assert_eq!(listed(&debt, 1, 9), [0, 2, 3]);
        debt.mark(0, 1, Effect::From(7 * PIECE + 5));
        assert_eq!(listed(&debt, 1, 9), [0, 2, 3, 7, 8]);
        debt.mark(0, 1, Effect::Named);
        debt.mark(0, 1, bytes(0, 1));
        assert_eq!(debt.owed(0, 1), Some(Owed::Whole));
        assert_eq!(debt.owed(0, 2), None);
        assert_eq!(debt.owed(1, 1), None, "another volume");
        debt.mark(0, 3, bytes(0, u64::MAX));
        assert_eq!(debt.owed(0, 3), Some(Owed::Whole));
    }

    #[test]
    fn a_debt_counts_from_the_half_that_is_left() {
        let debt = Debt::default();
        assert_eq!(debt.base(), None, "nothing is known at first");
        debt.mark(0, 1, bytes(0, 1));
        debt.begin_half(|| 10);
        debt.mark(0, 2, bytes(PIECE, 1));
        assert_eq!(debt.base(), None);
        debt.drop_older(5, 7);
        let base = |number| Base {
            epoch: 5,
            generation: 7,
            number,
        };
        assert_eq!(debt.base(), Some(base(10)));
        assert_eq!(debt.owed(0, 1), None);
        assert_eq!(listed(&debt, 2, 4), [1]);
        // The follower did not confirm: all of it stays.
        debt.begin_half(|| 20);
        debt.mark(0, 2, bytes(3 * PIECE, 1));
        debt.begin_half(|| 30);
        assert_eq!(debt.base(), Some(base(10)));
        assert_eq!(listed(&debt, 2, 4), [1, 3]);
        debt.drop_older(5, 7);
        assert_eq!(debt.base(), Some(base(30)));
        assert_eq!(debt.owed(0, 2), None);
    }

    #[test]
    fn too_much_of_it_is_given_up() {
        let debt = Debt::default();
        debt.begin_half(|| 1);
        debt.drop_older(1, 1);
        for node in 0..FILES_MAX as u64 {
            debt.mark(0, node, Effect::Named);
        }
        assert!(debt.base().is_some());
        debt.mark(0, FILES_MAX as u64, Effect::Named);
        assert_eq!(debt.base(), None);
        debt.begin_half(|| 2);
        assert_eq!(debt.base(), None);
        debt.drop_older(1, 1);
        assert!(debt.base().is_some(), "all that is owed is known again");
    }
}
