//! What really happened, kept apart from what the cores believe: which writes were acknowledged, in
//! which line of history, and who served.
//!
//! Generations form a tree. Its edges come from the copies themselves: a copy that held generation
//! P and is now served as generation G makes G a child of P. Every acknowledgement belongs to the
//! generation of its session, and must be in whatever serves that generation or grows from it. An
//! edge may be *excused*: it was made by an `unconfirmed` or a forced record, which are the two
//! things that a pair without a witness may lose a line by.

use crate::clock::Time;
use crate::content::{Bits, Content};
use crate::network::place;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tandem_core::{
    Durable, Epoch, GenerationId, InSync, Instant, NodeId, Nonce, PeerMessage, Record,
};

/// A checker's finding.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The checker.
    pub checker: &'static str,
    /// What it saw.
    pub text: String,
    /// When, in world time.
    pub at: Time,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} after {:.3} s: {}",
            self.checker,
            self.at as f64 / 1e9,
            self.text
        )
    }
}

/// How a generation came to be.
#[derive(Clone, Copy, Debug, Default)]
struct Birth {
    unconfirmed: bool,
    forced: bool,
    version: u64,
}

/// One generation.
#[derive(Clone, Debug, Default)]
struct Line {
    parent: Option<GenerationId>,
    /// What its first copy held when it began.
    open: Content,
    /// What everything that serves it must hold.
    required: Content,
    acknowledged: bool,
}

/// A term of service of one mirror.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// Its epoch.
    pub epoch: Epoch,
    /// What it writes.
    pub generation: GenerationId,
    first: Option<Time>,
    last: Time,
}

/// A decision, named by what cannot be equal in two of them.
type Decision = (u64, u64, NodeId, Option<NodeId>, GenerationId);

fn decision(record: &Record) -> Decision {
    (
        record.version.0,
        record.epoch.0,
        record.holder,
        match record.insync {
            InSync::Both => None,
            InSync::Only(node) => Some(node),
        },
        record.lineage.current,
    )
}

/// The truth.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    births: BTreeMap<GenerationId, Birth>,
    lines: BTreeMap<GenerationId, Line>,
    terms: [Option<Term>; 2],
    past: [VecDeque<Term>; 2],
    epochs: BTreeMap<u64, (NodeId, GenerationId)>,
    highest_served: [u64; 2],
    decisions: BTreeSet<Decision>,
    /// Nonces that a node's daemon sent, on its clock.
    sent: [VecDeque<(Nonce, Instant)>; 2],
    /// The newest own nonce for which a grant arrived, by its sending time.
    granted: [Option<Instant>; 2],
    /// Acknowledgements so far.
    pub acknowledgements: u64,
}

/// Who was there when something was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    /// Answered without the peer.
    pub lone: bool,
    /// The line of each node's copy.
    pub labels: [Option<GenerationId>; 2],
}

/// The terms that are kept for a look at overlaps.
const TERMS_MAX: usize = 4;

