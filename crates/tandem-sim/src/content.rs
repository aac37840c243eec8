//! What a volume holds: a set of write numbers, spread over a few pieces.
//!
//! A write is a number that is in the volume or not. This is enough to see every loss, every
//! difference and every mixture of two points in time, and small enough to copy all the time. A
//! piece stands for a file: it is synced, compared and copied as a whole.

use crate::random::Random;

/// The number of pieces of a volume. A comparison takes that many steps.
pub const PIECES: usize = 4;

/// A set of small numbers.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
}

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        self.contains_all(other) && other.contains_all(self)
    }
}

impl Bits {
    /// Adds `number`.
    pub fn insert(&mut self, number: u64) {
        let word = (number / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
    }

    /// Whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.word((number / 64) as usize) & (1 << (number % 64)) != 0
    }

    /// Whether every member of `other` is a member.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        other
            .words
            .iter()
            .enumerate()
            .all(|(place, word)| word & !self.word(place) == 0)
    }

    /// Adds every member of `other`.
    pub fn unite(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Removes every number that is not a member of `other`.
    pub fn intersect(&mut self, other: &Self) {
        for (place, word) in self.words.iter_mut().enumerate() {
            *word &= other.word(place);
        }
    }

    /// The first member that is not a member of `other`.
    #[must_use]
    pub fn first_not_in(&self, other: &Self) -> Option<u64> {
        self.words.iter().enumerate().find_map(|(place, word)| {
            let missing = word & !other.word(place);
            (missing != 0).then(|| place as u64 * 64 + u64::from(missing.trailing_zeros()))
        })
    }

    /// The number of members.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// What a power cut leaves: each difference to what is synced survived or not.
    fn tear(&mut self, synced: &Self, random: &mut Random) {
        let words = self.words.len().max(synced.words.len());
        self.words.resize(words, 0);
        for (place, word) in self.words.iter_mut().enumerate() {
            let stable = synced.word(place);
            let unsynced = *word ^ stable;
            if unsynced != 0 {
                *word = stable ^ (unsynced & random.bits());
            }
        }
    }

    fn word(&self, place: usize) -> u64 {
        self.words.get(place).copied().unwrap_or(0)
    }
}

/// The content of a volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The members of each piece.
    pub pieces: [Bits; PIECES],
}

impl Content {
    /// Whether every write of `other` is here.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        self.pieces
            .iter()
            .zip(&other.pieces)
            .all(|(mine, theirs)| mine.contains_all(theirs))
    }

    /// Adds every write of `other`.
    pub fn unite(&mut self, other: &Self) {
        for (mine, theirs) in self.pieces.iter_mut().zip(&other.pieces) {
            mine.unite(theirs);
        }
    }

    /// Keeps only what `other` holds too.
    pub fn intersect(&mut self, other: &Self) {
        for (mine, theirs) in self.pieces.iter_mut().zip(&other.pieces) {
            mine.intersect(theirs);
        }
    }

    /// The first write that `other` does not hold, with its piece.
    #[must_use]
    pub fn first_not_in(&self, other: &Self) -> Option<(usize, u64)> {
        self.pieces
            .iter()
            .zip(&other.pieces)
            .enumerate()
            .find_map(|(piece, (mine, theirs))| Some((piece, mine.first_not_in(theirs)?)))
    }

    /// The number of writes.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.pieces.iter().map(Bits::count).sum()
    }
}

/// Which line of history a copy belongs to, in truth. Kept by the simulated world, never shown to
/// the cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The generation that was last written or completely followed here.
    pub generation: Option<tandem_core::GenerationId>,
    /// A comparison has changed something here and has not ended: a mixture of two points in time.
    pub mixed: bool,
}

/// A node's volume: it survives every process, and a power cut with its synced part.
#[derive(Clone, Debug, Default)]
pub struct Volume {
    /// What a reader of this node sees.
    pub page: Content,
    /// What a power cut leaves for sure.
    pub disk: Content,
    /// The truth about this copy.
    pub label: Label,
    /// The truth about what a power cut leaves.
    pub disk_label: Label,
    /// The highest epoch that the mirror persisted.
    pub epoch: u64,
    /// The last number of the stream, as kept in the volume.
    pub position: u64,
    /// The point at which a clean end left this copy: stream and number.
    pub base: Option<(u64, u64)>,
    /// The position in the volume is older than the one in the state directory.
    pub rolled_back: bool,
    /// The truth: the whole machine was set back, which its mirror cannot see, and nothing has
    /// brought the copy level since.
    pub set_back: bool,
    /// An older state of the disk, for a rollback.
    pub snapshot: Option<Box<(Content, Label)>>,
}

impl Volume {
    /// Writes through to the page cache.
    pub fn write(&mut self, piece: usize, number: u64) {
        self.page.pieces[piece].insert(number);
        self.base = None;
    }

    /// Puts one piece on disk.
    pub fn sync_piece(&mut self, piece: usize) {
        self.disk.pieces[piece] = self.page.pieces[piece].clone();
    }

    /// Puts everything on disk.
    pub fn sync(&mut self) {
        self.disk = self.page.clone();
        self.disk_label = self.label;
    }

    /// The copy becomes a mixture of two points in time.
    pub fn mix(&mut self) {
        self.label.mixed = true;
        self.disk_label.mixed = true;
    }

    /// The copy is from now on the one of this generation.
    pub fn is_of(&mut self, generation: tandem_core::GenerationId) {
        self.label.generation = Some(generation);
        self.disk_label.generation = Some(generation);
    }

    /// The mirror sees that this is nothing to be served: compared by half, or set back alone.
    #[must_use]
    pub fn unfit(&self) -> bool {
        self.label.mixed || self.rolled_back
    }

    /// The machine lost power.
    pub fn lose_power(&mut self, random: &mut Random) {
        for (page, disk) in self.page.pieces.iter_mut().zip(&self.disk.pieces) {
            page.tear(disk, random);
        }
        self.disk = self.page.clone();
        self.label = self.disk_label;
        self.base = None;
    }

    /// What a power cut would leave for sure, and nothing else.
    #[must_use]
    pub fn as_on_disk(&self) -> Self {
        Self {
            page: self.disk.clone(),
            label: self.disk_label,
            base: None,
            ..self.clone()
        }
    }

    /// Somebody makes an image of the disk.
    pub fn keep(&mut self) {
        self.snapshot = Some(Box::new((self.disk.clone(), self.disk_label)));
    }

    /// Somebody put an older state of the disk back.
    pub fn roll_back(&mut self) {
        if let Some(snapshot) = &self.snapshot {
            let (content, label) = snapshot.as_ref().clone();
            self.page = content.clone();
            self.disk = content;
            self.label = label;
            self.disk_label = label;
            self.base = None;
            self.rolled_back = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Volume};
    use crate::random::Random;

    #[test]
    fn sets_compare_without_regard_to_their_length() {
        let (mut a, mut b) = (Bits::default(), Bits::default());
        a.insert(3);
        b.insert(3);
        b.insert(200);
        assert!(b.contains_all(&a) && !a.contains_all(&b));
        assert_eq!(b.first_not_in(&a), Some(200));
        b.intersect(&a);
        assert_eq!(a, b);
    }

    #[test]
    fn a_power_cut_never_takes_what_was_synced() {
        for seed in 0..50 {
            let mut volume = Volume::default();
            volume.write(0, 1);
            volume.sync_piece(0);
            for number in 2..80 {
                volume.write(0, number);
            }
            volume.lose_power(&mut Random::new(seed));
            assert!(volume.page.pieces[0].contains(1));
            assert!(volume.page.pieces[0].count() < 79);
        }
    }
}
