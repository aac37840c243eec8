//! What each state does when nothing is in progress: look at the facts and begin the next thing.

use super::Node;
use super::activity::{Activity, DemoteStep, Goal};
use super::promote_causes;
use super::records::Change;
use crate::effect::MirrorCommand;
use crate::event::{MirrorFault, MirrorRole};
use crate::ids::NodeId;
use crate::message::PeerMessage;
use crate::record::{InSync, Record, Trust, Wanted};
use crate::table::{Cause, State};
use crate::time::Instant;
use crate::view::Tone;
use crate::voters;
use alloc::string::{String, ToString};

/// How many `takeover-after` the preferred node is a ready standby before it asks for the service:
/// what has just come back may fall again.
const PREFERRED_AFTER: u32 = 10;

/// What is said of a copy that must not be served, and what may be done about it.
const UNFIT: (&str, &str) = (
    "this copy was compared by half or set back, and is no state that was ever served",
    "start the other node: it serves and brings this copy level; or prim --force here, if the \
     other node is lost for good",
);

/// Why a module without a licence stops.
const LICENCE: &str = "licence: the time without a valid one is over; add one, or start again";

/// Whether a peer that does not serve will not do so by itself: it is stopped, lacks its mirror, or
/// waits for something that this node cannot give.
fn cannot_serve(peer: &PeerMessage) -> bool {
    peer.state == State::Stop
        || !peer.mirror.usable
        || (peer.state == State::Wait && peer.tone == Tone::NotReady)
}

/// The primary's decisive facts about a peer that can be heard.
fn fault_text(fault: &MirrorFault) -> String {
    match fault {
        MirrorFault::LocalDisk(text) | MirrorFault::Apply(text) | MirrorFault::Volume(text) => {
            text.clone()
        }
    }
}

impl Node {
    /// Finds out, once, what a starting daemon finds: its mirror serving or following, or nothing.
    pub(super) fn begin(&mut self) {
        let Some(boot) = self.boot.take() else { return };
        if boot.machine_booted {
            self.count_from_boot();
        }
        if boot.machine_booted && !self.durable.switches.boot_start {
            self.durable.wanted = Wanted::Stopped;
        }
        let record = self.disk.record.clone();
        let role = boot.mirror.as_ref().map(|m| m.role).unwrap_or_default();
        let lapsed = boot
            .mirror
            .as_ref()
            .is_some_and(|m| m.lapsed || m.permit_until <= self.now);
        match (role, record) {
            (MirrorRole::Serving { epoch, .. }, Some(record))
                if record.epoch == epoch && record.holder == self.config.node && !lapsed =>
            {
                let until = boot.mirror.map_or(Instant::FAR, |m| m.permit_until);
                self.permit_sent = Some((epoch, until));
                let both = record.insync == InSync::Both;
                let cause = if both {
                    Cause::FoundServingMirrored
                } else {
                    Cause::FoundServingAlone
                };
                self.go(cause, "");
                self.promote_found();
            }
            (MirrorRole::Serving { .. }, _) => {
                self.demote(
                    Goal::Fence,
                    "the daemon was restarted and its mirror's right to serve has ended"
                        .to_string(),
                );
            }
            (MirrorRole::Following { epoch }, Some(record))
                if record.epoch == epoch
                    && record.holder != self.config.node
                    && self.durable.wanted == Wanted::Running
                    && !self.durable.full_sync =>
            {
                self.go(Cause::FoundFollowing, "");
            }
            _ if self.durable.wanted == Wanted::Running => {
                self.go(Cause::StartAsked, "the node was running before");
                self.demote(Goal::Prove, String::new());
            }
            _ => self.demote(Goal::ProveStopped, String::new()),
        }
    }

    /// Begins the next thing.
    pub(super) fn decide(&mut self) {
        self.heed_licence();
        if self.interrupted() {
            return;
        }
        match self.state {
            State::Stop => self.decide_stop(),
            State::Wait => self.decide_wait(),
            State::Alone | State::Prim => self.decide_serving(),
            State::Second => self.decide_second(),
        }
    }

