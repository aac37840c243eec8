//! What runs count, above all which rows of the transition table they took.

use tandem_core::Row;

/// The rows of the table.
pub const ROWS: usize = 18;

/// Counts of one run or of many.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Times that each row was taken, from row 1 on.
    pub rows: [u64; ROWS],
    /// Happenings in the world.
    pub happenings: u64,
    /// Turns of a core.
    pub turns: u64,
    /// Acknowledged writes and syncs.
    pub acknowledgements: u64,
    /// Refused commands.
    pub refused: u64,
    /// Forced promotions.
    pub forced: u64,
    /// Faults that began.
    pub faults: u64,
}

impl Statistics {
    /// A row was taken.
    pub fn took(&mut self, row: Row) {
        if let Some(count) = self.rows.get_mut(usize::from(row.0).wrapping_sub(1)) {
            *count += 1;
        }
    }

    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.rows.iter_mut().zip(&other.rows) {
            *mine += theirs;
        }
        self.happenings += other.happenings;
        self.turns += other.turns;
        self.acknowledgements += other.acknowledgements;
        self.refused += other.refused;
        self.forced += other.forced;
        self.faults += other.faults;
    }

    /// The rows that were never taken.
    #[must_use]
    pub fn untaken(&self) -> Vec<usize> {
        (1..=ROWS).filter(|row| self.rows[row - 1] == 0).collect()
    }
}
