//! Keeping the in-sync record: adopting, voting, proposing (R1 to R3).
//!
//! A proposal is on its proposer's disk before it is sent, so the other node, by storing it as its
//! record, makes it count; the proposer learns that from the other's messages. Losing, repeating
//! or reordering messages changes nothing, because each carries the whole record and proposal.

use super::activity::Activity;
use super::{Divergence, Node};
use crate::event::MirrorRole;
use crate::ids::{Epoch, Sequence, Version};
use crate::record::{InSync, Kinship, Lineage, Record, Trust};
use crate::table::State;
use crate::time::Instant;
use crate::voters;
use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

/// A change of the record that this node wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// The peer is out; this node goes on (R3: a new generation).
    PeerOut,
    /// The peer is in.
    PeerIn,
    /// This node begins to serve; a peer that may differ is out.
    Take {
        /// Whether both copies are known to be equal, so that the peer stays in.
        keep_both: bool,
    },
    /// The peer serves from now on, once it has applied `level_at`.
    GiveTo {
        /// The last number of the drained stream; `None` if nothing was drained.
        level_at: Option<Sequence>,
        /// Whether this node stays in sync (swap).
        stay: bool,
    },
    /// Both copies are equal and nobody serves.
    Clean {
        /// The last number of the drained stream.
        level_at: Option<Sequence>,
    },
}

impl Node {
    /// The record after `change`, from `base`.
    pub(super) fn changed(&mut self, base: &Record, change: Change) -> Record {
        let me = self.config.node;
        let mut new = base.clone();
        new.version = base.version.next();
        new.confirmed = true;
        new.clean = false;
        // What an operator forced is what this node goes on with, as long as it goes on alone.
        new.forced = base.forced
            && base.insync == InSync::Only(me)
            && matches!(change, Change::Take { keep_both: false });
        new.level_at = None;
        match change {
            Change::PeerOut => new.insync = InSync::Only(me),
            Change::PeerIn => new.insync = InSync::Both,
            Change::Take { keep_both } => {
                if !mutated!(self.config, ReuseEpoch) {
                    new.epoch = self.next_epoch(base);
                }
                new.holder = me;
                if !keep_both {
                    new.insync = InSync::Only(me);
                }
            }
            Change::GiveTo { level_at, stay } => {
                new.epoch = self.next_epoch(base);
                new.holder = me.peer();
                new.level_at = level_at;
                if !stay {
                    new.insync = InSync::Only(me.peer());
                }
            }
            Change::Clean { level_at } => {
                new.clean = true;
                new.level_at = level_at;
            }
        }
        // R3: a new generation exactly when insync shrinks to one node.
        let shrinks = base.insync == InSync::Both && new.insync != InSync::Both;
        let grows = matches!(change, Change::PeerIn) && mutated!(self.config, GrowAlways);
        if grows || shrinks && !mutated!(self.config, KeepGeneration) {
            let id = self.draw_generation();
            new.lineage = base.lineage.grow(id, base.holder);
        }
        new
    }

    fn next_epoch(&self, base: &Record) -> Epoch {
        let theirs = self.contact.latest().and_then(|m| m.record.as_ref());
        base.epoch
            .max(self.durable.highest_epoch)
            .max(theirs.map_or(Epoch(0), |r| r.epoch))
            .next()
    }

    fn store_record(&mut self, record: Record) {
        self.durable.highest_epoch = self.durable.highest_epoch.max(record.epoch);
        if self
            .durable
            .proposal
            .as_ref()
            .is_some_and(|p| p.version <= record.version)
        {
            self.durable.proposal = None;
            self.proposed = None;
        }
        if !record.insync.contains(self.config.node) {
            self.durable.trust = Trust::Recorded;
        }
        self.durable.record = Some(record);
    }

