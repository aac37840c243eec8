//! The named checkers, each independent of what the cores believe about themselves.
//!
//! | checker | what it watches |
//! |---|---|
//! | `one-acknowledger` | never two nodes that acknowledge in overlapping terms, unexcused |
//! | `nothing-lost` | whatever serves a line holds all that it acknowledged; no line is lost, unexcused |
//! | `whole-copy` | nothing serves a copy that was compared by half or set back, unforced |
//! | `record-before-lone-answer` | R2: an answer without the peer has the record on disk |
//! | `lone-only-when-silent` | R1: no unconfirmed record while a channel joins two healthy nodes |
//! | `durable-before-sent` | messages show only what is on disk |
//! | `permit-respected` | a permit ends by the sending time of a nonce that the peer granted; R4 |
//! | `handover-equal` | a term that begins with both in sync begins with equal copies |
//! | `one-address` | nobody takes the virtual address while the other one answers for it |
//! | `permits-disjoint` | nobody begins to serve while the other's permit runs on a running clock |
//! | `one-vote` | R1: a voter takes one proposal for a version, on its own, from a member |
//! | `generation-rule` | R3: a new generation exactly when insync shrinks |
//! | `epoch-grows` | one session per epoch, each higher than the one before |
//! | `services-on-mirror` | services start only on a mounted mirror |
//! | `one-application` | the application starts nowhere while it runs on the other node, unexcused |
//! | `full-sync` | R7: after `second --full-sync` the next stream begins with a whole comparison |
//! | `licence-end` | after the end of the licence nobody begins to serve unasked |
//! | `level-means-equal` | at level, with nothing on the way, both copies are equal |
//! | `status-true` | a node that is shown as uptodate has all that was acknowledged |
//! | `legal-transitions` | every change of state is one of the table |
//! | `total` | no panic, no endless effects, no busy loop |
//! | `short-outage` | writes wait for a dead standby no longer than promised (a scenario) |
//! | `answers` | every command gets a final answer |
//! | `liveness` | after the faults end, the pair serves again, both uptodate |

use crate::clock::{MILLISECOND, nanoseconds};
use crate::content::Bits;
use crate::full_sync::FullSync;
use crate::host::ServicesState;
use crate::network::place;
use crate::queue::channels;
use crate::truth::{Alive, Violation};
use crate::world::World;
use tandem_core::{
    ChannelId, DataState, Durable, Epoch, GenerationId, InSync, Instant, NodeId, PeerMessage,
    Record, Row, State, table::Cause, table::Ruling, table::transition,
};

impl World {
    /// Records a finding; the first one ends the run.
    pub(crate) fn violate(&mut self, checker: &'static str, text: String) {
        if self.violation.is_none() {
            if self.tracing {
                let line = format!("VIOLATION {checker}: {text}");
                self.note(NodeId::One, || line);
            }
            self.violation = Some(Violation {
                checker,
                text,
                at: self.now,
            });
        }
    }

