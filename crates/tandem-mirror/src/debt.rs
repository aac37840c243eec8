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
//! shows exactly that stream (process, epoch and generation of its source) and a number that is not
//! before the base: a follower that never died, or one that ended cleanly. It is cleared by the
//! follower's word that it is level, and by nothing else.
//!
//! **Interrupted comparisons.** A comparison of what is owed changes the follower's copy only where
//! something is owed, so that the same debt still holds against a copy that is somewhere in that
//! comparison, and shows it by the comparison's name. A comparison of everything makes a debt, too:
//! everything is owed but the contents that were found equal, and of these what was marked since
//! the comparison began. A file counts as equal only once the follower has applied every number
//! that repaired it. The name of a comparison is lost by a crash of either side.
//!
//! **Rotation.** Effects are marked in the younger half. While both copies are level, the older half
//! is dropped now and then, once the follower has applied everything that it counts. Whoever carries
//! out an effect holds [`Debt::effect`] from the mark to the number; a rotation waits for all of
//! them, so that no mark is in a half that is older than its number.
//!
//! **What is lost by a crash** of this process: all of it, and then everything is compared. What an
//! end in good order keeps is in [`crate::left`].

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use tandem_wire::debt::{OwedContents, OwedFile};
use tandem_wire::stream::{COMPARE_BYTES, ComparisonId, DebtBase};

/// The most files in a half: 100 bytes each, and beyond that a comparison of everything is not much
/// slower.
const FILES_MAX: usize = 100 << 10;
/// The most pieces of a file that are told apart: 1 GiB of changes here and there.
const PIECES_MAX: usize = 4 << 10;
/// The most pieces of all files of a half together: 16 MiB of memory. Beyond that, files are owed as
/// a whole.
const PIECES_TOGETHER_MAX: usize = 1 << 20;
/// The most files that are remembered as found equal: 64 MiB. More are compared again.
const EQUAL_MAX: usize = 1 << 20;

/// From which position of which stream a debt counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Base {
    /// Whose stream it is.
    line: Line,
    /// Everything after this number is in the debt.
    number: u64,
    /// The last number of that stream; `None`: it goes on.
    last: Option<u64>,
}

/// Whose stream goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// The process.
    pub incarnation: u64,
    /// The epoch of the session.
    pub epoch: u64,
    /// The generation that is written.
    pub generation: u64,
}

impl Line {
    const fn from(self, number: u64) -> Base {
        Base {
            line: self,
            number,
            last: None,
        }
    }
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
    /// How many pieces were put in, together.
    pieces: usize,
    /// There was more than it holds.
    overflowed: bool,
}

/// See the module.
#[derive(Default)]
pub struct Debt {
    effects: RwLock<()>,
    /// How many there were.
    counted: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the older half begins; `None`: nobody knows what is owed.
    base: Option<Base>,
    /// The comparison that was begun at the base and has not ended.
    comparison: Option<ComparisonId>,
    /// In a comparison of everything: up to where files were found equal. All else is owed.
    equal: Option<HashMap<Key, u64>>,
    /// Where the younger half begins.
    younger_from: u64,
    older: Half,
    younger: Half,
}

/// An effect is between its mark and its number.
pub struct Marking<'a>(#[expect(dead_code, reason = "held, not used")] RwLockReadGuard<'a, ()>);

impl Debt {
    /// The debt of a stream that begins after this number, where the peer's copy is known to lack
    /// no more than these files of what it was at the base.
    #[must_use]
    pub fn new(number: u64, known: Option<(DebtBase, Vec<OwedFile>)>) -> Self {
        let mut state = State {
            younger_from: number,
            ..State::default()
        };
        if let Some((base, files)) = known.filter(|(base, _)| base.complete) {
            let line = Line {
                incarnation: base.incarnation,
                epoch: base.epoch,
                generation: base.generation,
            };
            state.base = Some(Base {
                last: Some(base.last),
                ..line.from(base.number)
            });
            state.comparison = base.comparison;
            let files = files
                .into_iter()
                .map(|file| ((file.volume, file.node), file.contents.into()));
            state.older.files = files.collect();
        }
        Self {
            effects: RwLock::default(),
            counted: AtomicU64::default(),
            state: Mutex::new(state),
        }
    }