    /// Wants `change`: to be called again until the record on disk has it.
    ///
    /// A sole member needs no vote: nobody else may propose or be promoted (R4).
    pub(super) fn want(&mut self, change: Change) {
        if !self.settled() {
            return;
        }
        let Some(base) = self.disk.record.clone() else {
            return;
        };
        let member = base.insync.contains(self.config.node);
        if !member && !mutated!(self.config, PromoteOutdated) {
            // R1: only a member proposes.
            return;
        }
        if let Some(open) = self.disk.proposal.clone()
            && open.version > base.version
        {
            let adds_peer = open.holder == self.config.node && open.insync == InSync::Both;
            let alone = matches!(change, Change::PeerOut | Change::Take { keep_both: false });
            if alone && adds_peer && base.insync != InSync::Both {
                // The peer may have accepted to be in: going on from there is the safe reading
                // (R2), and it accepts to be out from either.
                self.durable.proposal = Some(self.changed(&open, change));
                self.proposed = Some(self.now);
            } else {
                self.settle_proposal_without_vote(change);
            }
            return;
        }
        let mut new = self.changed(&base, change);
        let sole = base.insync == InSync::Only(self.config.node);
        if sole && matches!(new.insync, InSync::Only(node) if node == self.config.node) {
            new.confirmed = base.confirmed;
            self.store_record(new);
            return;
        }
        if self.vote_wait().is_zero() && self.may_be_made_alone(&new, change) {
            self.make_alone(new);
            return;
        }
        self.durable.highest_epoch = self.durable.highest_epoch.max(new.epoch);
        self.durable.proposal = Some(new);
        self.proposed = Some(self.now);
    }

    /// An own proposal is open and has not enough votes.
    fn settle_proposal_without_vote(&mut self, change: Change) {
        let Some(proposal) = self.disk.proposal.clone() else {
            return;
        };
        let since = *self.proposed.get_or_insert(self.now);
        let waited = self.now.since(since) >= self.vote_wait();
        if waited && self.may_be_made_alone(&proposal, change) {
            self.make_alone(proposal);
        }
    }

    /// How long a vote is waited for before a record is made alone.
    ///
    /// Not at all by a node that serves while nothing at all was heard for the stall limit. Its
    /// write waits already; a vote could only come from a peer that a message reaches and that
    /// answers, and neither has happened. Nothing is risked by that: the peer takes over only
    /// after `takeover-after` of silence, adopts this record when it hears it before, and the vote
    /// would change nothing but the mark `unconfirmed`, which goes at the next meeting.
    ///
    /// A standby waits always. Its silence may be its own, if its process stood still: the first
    /// answer to the proposal ends the promotion then.
    fn vote_wait(&self) -> Duration {
        let gone = self.state.serves() && self.peer_gone();
        if gone && !mutated!(self.config, AwaitDeadVote) {
            Duration::ZERO
        } else {
            self.config.vote_wait()
        }
    }

    /// What may be done without a vote, where the peer is the only other voter: shrink to this
    /// node, when every channel is silent, unconfirmed.
    fn may_be_made_alone(&self, new: &Record, change: Change) -> bool {
        let me = self.config.node;
        let shrinks = new.insync == InSync::Only(me)
            && new.holder == me
            && matches!(change, Change::PeerOut | Change::Take { keep_both: false });
        let heard = !self.peer_mute() && !mutated!(self.config, DecideAloneWhileHeard);
        if !shrinks || heard || !voters::may_decide_alone(&self.voters()) {
            return false;
        }
        if self.state.serves() {
            // R5: whoever was paused for longer than a permit goes through WAIT instead.
            self.permit_valid()
        } else {
            let standby = self.state == State::Second && self.may_take_over_alone();
            let waited_enough = self.state == State::Wait && self.may_start_alone();
            self.peer_silent() && !self.may_be_cut_off() && (standby || waited_enough)
        }
    }

    fn make_alone(&mut self, record: Record) {
        self.note(
            "every channel is silent: the record is changed without a vote, unconfirmed"
                .to_string(),
        );
        self.store_record(Record {
            confirmed: mutated!(self.config, HideUnconfirmed),
            ..record
        });
    }

    /// When a node that was in sync may start without the peer, of which nothing is heard.
    pub(super) fn starts_alone_at(&self) -> Option<Instant> {
        let limit = self.config.start_alone_after?;
        let since = self.contact.heard().unwrap_or(self.started);
        Some(since.max(self.started).after(limit))
    }

    fn may_start_alone(&self) -> bool {
        let both = self.record().is_some_and(|r| r.insync == InSync::Both);
        both && self.starts_alone_at().is_some_and(|at| self.now >= at)
    }

    /// A standby may shrink the record to itself without a vote only as a member whose process is
    /// old enough to have heard the other one.
    pub(super) fn may_take_over_alone(&self) -> bool {
        let member = self
            .record()
            .is_some_and(|r| r.insync.contains(self.config.node) && !r.clean);
        let member = member || mutated!(self.config, PromoteOutdated);
        member && self.durable.switches.failover && self.has_listened()
    }