    /// Without a licence the whole module stops: both copies are brought level, and nobody takes
    /// over. A standby leaves that to its primary, which needs it for that.
    fn heed_licence(&mut self) {
        if !self.licence_ended || self.durable.wanted == Wanted::Stopped {
            return;
        }
        // Until that one says that both are equal, or does not answer any more.
        let follows = self.state == State::Second
            && self.heard().is_some()
            && !mutated!(self.config, StandbyStopsFirst);
        // A swap or a restart under way is brought to its end first.
        let busy = matches!(self.activity, Activity::Demote(_));
        if !(follows || busy) {
            self.stop_whole = !mutated!(self.config, LicenceEndsOneNode);
            self.durable.wanted = Wanted::Stopped;
        }
    }

    fn heard(&self) -> Option<&PeerMessage> {
        if self.peer_silent() {
            None
        } else {
            self.contact.latest()
        }
    }

    /// What must interrupt an activity: the end of the right to serve, or the operator's stop.
    fn interrupted(&mut self) -> bool {
        let before_close = match &self.activity {
            Activity::Demote(d) => {
                d.goal != Goal::Fence
                    && matches!(
                        d.step,
                        DemoteStep::Services(_) | DemoteStep::Force(_) | DemoteStep::Drain(_)
                    )
            }
            Activity::Idle | Activity::Promote(_) | Activity::Restart(_) => true,
        };
        if before_close
            && self.state.serves()
            && let Some((cause, detail)) = self.right_ended()
        {
            self.fence(cause, detail);
            return true;
        }
        let stop = self.durable.wanted == Wanted::Stopped || self.shutting_down;
        let serving_activity = matches!(self.activity, Activity::Promote(_) | Activity::Restart(_));
        if stop && self.state.serves() && serving_activity {
            self.demote(Goal::Stop, self.stop_reason());
            return true;
        }
        false
    }

    fn stop_reason(&self) -> String {
        if self.shutting_down {
            "the machine shuts down".to_string()
        } else if self.licence_ended {
            LICENCE.to_string()
        } else {
            "an operator stopped this node".to_string()
        }
    }

    /// Why this node must stop serving at once, if it must.
    pub(super) fn right_ended(&self) -> Option<(Cause, String)> {
        let record = self.record()?;
        if self.divergence.is_some() && !self.divergence_won() {
            return Some((Cause::DivergenceLost, String::new()));
        }
        if record.holder != self.config.node {
            return Some((Cause::PeerServesNewer, String::new()));
        }
        let lapsed_there = self.mirror_serves() && self.mirror.as_ref().is_some_and(|m| m.lapsed);
        let lapsed_here = self.needs_permit()
            && match self.permit_sent {
                Some((epoch, until)) if epoch == record.epoch => self.now >= until,
                _ => self.permit_expected.is_some_and(|at| self.now >= at),
            };
        if lapsed_there || lapsed_here {
            return Some((
                Cause::RightEnded,
                "the other node did not renew this node's permit in time, and may take over"
                    .to_string(),
            ));
        }
        if let Some((what, _)) = self.held_back() {
            return Some((Cause::RightEnded, what));
        }
        if self.durable.trust == Trust::SetBack {
            return Some((Cause::RightEnded, UNFIT.0.to_string()));
        }
        let fault = self.mirror.as_ref().and_then(|m| m.fault.as_ref());
        if let Some(fault) = fault
            && !(self.state == State::Prim && self.peer_level())
        {
            return Some((Cause::RightEnded, fault_text(fault)));
        }
        None
    }

    fn decide_stop(&mut self) {
        if self.activity == Activity::Idle
            && self.durable.wanted == Wanted::Running
            && !self.shutting_down
        {
            self.go(Cause::StartAsked, "");
            self.demote(Goal::Prove, String::new());
        }
    }

    // --- WAIT ----------------------------------------------------------------------------------

    fn decide_wait(&mut self) {
        if self.activity != Activity::Idle {
            return;
        }
        if self.durable.wanted == Wanted::Stopped || self.shutting_down {
            let reason = self.stop_reason();
            self.go(Cause::Stopping, &reason);
            self.demote(Goal::Stop, reason);
            return;
        }
        if !self.settled() {
            return;
        }
        if let Some((what, advice)) = self.missing() {
            self.block(&what, advice);
            return;
        }
        match (self.record().cloned(), self.heard().cloned()) {
            (None, peer) => self.first_start(peer),
            (Some(_), Some(peer)) => self.wait_with_peer(&peer),
            (Some(record), None) => self.wait_in_silence(record.insync),
        }
    }