    fn finding(&mut self, finding: Option<(&'static str, String)>) {
        if let Some((checker, text)) = finding {
            self.violate(checker, text);
        }
    }

    // Sessions and acknowledgements

    /// A mirror's session is open.
    pub(crate) fn session_opens(&mut self, node: NodeId, epoch: Epoch, generation: GenerationId) {
        let unfit = self.hosts[place(node)].volume.unfit();
        if unfit && !self.truth.forced(generation) {
            return self.violate(
                "whole-copy",
                format!("{node} serves a copy that was compared by half or set back"),
            );
        }
        self.check_permits_disjoint(node, epoch);
        self.check_handover_equal(node);
        self.generation_begins(node, generation);
        let finding = self.truth.session_opened(node, epoch, generation);
        self.finding(finding);
        // What an operator forced is a copy like any other from now on.
        self.hosts[place(node)].full_sync = FullSync::Settled;
        self.hosts[place(node)].volume.rolled_back = false;
        self.hosts[place(node)].volume.set_back = false;
        self.hosts[place(node)].volume.label.mixed = false;
        self.hosts[place(node)].volume.disk_label.mixed = false;
    }

    /// A session goes on in a higher epoch.
    pub(crate) fn epoch_raised(&mut self, node: NodeId, epoch: Epoch) {
        if let Some(term) = self.truth.term(node) {
            self.truth.session_ended(node);
            let finding = self.truth.session_opened(node, epoch, term.generation);
            self.finding(finding);
        }
    }

    /// What is served has this generation from now on.
    pub(crate) fn generation_begins(&mut self, node: NodeId, generation: GenerationId) {
        let host = &self.hosts[place(node)];
        let label = host.volume.label.generation;
        let record = host.durable.record.as_ref();
        let declared: Vec<GenerationId> = record
            .map(|r| r.lineage.ancestors.iter().map(|a| a.id).collect())
            .unwrap_or_default();
        let finding = self
            .truth
            .generation_begins(generation, label, &declared, &host.volume.page);
        self.finding(finding);
        self.truth.term_goes_on(node, generation);
        self.hosts[place(node)].volume.is_of(generation);
    }

    /// A mirror answered.
    pub(crate) fn acknowledged(&mut self, node: NodeId, piece: usize, writes: &Bits, gated: bool) {
        if !gated {
            self.check_lone_answer(node);
        }
        let alive = Alive {
            lone: !gated,
            labels: [0, 1].map(|n: usize| self.hosts[n].volume.label.generation),
        };
        let finding = self
            .truth
            .acknowledged(node, self.now, piece, writes, alive);
        self.finding(finding);
    }

    /// A session that begins with both in sync begins with equal copies: everything was drained.
    fn check_handover_equal(&mut self, node: NodeId) {
        let gated = self.mirror(node).is_some_and(|m| m.gated());
        let [one, two] = &self.hosts;
        let known = [one, two]
            .iter()
            .all(|h| !h.volume.rolled_back && !h.volume.set_back);
        // The other one may have been forced while this one stood still on its way.
        let [Some(first), Some(second)] = [one, two].map(|h| h.volume.label.generation) else {
            return;
        };
        let known = known && !self.truth.excused(first, second);
        if gated && known && one.volume.page != two.volume.page {
            self.violate(
                "handover-equal",
                format!("{node} begins to serve with both in sync, and the copies differ"),
            );
        }
    }

    /// A daemon wants the address here. What left while no daemon ran may be another machine's.
    pub(crate) fn check_address_asked_for(&mut self, node: NodeId) {
        let first = self.hosts[place(node)]
            .daemon
            .as_ref()
            .is_some_and(|d| d.found_serving && d.address_order.is_none());
        if first && !self.has_address(node) {
            self.violate(
                "one-address",
                format!("{node} puts back an address that had left, without asking who has it"),
            );
        }
    }

    /// The address is set on a node.
    pub(crate) fn check_one_address(&mut self, node: NodeId) {
        let peer = node.peer();
        // The probe could ask: it took place within the last two `takeover-after`.
        let limit = self.settings.unit() * 2;
        let reachable = self.reachable.is_some_and(|at| self.now - at > limit);
        let [Some(one), Some(two)] = [0, 1].map(|n: usize| self.hosts[n].volume.label.generation)
        else {
            return;
        };
        let excused = self.truth.excused(one, two);
        if reachable && !excused && self.has_address(peer) {
            self.violate(
                "one-address",
                format!("{node} takes the address while {peer} answers for it"),
            );
        }
    }

    fn check_lone_answer(&mut self, node: NodeId) {
        let generation = self.truth.term(node).map(|t| t.generation);
        let record = self.hosts[place(node)].durable.record.as_ref();
        let covered = record.is_some_and(|r| {
            r.insync == InSync::Only(node) && Some(r.lineage.current) == generation
        });
        // A daemon may have adopted the peer's record a moment before its mirror is closed.
        let replaced = record.is_some_and(|r| {
            r.holder != node
                && generation.is_some_and(|g| {
                    r.lineage.contains(g) || self.truth.excused(g, r.lineage.current)
                })
        });
        if !covered && !replaced {
            let text = format!("{node} answers without the peer, but its disk says {record:?}");
            self.violate("record-before-lone-answer", text);
        }
    }

    fn check_permits_disjoint(&mut self, node: NodeId, epoch: Epoch) {
        let other = &self.hosts[place(node.peer())];
        let local = other.clock.local(self.now);
        let Some(mirror) = other.mirror.as_ref() else {
            return;
        };
        let (Some(theirs), Some((of, until))) = (mirror.serving(), mirror.permit) else {
            return;
        };
        // A clock that stood still within the permit's life is excused (R5).
        let limit = self.settings.unit() * 2;
        let rested = self.resumed[place(node.peer())].is_some_and(|at| self.now - at < limit);
        let runs = !other.paused && !rested;
        if of == theirs && theirs < epoch && until != Instant::FAR && local < until && runs {
            self.violate(
                "permits-disjoint",
                format!("{node} begins epoch {epoch} while the permit of epoch {theirs} runs"),
            );
        }
    }

    pub(crate) fn check_services_start(&mut self, node: NodeId) {
        // The end of a session may be on its way to the daemon still.
        let told = self.now - self.hosts[place(node)].unmounted > 10 * MILLISECOND;
        if !self.serving_mirror(node) && self.mirror(node).is_some() && told {
            self.violate(
                "services-on-mirror",
                format!("{node} starts services on the plain directory"),
            );
        }
        let other = &self.hosts[place(node.peer())];
        // Without its mount it has neither data nor, after a probe, the address.
        let mounted = self.serving_mirror(node.peer());
        let processes = other.services.state != ServicesState::Stopped;
        let runs = other.up && !other.paused && processes && mounted;
        let [Some(one), Some(two)] = [0, 1].map(|n: usize| self.hosts[n].volume.label.generation)
        else {
            return;
        };
        if runs && !self.truth.excused(one, two) {
            let peer = node.peer();
            self.violate(
                "one-application",
                format!("{node} starts the application while it runs on {peer}"),
            );
        }
    }

    // Records

    /// The core wants this on its disk.
    pub(crate) fn check_generation_rule(&mut self, node: NodeId, wanted: &Durable) {
        self.check_vote(node, wanted);
        let base = self.hosts[place(node)].durable.clone();
        for new in [&wanted.record, &wanted.proposal].into_iter().flatten() {
            let seen = self.truth.knows(new)
                || base.record.as_ref().is_some_and(|r| r.same_decision(new))
                || base.proposal.as_ref().is_some_and(|r| r.same_decision(new))
                || self.adopts(node, new);
            if seen {
                continue;
            }
            // A proposal that may count already is a base too.
            let bases = [&base.record, &base.proposal];
            let fits =
                base.record.is_none() || bases.into_iter().flatten().any(|b| follows_rule(b, new));
            if !fits {
                let base = base.record.clone();
                return self.violate(
                    "generation-rule",
                    format!("{node} makes {new:?} from {base:?}"),
                );
            }
        }
        if wanted.highest_epoch < base.highest_epoch {
            self.violate(
                "epoch-grows",
                format!("{node} forgets the highest epoch {}", base.highest_epoch),
            );
        }
    }

    /// R1: a voter takes a proposal only on its own version, from a member, or from the sole one.
    fn check_vote(&mut self, node: NodeId, wanted: &Durable) {
        let (mine, theirs) = (
            self.hosts[place(node)].durable.record.as_ref(),
            &self.hosts[place(node.peer())].durable,
        );
        let (Some(base), Some(new)) = (mine, wanted.record.as_ref()) else {
            return;
        };
        let is = |r: &Option<Record>| r.as_ref().is_some_and(|r| r.same_decision(new));
        let voted = !base.same_decision(new) && is(&theirs.proposal) && !is(&theirs.record);
        let follows = new.version == base.version.next() && base.insync.contains(node.peer());
        let of_sole = base.insync == InSync::Only(node.peer()) && new.version > base.version;
        if voted && !follows && !of_sole {
            let text = format!("{node} takes {new:?} on {base:?}");
            self.violate("one-vote", text);
        }
    }

    fn adopts(&self, node: NodeId, record: &Record) -> bool {
        let theirs = &self.hosts[place(node.peer())].durable;
        [&theirs.record, &theirs.proposal]
            .into_iter()
            .flatten()
            .any(|r| r.same_decision(record))
    }

    /// The state is on the disk.
    pub(crate) fn check_written(&mut self, node: NodeId, durable: &Durable) {
        let had = self.hosts[place(node)].durable.record.is_some();
        for record in self.truth.written(durable) {
            let lone = !record.confirmed && !record.forced && had;
            let lone = lone && self.truth.shrunk_by(&record);
            let limit = self.settings.unit() * 2;
            if lone && self.joined.is_some_and(|since| self.now - since > limit) {
                self.violate(
                    "lone-only-when-silent",
                    format!("{node} decides alone, but a channel joins both nodes: {record:?}"),
                );
            }
        }
    }

    // Messages and permits

    pub(crate) fn check_message(&mut self, node: NodeId, message: &PeerMessage) {
        let host = &self.hosts[place(node)];
        let shown = &host.durable;
        if message.record != shown.record || message.proposal != shown.proposal {
            let text = format!("{node} shows a record that is not on its disk");
            return self.violate("durable-before-sent", text);
        }
        let local = host.clock.local(self.now);
        self.truth.sent(node, message.nonce, local);
    }

    pub(crate) fn check_permit(&mut self, node: NodeId, epoch: Epoch, until: Instant) {
        if until == Instant(0) {
            // Taken back: nothing is extended.
            return;
        }
        let host = &self.hosts[place(node)];
        let record = host.durable.record.as_ref();
        let text = if until == Instant::FAR {
            let sole = record.is_some_and(|r| r.insync == InSync::Only(node));
            (!sole).then(|| format!("{node} takes a permit without end, but holds {record:?}"))
        } else {
            let length = self.settings.takeover_after * 4 / 5;
            let end = self.truth.granted_since(node).map(|at| at.after(length));
            let fits = end.is_some_and(|end| until <= end);
            (!fits).then(|| {
                format!("{node} extends its permit of epoch {epoch} to {until:?}, past {end:?}")
            })
        };
        if let Some(text) = text {
            self.violate("permit-respected", text);
        }
    }

    // States

    pub(crate) fn check_transitions(
        &mut self,
        node: NodeId,
        before: State,
        rows: &[Row],
        after: State,
    ) {
        let mut at = vec![before];
        for row in rows {
            let mut next: Vec<State> = Vec::new();
            for state in &at {
                for cause in Cause::ALL {
                    if let Ruling::Go { row: taken, to, .. } = transition(*state, *cause)
                        && taken == *row
                        && !next.contains(&to)
                    {
                        next.push(to);
                    }
                }
            }
            at = next;
        }
        if !at.contains(&after) {
            self.violate(
                "legal-transitions",
                format!("{node} goes from {before} to {after} by {rows:?}"),
            );
        }
    }

    /// Looks at both nodes while the world goes on.
    pub(crate) fn sample(&mut self) {
        self.updated_joined();
        for node in [NodeId::One, NodeId::Two] {
            self.check_status(node);
            self.check_level(node);
            self.check_answers(node);
        }
    }

    fn check_status(&mut self, node: NodeId) {
        let host = &self.hosts[place(node)];
        let Some(daemon) = host.daemon.as_ref() else {
            return;
        };
        let set_back = host.volume.rolled_back || host.volume.set_back;
        if daemon.paused || host.paused || set_back || host.mirror.is_none() {
            return;
        }
        let shown = daemon.core.view();
        let forced = shown
            .record
            .is_some_and(|r| self.truth.forced_unserved(r.lineage.current));
        if shown.data != DataState::Uptodate || forced {
            return;
        }
        // The newest generation of its record that anybody served.
        let recorded = shown.record.and_then(|r| {
            core::iter::once(r.lineage.current)
                .chain(r.lineage.ancestors.iter().map(|a| a.id))
                .find(|g| self.truth.required(*g).is_some())
        });
        let lacks = self
            .truth
            .uptodate(recorded, host.volume.label.generation, &host.volume.page);
        if let Some(lacks) = lacks {
            let state = shown.state;
            self.violate(
                "status-true",
                format!("{node} is {state} and shown as uptodate: {lacks}"),
            );
        }
    }

    fn check_level(&mut self, node: NodeId) {
        if !self.settled_stream(node) {
            return;
        }
        let (mine, theirs) = (
            &self.hosts[place(node)].volume.page,
            &self.hosts[place(node.peer())].volume.page,
        );
        if mine != theirs {
            let here = mine.first_not_in(theirs);
            let there = theirs.first_not_in(mine);
            self.violate(
                "level-means-equal",
                format!(
                    "both copies are level, but {node} has {here:?} more and {there:?} less (piece, \
                     write)"
                ),
            );
        }
    }

    fn check_answers(&mut self, node: NodeId) {
        let limit = nanoseconds(self.settings.service_limit) * 6 + self.settings.unit() * 40;
        let now = self.now;
        let Some(daemon) = self.hosts[place(node)].daemon.as_ref() else {
            return;
        };
        let late = daemon
            .unanswered
            .values()
            .find(|(_, at)| self.healed && now - (*at).max(self.healed_at) > limit);
        if let Some((command, _)) = late {
            let text = format!("{node} never answers {command:?}");
            self.violate("answers", text);
        }
    }

    /// Since when a channel joins two healthy nodes, and since when each can be asked for the
    /// address.
    pub(crate) fn updated_joined(&mut self) {
        let healthy = [NodeId::One, NodeId::Two].into_iter().all(|node| {
            let host = &self.hosts[place(node)];
            host.up
                && !host.paused
                && host.state_disk == crate::host::StateDisk::Sound
                && host.daemon.as_ref().is_some_and(|d| !d.paused)
                && host.mirror.as_ref().is_some_and(|m| {
                    // A node that only sends heartbeats is failed: something waits for too long.
                    let local = host.clock.local(self.now);
                    let oldest = m.source.waiting.iter().map(|w| local.since(w.since)).max();
                    let hangs = oldest.is_some_and(|age| age >= self.settings.takeover_after / 2);
                    !m.paused && m.fault.is_none() && !hangs
                })
        });
        let joined = healthy
            && channels(self.settings.networks).any(|channel| match channel {
                ChannelId::Network(number) => self.wires.networks[usize::from(number)].sound(),
                ChannelId::Control | ChannelId::Stream => false,
            });
        let reachable = self.wires.open_both(ChannelId::Network(0))
            && self.hosts.iter().all(|host| host.up && !host.paused);
        if reachable {
            self.reachable.get_or_insert(self.now);
        } else {
            self.reachable = None;
        }
        if joined {
            self.joined.get_or_insert(self.now);
        } else {
            self.joined = None;
        }
    }
}

/// R3 and the growth of versions and epochs, from one record to the next.
fn follows_rule(base: &Record, new: &Record) -> bool {
    let shrinks = base.insync == InSync::Both && new.insync != InSync::Both;
    let renewed = base.lineage.current != new.lineage.current;
    let moved = base.holder != new.holder;
    let other_member = match (base.insync, new.insync) {
        (InSync::Only(one), InSync::Only(other)) => one != other,
        (InSync::Both | InSync::Only(_), _) => false,
    };
    // The winner of a divergence stays forced in its next epochs.
    if new.forced && (renewed || !base.forced) {
        return renewed && new.version > base.version && new.epoch > base.epoch;
    }
    renewed == shrinks
        && (!renewed || new.lineage.contains(base.lineage.current))
        && !other_member
        && new.version > base.version
        && new.epoch >= base.epoch
        && (!moved || new.epoch > base.epoch)
}