    /// Whether this node would have heard a primary that lives.
    pub(super) fn has_listened(&self) -> bool {
        let since = self.now.since(self.listens_since);
        since >= self.config.takeover_after && !self.is_isolated()
    }

    /// Looks at what the peer shows, and at the own proposal.
    pub(super) fn look_at_records(&mut self) {
        if !self.settled() {
            return;
        }
        let Some(message) = self.contact.latest() else {
            return;
        };
        // What it said before it fell silent was looked at when it came. A peer that speaks and
        // fails is answered all the same: its mirror may hang for want of this very vote.
        let heard = self.contact.heard();
        if heard.is_none_or(|at| self.now.since(at) >= self.config.takeover_after) {
            return;
        }
        let theirs = message.record.clone();
        let proposal = message.proposal.clone();
        if self.own_proposal_counts() {
            return;
        }
        if self.durable.trust == Trust::SetBack && self.copy_is_level() {
            self.durable.trust = Trust::Recorded;
        }
        if let Some(theirs) = theirs {
            if self.had_been_asked(&theirs) && !mutated!(self.config, TrustSetBack) {
                self.durable.trust = Trust::SetBack;
            }
            self.look_at_record(theirs);
        }
        if self.settled()
            && let Some(proposal) = proposal
        {
            self.look_at_proposal(proposal);
        }
    }

    /// Stores the own proposal as the record once enough voters have it.
    fn own_proposal_counts(&mut self) -> bool {
        let Some(own) = self.disk.proposal.clone() else {
            return false;
        };
        if !voters::counts(&own, &self.voters()) && !mutated!(self.config, CountWithoutVote) {
            return false;
        }
        self.note(format!(
            "both nodes have the record of version {}",
            own.version
        ));
        self.store_record(Record {
            confirmed: true,
            ..own
        });
        true
    }

    fn look_at_record(&mut self, theirs: Record) {
        let me = self.config.node;
        let Some(mine) = self.disk.record.clone() else {
            // Where the record names this node as in sync, this node has lost its state since:
            // the other one will find its copy not level, and record it out.
            if !theirs.insync.contains(me) {
                self.store_record(Record {
                    confirmed: true,
                    ..theirs
                });
            }
            return;
        };
        let kinship = match mine.lineage.kinship(&theirs.lineage) {
            Kinship::Behind if mutated!(self.config, CompareGenerationsBackwards) => Kinship::Ahead,
            Kinship::Ahead if mutated!(self.config, CompareGenerationsBackwards) => Kinship::Behind,
            kinship => kinship,
        };
        match kinship {
            Kinship::Equal | Kinship::Behind if self.would_be_added(&mine, &theirs) => {}
            Kinship::Equal if theirs.version > mine.version => {
                self.divergence = None;
                self.store_record(Record {
                    confirmed: true,
                    ..theirs
                });
            }
            Kinship::Equal => {
                self.divergence = None;
                if theirs.same_decision(&mine) && !mine.confirmed {
                    self.store_record(Record {
                        confirmed: true,
                        ..mine
                    });
                }
            }
            // It was forced without knowing this epoch, and rises above it when it sees it. No
            // mirror follows an epoch older than one that it served.
            Kinship::Behind if theirs.epoch < mine.epoch => {}
            Kinship::Behind => {
                self.divergence = None;
                self.store_record(Record {
                    confirmed: true,
                    ..theirs
                });
            }
            Kinship::Ahead => {
                self.divergence = None;
                let runs = self.durable.wanted == crate::record::Wanted::Running;
                if runs && theirs.epoch > mine.epoch {
                    self.rise_above(&mine, &theirs);
                }
            }
            Kinship::Diverged(common) => self.diverged(Some(common), &mine, &theirs),
            Kinship::Unrelated => self.diverged(None, &mine, &theirs),
        }
    }

    /// Whether the peer's record is one that was made with this node's vote, or by its own proposal,
    /// although nothing of it is on this node's disk: the disk was set back to an older state. A
    /// record without this node in sync is made without it; one with it never is (R1), and what it
    /// accepts or proposes is on its disk before the peer learns of it.
    fn had_been_asked(&self, theirs: &Record) -> bool {
        let Some(mine) = &self.disk.record else {
            return false;
        };
        let of_line = matches!(
            mine.lineage.kinship(&theirs.lineage),
            Kinship::Equal | Kinship::Behind
        );
        // A proposal that was built on the one that the peer took is newer than it.
        let proposed = self
            .disk
            .proposal
            .as_ref()
            .is_some_and(|p| p.version > theirs.version || p.same_decision(theirs));
        let member = theirs.insync.contains(self.config.node);
        member && of_line && theirs.version > mine.version && !proposed && !self.copy_is_level()
    }