    /// What every role needs.
    pub(super) fn missing(&self) -> Option<(String, &'static str)> {
        let Some(mirror) = &self.mirror else {
            return Some((
                "the mirror process does not answer".to_string(),
                "look at the mirror's log; it is started by itself",
            ));
        };
        if let Some(fault) = &mirror.fault {
            return Some((
                fault_text(fault),
                "repair the volume, then stop and start this node",
            ));
        }
        if let Some(held) = self.held_back() {
            return Some(held);
        }
        if self.contact.is_cloned(self.now) {
            return Some((
                "two machines claim to be the other node".to_string(),
                "switch the copy of the other node off; it was cloned or restored beside the \
                 original",
            ));
        }
        if let Some(peer) = self.heard()
            && peer.configuration != self.config.digest
        {
            return Some((
                "the configurations of the two nodes differ".to_string(),
                "make tandem.toml equal on both nodes, then restart the daemon",
            ));
        }
        if self.divergence.is_some() && !self.divergence_won() {
            return Some((
                "both nodes served without each other, and each has data that the other one lacks"
                    .to_string(),
                "choose: second on the node whose newer data may be given up, or prim --force \
                 on the node whose data is to be kept",
            ));
        }
        None
    }

    fn first_start(&mut self, peer: Option<PeerMessage>) {
        match peer {
            None => self.block(
                "first start: the other node is not heard yet",
                "start Tandem on the other node too",
            ),
            Some(peer) if peer.record.is_none() && peer.proposal.is_none() => {
                if self.prefer_me {
                    self.promote(
                        Cause::ProvenAlone,
                        "an operator chose this node's data".to_string(),
                    );
                } else {
                    self.block(
                        "first start: neither copy is known to be good",
                        "choose the node that holds the data to keep: prim on that node",
                    );
                }
            }
            Some(_) => self.block(
                "this node lost its state, which the other node still counts on",
                "nothing to do, if the other node serves: it compares this copy anew",
            ),
        }
    }