    /// To be held from before the mark of an effect until it has its number.
    #[must_use]
    pub fn effect(&self) -> Marking<'_> {
        self.counted.fetch_add(1, Ordering::Relaxed);
        Marking(self.effects.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many effects were begun: shows whether the application is at work.
    #[must_use]
    pub fn effects(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// Marks an effect.
    pub fn mark(&self, volume: u16, node: u64, effect: Effect) {
        let mut state = self.lock();
        let half = &mut state.younger;
        let key = (volume, node);
        if half.files.len() >= FILES_MAX && !half.files.contains_key(&key) {
            half.overflowed = true;
            return;
        }
        let full = half.pieces >= PIECES_TOGETHER_MAX;
        let owed = half.files.entry(key);
        let owed = owed.or_insert_with(|| Owed::Pieces(Pieces::default()));
        half.pieces += owed.add(if full { Effect::Named } else { effect });
    }

    /// Which copies lack no more than what is owed, if any can. `last` is the last number of the
    /// stream that goes on.
    #[must_use]
    pub fn base(&self, last: u64) -> Option<DebtBase> {
        self.lock().offered(last)
    }

    /// Whether this is still what [`Self::base`] says.
    #[must_use]
    pub fn is_still(&self, offered: &DebtBase) -> bool {
        self.lock().offered(offered.last) == Some(*offered)
    }

    /// What of a file is owed, if anything; to be asked under the object's lock.
    #[must_use]
    pub fn owed(&self, volume: u16, node: u64) -> Option<Owed> {
        let state = self.lock();
        let key = (volume, node);
        if !state.is_complete() {
            return Some(Owed::Whole);
        }
        let marked = match (state.older.files.get(&key), state.younger.files.get(&key)) {
            (Some(older), Some(younger)) => Some(older.clone().and(younger)),
            (one, other) => one.or(other).cloned(),
        };
        let Some(equal) = &state.equal else {
            return marked;
        };
        match (equal.get(&key), marked) {
            (None, _) | (_, Some(Owed::Whole)) => Some(Owed::Whole),
            (Some(&u64::MAX), marked) => marked,
            (Some(equal_to), marked) => {
                let beyond = Pieces {
                    numbers: BTreeSet::new(),
                    tail: Some(equal_to / u64::from(COMPARE_BYTES)),
                };
                let marked = marked.unwrap_or_else(|| Owed::Pieces(Pieces::default()));
                Some(marked.and(&Owed::Pieces(beyond)))
            }
        }
    }

    /// Whether an object got a name anew.
    #[must_use]
    pub fn is_named_anew(&self, volume: u16, node: u64) -> bool {
        let state = self.lock();
        [&state.older, &state.younger]
            .iter()
            .any(|half| half.files.get(&(volume, node)) == Some(&Owed::Whole))
    }

    /// A comparison of what is owed begins or goes on.
    pub fn compare_owed(&self, comparison: ComparisonId) {
        self.lock().comparison = Some(comparison);
    }

    /// A comparison of everything begins: what was owed is of no use any more. The younger half was
    /// just begun.
    pub fn compare_everything(&self, line: Line, comparison: ComparisonId) {
        let mut state = self.lock();
        state.older = Half::default();
        state.base = Some(line.from(state.younger_from));
        state.comparison = Some(comparison);
        state.equal = Some(HashMap::new());
    }

    /// In a comparison of everything: the follower has a file as it is here up to this offset
    /// (`u64::MAX`: all of it), but for what was marked since the comparison began.
    pub fn found_equal(&self, volume: u16, node: u64, up_to: u64) {
        let mut state = self.lock();
        if let Some(equal) = &mut state.equal
            && (equal.len() < EQUAL_MAX || equal.contains_key(&(volume, node)))
        {
            let found = equal.entry((volume, node)).or_default();
            *found = up_to.max(*found);
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
        let older = &mut state.older;
        older.overflowed |= younger.overflowed || older.files.len() > FILES_MAX;
        let full = older.pieces >= PIECES_TOGETHER_MAX;
        older.pieces += younger.pieces;
        for (key, owed) in younger.files {
            let owed = if full { Owed::Whole } else { owed };
            match older.files.remove(&key) {
                Some(before) => older.files.insert(key, before.and(&owed)),
                None => older.files.insert(key, owed),
            };
        }
        drop(quiet);
    }

    /// The follower is level, and has applied everything from before the younger half: only that is
    /// owed.
    pub fn drop_older(&self, line: Line) {
        let mut state = self.lock();
        state.older = Half::default();
        state.base = Some(line.from(state.younger_from));
        state.comparison = None;
        state.equal = None;
    }

    /// Nobody knows any more what is owed.
    pub fn give_up(&self) {
        let mut state = self.lock();
        state.base = None;
        state.comparison = None;
        state.equal = None;
    }

    /// All of it, to be kept where it is used against complete copies, or those in the comparison.
    #[must_use]
    pub fn all(&self, last: u64) -> Option<(DebtBase, Vec<OwedFile>)> {
        let state = self.lock();
        let base = state.offered(last).filter(|base| base.complete)?;
        let mut files = state.older.files.clone();
        for (key, owed) in &state.younger.files {
            match files.remove(key) {
                Some(before) => files.insert(*key, before.and(owed)),
                None => files.insert(*key, owed.clone()),
            };
        }
        let files = files.into_iter().map(|((volume, node), owed)| OwedFile {
            volume,
            node,
            contents: owed.into(),
        });
        Some((base, files.collect()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here can panic between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_complete(&self) -> bool {
        !self.older.overflowed && !self.younger.overflowed
    }

    fn offered(&self, last: u64) -> Option<DebtBase> {
        let base = self.base.filter(|_| self.is_complete())?;
        Some(DebtBase {
            incarnation: base.line.incarnation,
            epoch: base.line.epoch,
            generation: base.line.generation,
            number: base.number,
            last: base.last.unwrap_or(last),
            complete: self.equal.is_none(),
            comparison: self.comparison,
        })
    }
}

impl From<OwedContents> for Owed {
    fn from(contents: OwedContents) -> Self {
        match contents {
            OwedContents::Whole => Self::Whole,
            OwedContents::Pieces { numbers, tail } => Self::Pieces(Pieces {
                numbers: numbers.into_iter().collect(),
                tail,
            }),
        }
    }
}

impl From<Owed> for OwedContents {
    fn from(owed: Owed) -> Self {
        match owed {
            Owed::Whole => Self::Whole,
            Owed::Pieces(Pieces { numbers, tail }) => Self::Pieces {
                numbers: numbers.into_iter().collect(),
                tail,
            },
        }
    }
}

impl Owed {
    /// Says how many pieces more are told apart.
    fn add(&mut self, effect: Effect) -> usize {
        let Self::Pieces(pieces) = self else {
            return 0;
        };
        let before = pieces.numbers.len();
        match effect {
            Effect::Named => *self = Self::Whole,
            Effect::Bytes { offset, bytes } => {
                let touched = pieces_of(offset, bytes);
                let new = touched.end().saturating_sub(*touched.start()) as usize;
                if before.saturating_add(new) >= PIECES_MAX {
                    *self = Self::Whole;
                } else {
                    pieces.numbers.extend(touched);
                    return pieces.numbers.len() - before;
                }
            }
            Effect::From(offset) => {
                let from = offset / u64::from(COMPARE_BYTES);
                pieces.tail = Some(pieces.tail.map_or(from, |tail| tail.min(from)));
            }
        }
        0
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

    const LINE: Line = Line {
        incarnation: 9,
        epoch: 5,
        generation: 7,
    };

    fn base(number: u64) -> Option<DebtBase> {
        Some(DebtBase {
            incarnation: 9,
            epoch: 5,
            generation: 7,
            number,
            last: 99,
            complete: true,
            comparison: None,
        })
    }

    #[test]
    fn a_debt_counts_from_the_half_that_is_left() {
        let debt = Debt::default();
        assert_eq!(debt.base(99), None, "nothing is known at first");
        debt.mark(0, 1, bytes(0, 1));
        debt.begin_half(|| 10);
        debt.mark(0, 2, bytes(PIECE, 1));
        assert_eq!(debt.base(99), None);
        debt.drop_older(LINE);
        assert_eq!(debt.base(99), base(10));
        assert_eq!(debt.owed(0, 1), None);
        assert_eq!(listed(&debt, 2, 4), [1]);
        // The follower did not confirm: all of it stays.
        debt.begin_half(|| 20);
        debt.mark(0, 2, bytes(3 * PIECE, 1));
        debt.begin_half(|| 30);
        assert_eq!(debt.base(99), base(10));
        assert_eq!(listed(&debt, 2, 4), [1, 3]);
        debt.drop_older(LINE);
        assert_eq!(debt.base(99), base(30));
        assert_eq!(debt.owed(0, 2), None);
    }

    #[test]
    fn too_much_of_it_is_given_up() {
        let debt = Debt::default();
        debt.begin_half(|| 1);
        debt.drop_older(LINE);
        for node in 0..FILES_MAX as u64 {
            debt.mark(0, node, bytes(0, 1));
        }
        debt.mark(0, 0, bytes(PIECE, 1));
        assert!(debt.base(99).is_some());
        debt.mark(0, FILES_MAX as u64, Effect::Named);
        assert_eq!(debt.base(99), None);
        // Whoever is in a comparison meanwhile reads everything.
        assert_eq!(debt.owed(0, FILES_MAX as u64), Some(Owed::Whole));
        debt.begin_half(|| 2);
        assert_eq!(debt.base(99), None);
        debt.drop_older(LINE);
        assert!(debt.base(99).is_some(), "all that is owed is known again");
    }

    #[test]
    fn in_a_comparison_of_everything_all_is_owed_but_what_was_found_equal() {
        let debt = Debt::default();
        debt.mark(0, 1, Effect::Named);
        debt.begin_half(|| 10);
        debt.mark(0, 2, bytes(0, 1));
        debt.compare_everything(LINE, 77);
        let offered = debt.base(99).expect("a base");
        assert!(!offered.complete, "of use only in this comparison");
        assert_eq!((offered.number, offered.comparison), (10, Some(77)));
        assert_eq!(debt.owed(0, 1), Some(Owed::Whole));
        debt.found_equal(0, 1, u64::MAX);
        debt.found_equal(0, 2, 4 * PIECE);
        debt.found_equal(0, 2, 3 * PIECE);
        assert_eq!(debt.owed(0, 1), None, "it was marked before");
        assert_eq!(listed(&debt, 2, 7), [0, 4, 5, 6], "marked, and not reached");
        debt.mark(0, 1, Effect::Named);
        assert_eq!(debt.owed(0, 1), Some(Owed::Whole));
        assert_eq!(debt.all(99), None, "what was found equal is not kept");
        debt.begin_half(|| 20);
        debt.drop_older(LINE);
        assert_eq!(debt.base(99), base(20));
        assert_eq!(debt.owed(0, 3), None);
    }

    #[test]
    fn what_is_kept_is_what_was_owed() {
        let debt = Debt::default();
        debt.begin_half(|| 10);
        debt.drop_older(LINE);
        debt.mark(0, 1, bytes(0, 1));
        debt.begin_half(|| 20);
        debt.mark(0, 1, bytes(PIECE, 1));
        debt.mark(3, 2, Effect::Named);
        debt.compare_owed(4);
        let (offered, files) = debt.all(99).expect("it is complete");
        assert_eq!((offered.number, offered.comparison), (10, Some(4)));
        let again = Debt::new(500, Some((offered, files)));
        assert_eq!(listed(&again, 1, 4), [0, 1]);
        assert_eq!(again.owed(3, 2), Some(Owed::Whole));
        assert_eq!(again.base(600), Some(offered));
    }
}