    /// A record that would make this node a member although its copy is not level: its own state
    /// went back in time. Not adopted.
    fn would_be_added(&self, mine: &Record, theirs: &Record) -> bool {
        let me = self.config.node;
        theirs.insync.contains(me) && !mine.insync.contains(me) && !self.copy_is_level()
    }

    fn diverged(
        &mut self,
        common: Option<crate::record::Ancestor>,
        mine: &Record,
        theirs: &Record,
    ) {
        let divergence = Divergence {
            won: self.side_goes_on(common, mine, theirs),
            common: common.map(|c| c.id),
        };
        if self.divergence != Some(divergence) {
            self.divergence = Some(divergence);
            self.note(
                "both nodes have data that the other one lacks; nothing is overwritten until an \
                 operator chooses"
                    .to_string(),
            );
        }
        // Whoever begins to serve later takes a higher epoch then.
        if self.state.serves() && self.divergence_won() && theirs.epoch >= mine.epoch {
            self.rise_above(mine, theirs);
        }
    }

    /// Goes on with the highest epoch + 1 (R8): a sole member needs no vote for it.
    fn rise_above(&mut self, mine: &Record, theirs: &Record) {
        let me = self.config.node;
        let sole = mine.holder == me && mine.insync == InSync::Only(me);
        if !sole || self.activity != Activity::Idle || !self.settled() {
            return;
        }
        let mut new = mine.clone();
        new.version = Version(mine.version.0.max(theirs.version.0)).next();
        new.epoch = self.next_epoch(mine);
        self.store_record(new);
    }

    /// Which side of a divergence goes on, judged alike on both nodes: a forced record of a higher
    /// epoch; else who served in the last common record. Unrelated copies are never settled by
    /// rule: only, of two that serve, one has to stop.
    fn side_goes_on(
        &self,
        common: Option<crate::record::Ancestor>,
        mine: &Record,
        theirs: &Record,
    ) -> bool {
        let me = self.config.node;
        if theirs.forced && theirs.epoch > mine.epoch {
            return false;
        }
        if mine.forced && mine.epoch > theirs.epoch {
            return true;
        }
        if let Some(common) = common {
            return common.holder == me;
        }
        let peer_serves = self.contact.latest().is_some_and(|m| m.state.serves());
        match (self.state.serves(), peer_serves) {
            (true, true) => (mine.epoch, me.peer()) > (theirs.epoch, me),
            (serves, _) => serves,
        }
    }

    /// Whether this node is the side of a divergence that goes on.
    pub(super) fn divergence_won(&self) -> bool {
        self.divergence.is_some_and(|divergence| divergence.won)
    }

    fn look_at_proposal(&mut self, proposal: Record) {
        let me = self.config.node;
        let Some(mine) = self.disk.record.clone() else {
            // Both were chosen at once: node 1's proposal stands, so that they do not accept each
            // other's.
            let own_stands = self.disk.proposal.is_some() && me < me.peer();
            // The first record: the operator chose the other node. Or this node lost its state,
            // and is recorded out.
            if !proposal.insync.contains(me) && !own_stands {
                self.note("the other node holds the data to keep".to_string());
                self.store_record(Record {
                    confirmed: true,
                    ..proposal
                });
            }
            return;
        };
        let accepts = voters::accepts(&mine, &proposal, me.peer())
            || mutated!(self.config, AcceptAnyProposal);
        if !accepts || self.divergence.is_some() {
            return;
        }
        let open = (self.state.serves() || self.mirror_open() || self.activity.awaits_close())
            && !mutated!(self.config, AcceptWhileOpen);
        if open && proposal.holder != me {
            // A node that serves, or may serve yet, gives the service away itself.
            return;
        }
        if self
            .disk
            .proposal
            .as_ref()
            .is_some_and(|own| own.version == proposal.version)
            && mine.holder == me
        {
            // Of two proposals that do not count, the holder's stands.
            return;
        }
        if proposal.insync.contains(me) && !mine.insync.contains(me) && !self.copy_is_level() {
            return;
        }
        if proposal.holder == me && mine.holder != me && !self.ready_to_be_given(&proposal) {
            return;
        }
        self.note(format!(
            "accepted the other node's record of version {}: {}",
            proposal.version,
            describe(&proposal)
        ));
        self.store_record(Record {
            confirmed: true,
            ..proposal
        });
    }