    fn wait_with_peer(&mut self, peer: &PeerMessage) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        if record.holder != self.config.node && peer.state.serves() {
            self.go(Cause::PrimaryExists, "");
            self.preference_told = false;
            self.follow();
            return;
        }
        if peer.state.serves() {
            self.given_up = None;
            // It has not seen this node's record yet, or is being told to stop serving.
            self.waits_a_moment("the other node still serves");
            return;
        }
        if self.session_lingers(peer) {
            self.waits_a_moment(
                "the other node does not serve any more, but its file system is still mounted",
            );
            return;
        }
        let stuck =
            peer.state == State::Stop || (peer.state == State::Wait && peer.tone == Tone::NotReady);
        if self.service_offered() {
            self.waits_for_peer(
                stuck,
                "the service was given to the other node, which has not said that it took it",
                "start the other node: it takes the service at once; or prim --force here, if the \
                 other node is lost for good",
            );
            return;
        }
        if self.candidate(record.insync, record.holder, peer) != Some(self.config.node) {
            let (what, advice) = match record.insync {
                InSync::Only(node) if node != self.config.node => (
                    "the other node has newer data and does not serve",
                    "start the other node, or see what it waits for; or prim --force here, if its \
                     newer data is lost for good",
                ),
                InSync::Both | InSync::Only(_) => (
                    "both copies are equal, and it is the other node's turn to serve",
                    "start the other node, or prim on this one",
                ),
            };
            self.waits_for_peer(stuck, what, advice);
            return;
        }
        if self.copy_is_unfit() {
            self.block(UNFIT.0, UNFIT.1);
            return;
        }
        let equal = record.clean && record.insync == InSync::Both && peer.state == State::Wait;
        let (cause, detail) = promote_causes::waiting(equal, self.prefer_me);
        self.promote(cause, detail);
    }

    /// What the peer served may still run, although it gave up. If its session cannot be ended, it
    /// gets as long as one that is silent.
    fn session_lingers(&mut self, peer: &PeerMessage) -> bool {
        if !peer.mirror.serving {
            self.given_up = None;
            return false;
        }
        let since = *self.given_up.get_or_insert(self.now);
        self.now.since(since) < self.config.takeover_after
    }

    fn waits_a_moment(&mut self, what: &str) {
        if self.reason != what {
            self.reason = what.to_string();
            self.advice = None;
            self.note(what.to_string());
        }
    }

    /// A peer that is `stuck` needs an operator; another one is on its way.
    fn waits_for_peer(&mut self, stuck: bool, what: &str, advice: &'static str) {
        if stuck {
            self.block(what, advice);
        } else {
            self.waits_a_moment(what);
        }
    }

    /// This node's own proposal gives the service to the peer, which may have accepted it: nothing
    /// else can be decided before it says so.
    pub(super) fn service_offered(&self) -> bool {
        let to_peer = |p: &Record| p.holder != self.config.node;
        self.proposal_open() && self.disk.proposal.as_ref().is_some_and(to_peer)
    }

    /// Who begins to serve when both can be heard and nobody serves.
    fn candidate(&self, insync: InSync, holder: NodeId, peer: &PeerMessage) -> Option<NodeId> {
        let me = self.config.node;
        match insync {
            InSync::Only(node) => Some(node),
            InSync::Both => {
                let peer_out = cannot_serve(peer);
                if self.is_inconsistent() && !peer_out {
                    return Some(me.peer());
                }
                // A standby begins to serve only when its primary cannot.
                let elected = match peer.state {
                    State::Wait => self.config.preferred.unwrap_or(holder),
                    State::Stop | State::Alone | State::Prim | State::Second => holder,
                };
                Some(if self.prefer_me || peer_out {
                    me
                } else {
                    elected
                })
            }
        }
    }

    /// The record may name this node, but what lies on its disk is no state that a primary ever had.
    fn copy_is_unfit(&self) -> bool {
        self.is_inconsistent() && !self.is_forced()
    }

    fn wait_in_silence(&mut self, insync: InSync) {
        if self.now.since(self.started) < self.config.takeover_after {
            self.waits_a_moment("listening for the other node");
            return;
        }
        if self.service_offered() {
            self.block(
                "the service was given to the other node, which fell silent before it said \
                 whether it took it",
                "start the other node; or prim --force here, if it is off and its newer writes \
                 may be lost",
            );
            return;
        }
        if self.copy_is_unfit() {
            self.block(UNFIT.0, UNFIT.1);
            return;
        }
        match insync {
            InSync::Only(node) if node == self.config.node => {
                self.promote(
                    Cause::ProvenAlone,
                    "the record says that only this copy is uptodate".to_string(),
                );
            }
            InSync::Both if self.starts_alone_at().is_some() && !self.may_be_cut_off() => {
                if self.starts_alone_at().is_some_and(|at| self.now >= at) {
                    self.promote(
                        Cause::ProvenAlone,
                        "nothing was heard of the other node for start-alone-after".to_string(),
                    );
                } else {
                    self.waits_a_moment(
                        "the other node is silent and may have gone on alone; this node serves \
                         when nothing was heard of it for start-alone-after",
                    );
                }
            }
            InSync::Both => self.block(
                "the other node is silent and may have gone on alone",
                "start the other node; or prim --force here, if it is off and its newer writes \
                 may be lost",
            ),
            InSync::Only(_) => self.block(
                "the other node has newer data and is silent",
                "start the other node; or prim --force here, if its newer writes may be lost",
            ),
        }
    }

    // --- ALONE, PRIM ---------------------------------------------------------------------------

    fn decide_serving(&mut self) {
        if let Activity::Demote(demote) = &self.activity
            && (!demote.answers_writes() || mutated!(self.config, KeepEndingWaiting))
        {
            return;
        }
        if self.activity == Activity::Idle {
            if self.durable.wanted == Wanted::Stopped || self.shutting_down {
                let reason = self.stop_reason();
                let whole = self.stop_whole && self.durable.wanted == Wanted::Stopped;
                self.demote(if whole { Goal::StopModule } else { Goal::Stop }, reason);
                return;
            }
            if self.mirror.as_ref().is_some_and(|m| m.fault.is_some()) {
                let text = self
                    .mirror
                    .as_ref()
                    .and_then(|m| m.fault.as_ref())
                    .map(fault_text);
                self.demote(Goal::GiveUp, text.unwrap_or_default());
                return;
            }
            if self.session_is_older() {
                self.raise_session();
                return;
            }
            if !self.mirror_serves() {
                self.restart_mirror_lost();
                return;
            }
            if self.swap_asked_by_peer() {
                self.demote(Goal::Swap, "the other node asked for a swap".to_string());
                return;
            }
        }
        if !self.settled() || !self.i_hold() {
            return;
        }
        match self.record().map(|r| r.insync) {
            Some(InSync::Both) => self.keep_both(),
            Some(InSync::Only(_)) => self.go_on_alone(),
            None => {}
        }
    }

    /// Tells the mirror the epoch of the record, in which the running session goes on.
    fn raise_session(&mut self) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        if self.released.is_none() {
            self.used_epoch = Some(record.epoch);
            let id = self.command_mirror(MirrorCommand::ReleasePeer {
                epoch: record.epoch,
                generation: record.lineage.current,
            });
            self.released = Some(id);
        }
    }

    pub(super) fn can_swap(&self) -> Result<(), String> {
        let both = self.record().is_some_and(|r| r.insync == InSync::Both);
        let second = self.heard().is_some_and(|m| m.state == State::Second);
        if self.state != State::Prim || !both {
            return Err("there is no uptodate node to swap with".to_string());
        }
        if !second || !self.peer_level() {
            return Err("the other node does not follow at the moment".to_string());
        }
        if self.activity != Activity::Idle {
            return Err(alloc::format!(
                "this node is busy ({}): ask again",
                self.reason
            ));
        }
        Ok(())
    }

    fn swap_asked_by_peer(&self) -> bool {
        self.heard().is_some_and(|m| m.swap_wanted) && self.can_swap().is_ok()
    }

    fn keep_both(&mut self) {
        let peer_leaves = self
            .heard()
            .is_some_and(|m| m.leaving || matches!(m.state, State::Stop | State::Wait));
        // A copy on a disk that fails does not put the other one out.
        let stalled = self.mirror_serves()
            && (self.mirror.as_ref()).is_some_and(|m| m.stalled && m.fault.is_none());
        if stalled || (peer_leaves && self.activity == Activity::Idle) {
            if mutated!(self.config, AnswerBeforeRecord) {
                self.raise_session();
            }
            self.out_because = if self.peer_gone() {
                "the other node does not answer any more"
            } else if peer_leaves {
                "the other node stopped"
            } else {
                "the other node answers, but takes no writes in time"
            };
            self.want(Change::PeerOut);
            return;
        }
        if self.state == State::Alone && self.peer_level() && !self.activity.is_demotion() {
            let swapped = self.taken_by_swap;
            self.taken_by_swap = false;
            let cause = if swapped {
                Cause::SwapCompletes
            } else {
                Cause::PeerInSync
            };
            self.go(cause, "");
        }
    }

    fn go_on_alone(&mut self) {
        if self.state == State::Prim {
            self.taken_by_swap = false;
            self.go(Cause::PeerRecordedOut, self.out_because);
        }
        if !self.mirror_serves() {
            return;
        }
        let Some(mirror) = self.mirror.clone() else {
            return;
        };
        let gated = matches!(mirror.role, MirrorRole::Serving { gated: true, .. });
        let level = self.peer_level();
        if self.proposal_open() {
            // The peer may have accepted to be in. If it is gone, it is recorded out again before
            // anything is answered without it.
            let gone = !level || self.peer_mute() || self.heard().is_some_and(|m| m.leaving);
            let lone = self
                .disk
                .proposal
                .as_ref()
                .is_some_and(|p| p.insync != InSync::Both);
            if gone || lone {
                self.want(Change::PeerOut);
            }
            return;
        }
        let Some(record) = self.record().cloned() else {
            return;
        };
        let generation = record.lineage.current;
        let due = self.last_released != Some(generation) || mirror.stalled;
        if self.released.is_some() {
            // What the mirror showed before it released the peer says nothing about the peer now.
            return;
        }
        if gated && due {
            let id = self.command_mirror(MirrorCommand::ReleasePeer {
                epoch: record.epoch,
                generation,
            });
            self.released = Some(id);
            return;
        }
        let peer_follows = self.heard().is_some_and(|m| {
            m.state == State::Second
                && !m.leaving
                && m.mirror.following
                && m.configuration == self.config.digest
                && m.record
                    .as_ref()
                    .is_some_and(|r| r.version == record.version)
        });
        let permitted = voters::renewed(record.epoch, &self.voters())
            .is_some_and(|since| self.now < since.after(self.config.permit_length() / 2));
        let level = level && gated || mutated!(self.config, TrustBeforeLevel);
        let cloned = self.contact.is_cloned(self.now);
        // Also while the application does not start here: then above all the peer is needed.
        let stays = !self.activity.is_demotion();
        if level && peer_follows && permitted && !cloned && stays {
            self.want(Change::PeerIn);
        }
    }

    // --- SECOND --------------------------------------------------------------------------------

    /// Tells the mirror to follow the holder of the record.
    pub(super) fn follow(&mut self) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        if self.refused_again.is_some_and(|at| self.now < at) {
            return;
        }
        self.refused_again = None;
        self.idle_since = None;
        let forget = self.durable.full_sync;
        let id = self.command_mirror(MirrorCommand::Follow {
            epoch: record.epoch,
            generation: record.lineage.current,
            forget: forget && !mutated!(self.config, BelieveAfterAll),
        });
        self.follow_sent = Some((id, record.epoch));
        self.forgetting = forget.then_some(id);
    }

    fn decide_second(&mut self) {
        if self.activity != Activity::Idle {
            return;
        }
        if self.i_hold() && self.settled() {
            let both = self.record().is_some_and(|r| r.insync == InSync::Both);
            self.taken_by_swap = both;
            self.move_returned();
            let cause = if both {
                Cause::SwapTakes
            } else {
                Cause::PrimaryHandedOver
            };
            self.promote_given(cause, String::new());
            return;
        }
        if self.durable.wanted == Wanted::Stopped || self.shutting_down {
            self.leave();
            return;
        }
        if let Some((what, _)) = self.unusable() {
            self.standby_ready = false;
            self.go(Cause::StandbyUnusable, &what);
            self.demote(Goal::Rejoin, what);
            return;
        }
        if self.divergence.is_some() && !self.divergence_won() {
            self.standby_ready = false;
            self.go(Cause::DivergenceLost, "");
            self.demote(Goal::Rejoin, "both nodes served".to_string());
            return;
        }
        self.keep_following();
        self.notice_readiness();
        self.prefer_to_serve();
        if self.settled() {
            self.watch_primary();
        }
    }

    fn unusable(&self) -> Option<(String, &'static str)> {
        // A mirror that is not there is started again by itself.
        let failed = self.mirror.as_ref()?.fault.is_some();
        let (what, advice) = self.missing()?;
        // A cable that is pulled for a moment costs no standby; without one nothing is taken over.
        let passing = self.is_isolated() && !failed;
        (self.divergence.is_none() && !passing).then_some((what, advice))
    }

    /// Asks to be recorded out, then stops.
    fn leave(&mut self) {
        let since = *self.leaving.get_or_insert(self.now);
        if since == self.now {
            self.send_now = true;
        }
        let out = self
            .record()
            .is_some_and(|r| !r.insync.contains(self.config.node));
        let alone = self.peer_silent() || self.heard().is_some_and(|m| !m.state.serves());
        let waited = self.now.since(since) >= self.config.takeover_after;
        if out || alone || waited {
            let reason = self.stop_reason();
            self.standby_ready = false;
            self.go(Cause::Stopping, &reason);
            self.demote(Goal::Stop, reason);
        }
    }

    fn keep_following(&mut self) {
        let Some(epoch) = self.record().map(|r| r.epoch) else {
            return;
        };
        let role = self.mirror.as_ref().map(|m| m.role);
        let follows = role == Some(MirrorRole::Following { epoch });
        let asked = self.follow_sent.is_some_and(|(_, sent)| sent == epoch);
        if follows {
            return;
        }
        // Asked before, and the mirror was restarted since.
        let forgotten = asked && role == Some(MirrorRole::Idle) && self.follow_lost();
        if role.is_some() && (!asked || forgotten) {
            self.follow();
        }
    }

    /// The mirror reports for longer than a heartbeat that it is idle although it was told to
    /// follow: it was restarted.
    fn follow_lost(&mut self) -> bool {
        let limit = self.config.heartbeat_interval();
        let since = *self.idle_since.get_or_insert(self.now);
        let lost = self.now.since(since) >= limit;
        if lost {
            self.idle_since = None;
        }
        lost
    }

    fn notice_readiness(&mut self) {
        let member = self
            .record()
            .is_some_and(|r| r.insync.contains(self.config.node));
        let ready = member
            && self.mirror.as_ref().is_some_and(|m| {
                m.level && !m.stalled && matches!(m.role, MirrorRole::Following { .. })
            });
        if !ready && member && self.standby_ready && self.primary_leaves() {
            return;
        }
        if ready != self.standby_ready {
            self.standby_ready = ready;
            match ready {
                true => self.go(Cause::StreamLevel, ""),
                false if member => self.go(Cause::StreamLost, "no data comes from the primary"),
                false => self.go(Cause::StreamLost, "its copy misses writes"),
            };
        }
    }

    /// The primary ends its service, and the stream with it: nothing more comes, and this copy,
    /// which was level, is as good as it was.
    fn primary_leaves(&self) -> bool {
        self.follows_level() && self.heard().is_some_and(|m| m.state == State::Wait)
    }

    /// Whether this node follows with a copy that was brought level, whether or not more comes.
    fn follows_level(&self) -> bool {
        self.mirror.as_ref().is_some_and(|m| {
            m.level
                && m.fault.is_none()
                && !self.is_inconsistent()
                && matches!(m.role, MirrorRole::Following { .. })
        })
    }

    /// The preferred node asks for the service when it has been a ready standby for long enough:
    /// once in each stay, and not after a swap that took the service away from it.
    fn prefer_to_serve(&mut self) {
        let whole = self
            .heard()
            .is_some_and(|m| m.state == State::Prim && m.tone == Tone::Ready);
        let preferred = self.config.preferred == Some(self.config.node);
        let ready = preferred && whole && self.standby_ready && self.durable.switches.failover;
        if !ready || self.preference_told {
            self.ready_since = None;
            return;
        }
        let since = *self.ready_since.get_or_insert(self.now);
        if self.now.since(since) >= self.config.takeover_after * PREFERRED_AFTER {
            self.preference_told = true;
            self.swap_wanted = Some(self.now);
            self.send_now = true;
            self.note("this is the preferred node: it asks for the service".to_string());
        }
    }

    fn watch_primary(&mut self) {
        if self.is_isolated() {
            self.waits_a_moment(
                "isolated: none of this node's own links has a carrier; it does not take over",
            );
            return;
        }
        let member = self
            .record()
            .is_some_and(|r| r.insync.contains(self.config.node));
        let usable = member && self.follows_level() || mutated!(self.config, PromoteOutdated);
        let peer = self.heard().cloned();
        match peer {
            None if self.contact.heard().is_none()
                && self.now.since(self.started) < self.config.takeover_after => {}
            None if usable && self.durable.switches.failover => {
                if self.may_be_cut_off() {
                    self.waits_a_moment(
                        "the primary is silent, and so is the gateway: this node may be the one \
                         cut off, and does not take over",
                    );
                } else if self.has_listened() {
                    self.promote(Cause::PrimarySilent, String::new());
                }
            }
            None => {
                let why = if usable {
                    "the primary is silent and failover is off"
                } else {
                    "the primary is silent and this copy misses writes"
                };
                self.standby_ready = false;
                self.go(Cause::StandbyUnusable, why);
                self.demote(Goal::Rejoin, why.to_string());
            }
            Some(peer) => {
                let given_up =
                    matches!(peer.state, State::Stop | State::Wait) && cannot_serve(&peer);
                let offered = peer.proposal.is_some();
                if !given_up || offered {
                    self.given_up = None;
                    return;
                }
                if self.session_lingers(&peer) {
                    return;
                }
                let clean = self.record().is_some_and(|r| r.clean);
                if clean {
                    self.durable.wanted = Wanted::Stopped;
                } else if usable && self.durable.switches.failover {
                    self.promote(
                        Cause::PrimaryHandedOver,
                        "the other node does not serve any more".to_string(),
                    );
                } else {
                    let why = "the primary stopped and this copy misses writes";
                    self.standby_ready = false;
                    self.go(Cause::StandbyUnusable, why);
                    self.demote(Goal::Rejoin, why.to_string());
                }
            }
        }
    }
}