type Finding = Option<(&'static str, String)>;

impl Truth {
    /// A daemon starts: its nonces are new.
    pub fn daemon_started(&mut self, node: NodeId) {
        self.sent[place(node)].clear();
        self.granted[place(node)] = None;
    }

    /// A state came onto a node's disk. Gives the decisions that nobody had on disk before.
    pub fn written(&mut self, durable: &Durable) -> Vec<Record> {
        let mut new = Vec::new();
        for (record, counts) in [(&durable.record, true), (&durable.proposal, false)] {
            let Some(record) = record else { continue };
            if counts || record.forced {
                self.births.entry(record.lineage.current).or_insert(Birth {
                    unconfirmed: !record.confirmed,
                    forced: record.forced,
                    version: record.version.0,
                });
            }
            if counts && self.decisions.insert(decision(record)) {
                new.push(record.clone());
            }
        }
        new
    }

    /// Whether this is the decision that made its generation.
    #[must_use]
    pub fn shrunk_by(&self, record: &Record) -> bool {
        self.births
            .get(&record.lineage.current)
            .is_some_and(|b| b.version == record.version.0)
    }

    /// Whether this decision has been on a disk.
    #[must_use]
    pub fn knows(&self, record: &Record) -> bool {
        self.decisions.contains(&decision(record))
    }

    /// A machine is set back: what it served since is not known to it. Forced without the other
    /// node, it takes epochs again that it has taken.
    pub fn forgets(&mut self, node: NodeId) {
        self.highest_served[place(node)] = 0;
    }

    // Lines

    /// A generation begins, or goes on, with this copy.
    pub fn generation_begins(
        &mut self,
        generation: GenerationId,
        label: Option<GenerationId>,
        declared: &[GenerationId],
        page: &Content,
    ) -> Finding {
        let forced = self.births.get(&generation).is_some_and(|b| b.forced);
        if let Some(line) = self.lines.get(&generation) {
            return missing(&line.required, page, "what its generation acknowledged");
        }
        // A copy that was level for a moment in a line that went on alone does not belong to it: the
        // record says from where its new line grows. The line left beside it needs an excuse.
        let known = |l: &GenerationId| self.lines.contains_key(l) && *l != generation;
        let older = declared.iter().copied().find(|g| known(g));
        let parent = label
            .filter(|l| known(l) && declared.contains(l))
            .or(older)
            .or(label.filter(known));
        let mut required = parent
            .and_then(|p| self.lines.get(&p))
            .map(|line| line.required.clone())
            .unwrap_or_default();
        let lost = missing(&required, page, "what the line before it acknowledged");
        if forced {
            required.intersect(page);
        }
        self.lines.insert(
            generation,
            Line {
                parent,
                open: page.clone(),
                required,
                acknowledged: false,
            },
        );
        lost.filter(|_| !forced)
    }

    fn is_ancestor(&self, older: GenerationId, younger: GenerationId) -> bool {
        let mut at = self.lines.get(&younger).and_then(|l| l.parent);
        while let Some(generation) = at {
            if generation == older {
                return true;
            }
            at = self.lines.get(&generation).and_then(|l| l.parent);
        }
        false
    }

    /// From this generation up to the first one that is `stop` or an ancestor of it: whether one
    /// was made by an unconfirmed or forced record.
    fn excused_above(&self, from: GenerationId, stop: GenerationId) -> bool {
        let mut at = Some(from);
        while let Some(generation) = at {
            if generation == stop || self.is_ancestor(generation, stop) {
                return false;
            }
            let birth = self.births.get(&generation).copied().unwrap_or_default();
            if birth.unconfirmed || birth.forced {
                return true;
            }
            at = self.lines.get(&generation).and_then(|l| l.parent);
        }
        false
    }

    /// Whether an unconfirmed or forced record stands between the two lines.
    #[must_use]
    pub fn excused(&self, one: GenerationId, other: GenerationId) -> bool {
        self.excused_above(one, other) || self.excused_above(other, one)
    }

    // Terms

    /// A mirror begins to serve.
    pub fn session_opened(
        &mut self,
        node: NodeId,
        epoch: Epoch,
        generation: GenerationId,
    ) -> Finding {
        let term = Term {
            epoch,
            generation,
            first: None,
            last: 0,
        };
        self.terms[place(node)] = Some(term);
        let highest = &mut self.highest_served[place(node)];
        if epoch.0 <= *highest {
            return Some((
                "epoch-grows",
                format!("{node} serves epoch {epoch} after {highest}"),
            ));
        }
        *highest = epoch.0;
        let (by, line) = *self.epochs.entry(epoch.0).or_insert((node, generation));
        (by != node && !self.excused(line, generation)).then(|| {
            (
                "epoch-grows",
                format!("both nodes serve epoch {epoch}, and no record excuses it"),
            )
        })
    }

    /// A mirror serves no more.
    pub fn session_ended(&mut self, node: NodeId) {
        if let Some(term) = self.terms[place(node)].take() {
            let past = &mut self.past[place(node)];
            past.push_back(term);
            if past.len() > TERMS_MAX {
                past.pop_front();
            }
        }
    }

    /// The term of a mirror goes on with another generation.
    pub fn term_goes_on(&mut self, node: NodeId, generation: GenerationId) {
        if let Some(term) = self.terms[place(node)] {
            self.session_ended(node);
            self.terms[place(node)] = Some(Term {
                generation,
                first: None,
                ..term
            });
        }
    }

    /// The term of a mirror that serves.
    #[must_use]
    pub fn term(&self, node: NodeId) -> Option<Term> {
        self.terms[place(node)]
    }

    /// A mirror answered that these writes are durable.
    pub fn acknowledged(
        &mut self,
        node: NodeId,
        now: Time,
        piece: usize,
        writes: &Bits,
        alive: Alive,
    ) -> Finding {
        self.acknowledgements += 1;
        let term = self.terms[place(node)].as_mut()?;
        term.last = now;
        let begun = *term.first.get_or_insert(now);
        let term = *term;
        let first_of_line = {
            let line = self.lines.get_mut(&term.generation)?;
            line.required.pieces[piece].unite(writes);
            !core::mem::replace(&mut line.acknowledged, true)
        };
        self.overlaps(node, term, begun)
            .or_else(|| self.missed_by_younger(term.generation, piece, writes, alive))
            .or_else(|| {
                first_of_line
                    .then(|| self.stands_beside(term.generation))
                    .flatten()
            })
    }

    fn overlaps(&self, node: NodeId, mine: Term, begun: Time) -> Finding {
        let peer = place(node.peer());
        let other = self.past[peer]
            .iter()
            .chain(self.terms[peer].iter())
            .find(|t| {
                t.first.is_some() && t.last >= begun && !self.excused(t.generation, mine.generation)
            })?;
        Some((
            "one-acknowledger",
            format!(
                "{node} acknowledges in epoch {} ({}) within a term of {} in epoch {} ({}), and no \
                 record excuses it",
                mine.epoch,
                mine.generation,
                node.peer(),
                other.epoch,
                other.generation
            ),
        ))
    }

    /// What is acknowledged in a line after another one grew from it must be in that other one.
    fn missed_by_younger(
        &mut self,
        generation: GenerationId,
        piece: usize,
        writes: &Bits,
        alive: Alive,
    ) -> Finding {
        let younger: Vec<GenerationId> = self
            .lines
            .keys()
            .copied()
            .filter(|g| self.is_ancestor(generation, *g))
            .collect();
        for line in younger {
            // What is answered with the peer's help is there; only a lone answer can be excused,
            // or a line that was given up.
            let lives = alive
                .labels
                .into_iter()
                .flatten()
                .any(|label| label == line || self.is_ancestor(line, label));
            let split = (alive.lone || !lives) && self.excused_above(line, generation);
            if split || self.forced_between(line, generation) {
                continue;
            }
            let open = &self.lines[&line].open.pieces[piece];
            if let Some(write) = writes.first_not_in(open) {
                return Some((
                    "nothing-lost",
                    format!(
                        "write {write} is acknowledged in {generation}, but {line} grew from it \
                         without that write"
                    ),
                ));
            }
            if let Some(line) = self.lines.get_mut(&line) {
                line.required.pieces[piece].unite(writes);
            }
        }
        None
    }

    fn forced_between(&self, from: GenerationId, stop: GenerationId) -> bool {
        let mut at = Some(from);
        while let Some(generation) = at.filter(|g| *g != stop) {
            if self.births.get(&generation).is_some_and(|b| b.forced) {
                return true;
            }
            at = self.lines.get(&generation).and_then(|l| l.parent);
        }
        false
    }

    /// Two lines that were both acknowledged, of which neither grew from the other.
    fn stands_beside(&self, generation: GenerationId) -> Finding {
        let other = self.lines.iter().find_map(|(g, line)| {
            let related = *g == generation
                || self.is_ancestor(*g, generation)
                || self.is_ancestor(generation, *g);
            (line.acknowledged && !related && !self.excused(*g, generation)).then_some(*g)
        })?;
        Some((
            "nothing-lost",
            format!(
                "{generation} and {other} were both acknowledged, neither grew from the other, and \
                 no record excuses it"
            ),
        ))
    }

    /// Whether an operator forced this generation.
    #[must_use]
    pub fn forced(&self, generation: GenerationId) -> bool {
        self.births.get(&generation).is_some_and(|b| b.forced)
    }

    /// Whether an operator forced this generation and nothing has served it yet.
    #[must_use]
    pub fn forced_unserved(&self, generation: GenerationId) -> bool {
        !self.lines.contains_key(&generation)
            && self.births.get(&generation).is_some_and(|b| b.forced)
    }

    /// Whether a copy that is shown as uptodate lacks something acknowledged.
    pub fn uptodate(
        &self,
        recorded: Option<GenerationId>,
        label: Option<GenerationId>,
        page: &Content,
    ) -> Option<String> {
        let known = |l: &GenerationId| self.lines.contains_key(l);
        let label = recorded.filter(known).or(label.filter(known))?;
        self.lines.iter().find_map(|(generation, line)| {
            let mine = *generation == label;
            let checked = mine
                || (line.acknowledged
                    && !self.is_ancestor(*generation, label)
                    && !self.excused(*generation, label));
            let (piece, write) = line.required.first_not_in(page).filter(|_| checked)?;
            Some(format!(
                "write {write} of piece {piece}, acknowledged in {generation}, is missing"
            ))
        })
    }

    /// What everything that serves `generation` must hold.
    #[must_use]
    pub fn required(&self, generation: GenerationId) -> Option<&Content> {
        self.lines.get(&generation).map(|l| &l.required)
    }

    // Permits

    /// A daemon sent a nonce.
    pub fn sent(&mut self, node: NodeId, nonce: Nonce, local: Instant) {
        let sent = &mut self.sent[place(node)];
        sent.push_back((nonce, local));
        if sent.len() > 512 {
            sent.pop_front();
        }
    }

    /// A daemon received a message.
    pub fn received(&mut self, node: NodeId, message: &PeerMessage) {
        let Some(grant) = message.grant else { return };
        let at = self.sent[place(node)]
            .iter()
            .rev()
            .find(|(nonce, _)| *nonce == grant.nonce)
            .map(|(_, at)| *at);
        let granted = &mut self.granted[place(node)];
        *granted = (*granted).max(at);
    }

    /// The sending time of the newest own nonce that a grant named.
    #[must_use]
    pub fn granted_since(&self, node: NodeId) -> Option<Instant> {
        self.granted[place(node)]
    }
}

fn missing(required: &Content, page: &Content, what: &str) -> Finding {
    required.first_not_in(page).map(|(piece, write)| {
        (
            "nothing-lost",
            format!("write {write} of piece {piece} is missing in what is served: {what}"),
        )
    })
}