    /// This copy's disk has everything from the gate on (R2).
    pub(super) fn copy_is_level(&self) -> bool {
        if mutated!(self.config, TrustBeforeLevel) {
            return true;
        }
        self.mirror.as_ref().is_some_and(|m| {
            m.level && m.fault.is_none() && matches!(m.role, MirrorRole::Following { .. })
        })
    }

    /// Whether this node can begin to serve by `proposal`. A drained number is on this disk, as the
    /// drain itself waited for; a copy that follows shows it.
    fn ready_to_be_given(&self, proposal: &Record) -> bool {
        let Some(mirror) = &self.mirror else {
            return false;
        };
        let following = matches!(mirror.role, MirrorRole::Following { .. });
        let applied = !following
            || proposal
                .level_at
                .is_none_or(|level| mirror.position >= level);
        let wanted = self.durable.wanted == crate::record::Wanted::Running;
        let fit = !self.is_inconsistent();
        applied && fit && wanted && self.leaving.is_none() && self.missing().is_none()
    }

    /// The first record of the module, made by the operator's answer to the first start.
    pub(super) fn propose_first(&mut self) {
        if self.settled() && self.disk.record.is_none() && self.disk.proposal.is_none() {
            let id = self.draw_generation();
            self.durable.proposal = Some(Record {
                version: Version(1),
                epoch: self.durable.highest_epoch.next(),
                holder: self.config.node,
                insync: InSync::Only(self.config.node),
                lineage: Lineage::first(id),
                clean: false,
                confirmed: true,
                forced: false,
                level_at: None,
            });
            self.proposed = Some(self.now);
        }
    }

    /// The record that an operator's force makes: durable at once, without a vote.
    pub(super) fn force_record(&mut self) {
        let theirs = self.contact.latest().and_then(|m| m.record.clone());
        let id = self.draw_generation();
        let base = self.durable.record.clone();
        let version = base
            .iter()
            .chain(theirs.iter())
            .chain(self.durable.proposal.iter())
            .map(|r| r.version)
            .max()
            .unwrap_or_default();
        let epoch = base
            .iter()
            .chain(theirs.iter())
            .map(|r| r.epoch)
            .max()
            .unwrap_or_default()
            .max(self.durable.highest_epoch);
        let lineage = match &base {
            Some(record) => record.lineage.grow(id, record.holder),
            None => Lineage::first(id),
        };
        self.durable.proposal = None;
        self.proposed = None;
        self.store_record(Record {
            version: version.next(),
            epoch: epoch.next(),
            holder: self.config.node,
            insync: InSync::Only(self.config.node),
            lineage,
            clean: false,
            confirmed: false,
            forced: true,
            level_at: None,
        });
        self.durable.trust = Trust::Forced;
    }

    /// Gives up this node's side of a divergence: the other's record is adopted whole.
    pub(super) fn give_up_line(&mut self) -> bool {
        let Some(theirs) = self.contact.latest().and_then(|m| m.record.clone()) else {
            return false;
        };
        // The winner takes an epoch above this one's as soon as it sees it; this mirror follows no
        // older one than it served itself.
        let newer = self.record().is_none_or(|r| theirs.epoch > r.epoch);
        if theirs.holder == self.config.node || !newer {
            return false;
        }
        self.divergence = None;
        self.durable.proposal = None;
        self.store_record(Record {
            confirmed: true,
            ..theirs
        });
        true
    }

    /// Drops an own proposal that nobody needs any more, unless the peer may have accepted it.
    pub(super) fn proposal_open(&self) -> bool {
        let base = self.disk.record.as_ref().map_or(Version(0), |r| r.version);
        self.disk
            .proposal
            .as_ref()
            .is_some_and(|p| p.version > base)
    }

    pub(super) fn deadline_passed(&self, at: Instant) -> bool {
        self.now >= at
    }
}

fn describe(record: &Record) -> alloc::string::String {
    let insync = match record.insync {
        InSync::Both => "both nodes are in sync".to_string(),
        InSync::Only(node) => format!("only {node} is in sync"),
    };
    format!("{} holds epoch {}, {insync}", record.holder, record.epoch)
}
