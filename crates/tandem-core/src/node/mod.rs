//! The automaton of one module on one node.
//!
//! It is level-triggered: an event changes a fact, then [`Node::advance`] looks at all facts and
//! does the next step, until nothing changes. What was missed by a restart is therefore found
//! again by looking. Three things make up its memory:
//!
//! - the **durable state** ([`Durable`]): one write at a time; a decision that changes the record
//!   is made only when nothing is being written, and messages show only what is on disk;
//! - the **activity**: a promotion, demotion or restart in progress, each a list of steps of which
//!   one waits for an outcome ([`activity`]);
//! - the **facts**: the mirror's last report, the contact with the peer, timers.
//!
//! What it deliberately does not do: IO, reading clocks, counting bytes, or guessing. A doubt is a
//! WAIT with a sentence.

mod activity;
mod commands;
mod demote;
mod messages;
mod promote;
mod promote_causes;
mod records;
mod restart;
mod roles;
mod verdicts;

use crate::config::Config;
use crate::contact::Contact;
use crate::effect::{Effect, MirrorCommand};
use crate::event::{Boot, Event, MirrorRole, MirrorStatus, PeerCopy, ServiceFailure};
use crate::ids::{CommandId, EffectId, Epoch, GenerationId};
use crate::record::{Durable, InSync, Record, Trust, Wanted};
use crate::table::{Cause, Ruling, State, transition};
use crate::time::Instant;
use crate::view::{DataState, DivergenceView, PeerView, SideView, Tone, View};
use crate::voters::{self, Voter};
use activity::{Activity, Outcome};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use commands::Pending;
use core::time::Duration;
use verdicts::Verdict;

/// The most rounds of [`Node::advance`] upon one event. Each round makes one step; the longest
/// chain without an outcome from outside is far shorter.
const ROUNDS_MAX: usize = 32;

/// Both nodes served, or nothing is known in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Divergence {
    /// Whether this node's side goes on.
    won: bool,
    /// The newest generation that both have.
    common: Option<GenerationId>,
}

/// The automaton of one module on one node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    now: Instant,
    started: Instant,
    contact: Contact,
    random: u64,

    durable: Durable,
    disk: Durable,
    writing: Option<(EffectId, Durable)>,
    write_since: Option<Instant>,
    write_again: Option<Instant>,
    proposed: Option<Instant>,

    state: State,
    since: Instant,
    reason: String,
    advice: Option<&'static str>,
    activity: Activity,
    boot: Option<Boot>,

    mirror: Option<MirrorStatus>,
    mirror_reported: Instant,
    /// Commands under way, and the role that they lead to.
    ordered: Vec<(EffectId, MirrorRole)>,
    follow_sent: Option<(EffectId, Epoch)>,
    /// The order to follow with which the mirror forgets what it knows of its copy.
    forgetting: Option<EffectId>,
    released: Option<EffectId>,
    last_released: Option<GenerationId>,
    refused_again: Option<Instant>,
    used_epoch: Option<Epoch>,

    permit_sent: Option<(Epoch, Instant)>,
    permit_expected: Option<Instant>,
    divergence: Option<Divergence>,
    standby_ready: bool,
    services_ready: bool,
    last_failure: Option<ServiceFailure>,
    /// The checker that is down and that this node waits for.
    held: Option<ServiceFailure>,
    /// What was reported while error detection is off.
    suspended: Option<Verdict>,
    isolated: bool,
    /// Since when this node can hear the other one, as far as its process and its links go.
    listens_since: Instant,
    gateway_lost: bool,
    failures: u32,
    shutting_down: bool,
    /// The time without a licence is over; an operator's command begins it anew.
    licence_ended: bool,
    prefer_me: bool,
    leaving: Option<Instant>,
    swap_wanted: Option<Instant>,
    given_up: Option<Instant>,
    /// Why the peer was recorded out last.
    out_because: &'static str,
    stop_whole: bool,
    taken_by_swap: bool,
    idle_since: Option<Instant>,

    pending: Option<Pending>,
    /// Switched, and to be answered once that is on disk.
    switched: Vec<CommandId>,
    /// Since when this node, the preferred one, is a ready standby.
    ready_since: Option<Instant>,
    /// It has asked for the service already.
    preference_told: bool,
    effects: VecDeque<Effect>,
    next_effect: u64,
    next_heartbeat: Instant,
    send_now: bool,
}

impl Node {
    /// A node that starts with what it found on its disk and, if the daemon was only restarted,
    /// with its running mirror.
    #[must_use]
    pub fn new(config: Config, boot: Boot, now: Instant) -> Self {
        let contact = Contact::new(&config, boot.seed);
        let mut node = Self {
            contact,
            now,
            started: now,
            random: boot.seed,
            durable: boot.durable.clone(),
            disk: boot.durable.clone(),
            writing: None,
            write_since: None,
            write_again: None,
            proposed: None,
            state: State::Stop,
            since: now,
            reason: "the daemon started".to_string(),
            advice: None,
            activity: Activity::Idle,
            mirror: boot.mirror.clone(),
            mirror_reported: now,
            ordered: Vec::new(),
            follow_sent: None,
            forgetting: None,
            released: None,
            last_released: boot.durable.record.as_ref().map(|r| r.lineage.current),
            refused_again: None,
            used_epoch: boot.durable.record.as_ref().map(|r| r.epoch),
            permit_sent: None,
            permit_expected: None,
            divergence: None,
            standby_ready: false,
            services_ready: false,
            last_failure: None,
            held: None,
            suspended: None,
            isolated: false,
            listens_since: now,
            gateway_lost: false,
            failures: 0,
            shutting_down: false,
            licence_ended: false,
            prefer_me: false,
            leaving: None,
            swap_wanted: None,
            given_up: None,
            out_because: "",
            stop_whole: false,
            taken_by_swap: false,
            idle_since: None,
            pending: None,
            switched: Vec::new(),
            ready_since: None,
            preference_told: false,
            effects: VecDeque::new(),
            next_effect: 1,
            next_heartbeat: now,
            send_now: true,
            boot: Some(boot),
            config,
        };
        node.begin();
        node.advance();
        node
    }

    /// Takes an event in. Total: never blocks, never fails.
    pub fn handle(&mut self, now: Instant, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::Ticked => {}
            Event::Received { channel, message } => self.received(channel, message),
            Event::Persisted(id) => self.persisted(id),
            Event::PersistFailed(id) => self.persist_failed(id),
            Event::MirrorReported(status) => self.mirror_reported(status),
            Event::MirrorLost => {
                self.mirror = None;
                self.ordered.clear();
            }
            Event::MirrorDone { id, position } => {
                self.role_reached(id);
                self.outcome(id, Outcome::Done(position));
            }
            Event::MirrorRefused { id, reason } => {
                self.ordered.retain(|(ordered, _)| *ordered != id);
                self.outcome(id, Outcome::Refused(reason));
            }
            Event::AddressFree(id) => self.outcome(id, Outcome::Free),
            Event::AddressTaken { id, by } => self.outcome(id, Outcome::Taken(by)),
            Event::AddressGone(id) => self.outcome(id, Outcome::Gone),
            Event::AddressHeld(id)
            | Event::AddressDropped(id)
            | Event::ServicesStarted(id)
            | Event::ServicesStopped(id) => self.outcome(id, Outcome::Ok),
            Event::ServicesFailed { id, failure } => self.outcome(id, Outcome::Failed(failure)),
            Event::ServiceDown(failure) => self.service_down(failure),
            Event::CheckerDown { failure, action } => self.checker_down(failure, action),
            Event::CheckerUp { name } => self.checker_up(&name),
            Event::LinksChanged { carrier } => {
                if carrier && self.isolated {
                    self.listens_since = self.now;
                }
                self.isolated = !carrier;
            }
            Event::GatewayChanged { reachable } => self.gateway_lost = !reachable,
            Event::Commanded { id, command } => self.commanded(id, command),
            Event::LicenceEnded => self.licence_ended = true,
            Event::ShuttingDown => self.shutting_down = true,
        }
        self.advance();
    }

    /// The next effect to carry out, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Event::Ticked`] is wanted next.
    ///
    /// While something depends on time the node looks five times a heartbeat; that is the
    /// precision of its time-outs.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let mut deadline = self.next_heartbeat;
        let hurried = self.activity != Activity::Idle
            || self.durable.proposal.is_some()
            || self.leaving.is_some()
            || self.pending.is_some()
            || self.write_again.is_some();
        if hurried {
            deadline = deadline.min(self.now.after(self.config.heartbeat_interval() / 5));
        }
        if self.state == State::Second
            && let Some(healthy) = self.contact.last_healthy()
            && let silent = healthy.after(self.config.takeover_after)
            && silent > self.now
        {
            deadline = deadline.min(silent);
        }
        let timers = [
            self.permit_sent.map(|(_, until)| until),
            self.proposed.map(|at| at.after(self.config.vote_wait())),
            self.proposed
                .and(self.contact.heard())
                .map(|at| at.after(self.config.stall_limit())),
        ];
        for timer in timers.into_iter().flatten().filter(|at| *at > self.now) {
            deadline = deadline.min(timer);
        }
        deadline.max(Instant(self.now.0.saturating_add(1_000_000)))
    }

    /// The node as people see it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let record = self.disk.record.as_ref();
        View {
            node: self.config.node,
            state: self.state,
            tone: self.tone(),
            data: self.data(),
            reason: &self.reason,
            advice: self.advice,
            warning: self.warning(),
            since: self.since,
            switches: self.durable.switches,
            restarts_used: u8::try_from(self.restarts_used()).unwrap_or(u8::MAX),
            divergence: self.divergence_view(),
            epoch: record.map_or(Epoch(0), |r| r.epoch),
            record,
            permit_until: self.permit_sent.map(|(_, until)| until),
            peer: self.contact.latest().map(|message| PeerView {
                state: message.state,
                tone: message.tone,
                data: message.data,
                heard: self.contact.heard().unwrap_or_default(),
                silent: self
                    .contact
                    .silent_for(self.now, self.config.takeover_after),
            }),
        }
    }

    // --- what people see -----------------------------------------------------------------------

    fn tone(&self) -> Tone {
        if self.activity != Activity::Idle && !self.activity.is_quiet() {
            return Tone::Transient;
        }
        match self.state {
            State::Stop => Tone::NotReady,
            State::Wait if self.advice.is_none() => Tone::Transient,
            State::Wait => Tone::NotReady,
            State::Alone | State::Prim if self.services_ready => Tone::Ready,
            State::Alone | State::Prim => Tone::NotReady,
            State::Second if self.leaving.is_some() => Tone::Transient,
            // Recorded out, it is none that can take over, whatever still comes over the stream.
            State::Second if self.standby_ready && self.data() == DataState::Uptodate => {
                Tone::Ready
            }
            State::Second => Tone::Transient,
        }
    }

    fn data(&self) -> DataState {
        if self.divergence.is_some() && !self.divergence_won() {
            return DataState::Diverged;
        }
        let stopping = self.durable.wanted == Wanted::Stopped || self.leaving.is_some();
        // What is on its way to the disk, or may have been accepted by the peer, is no secret.
        let me = self.config.node;
        let is_out = |r: &Option<Record>| r.as_ref().is_some_and(|r| !r.insync.contains(me));
        let out = is_out(&self.durable.record)
            || is_out(&self.disk.proposal)
            || is_out(&self.durable.proposal);
        let member = !out && !self.is_inconsistent();
        let member = member && self.record().is_some_and(|r| r.insync.contains(me));
        if member && !(stopping && self.state != State::Stop) && !self.activity.leaves() {
            return DataState::Uptodate;
        }
        let peer = self.contact.latest();
        let served = peer.is_some_and(|m| m.state.serves()) && !self.peer_silent();
        let followed = self.state == State::Second && served;
        match peer.and_then(|m| m.resync_percent) {
            Some(percent) if self.state == State::Second => DataState::Resyncing(percent),
            // With a primary, what is half compared is being completed.
            _ if self.is_inconsistent() && !followed => DataState::Inconsistent,
            _ => DataState::NotUptodate,
        }
    }

    /// Whether this copy is nothing to be served, except by force: the mirror says so, or the whole
    /// machine was set back, which only the other node can know.
    fn is_inconsistent(&self) -> bool {
        let mirror = self.mirror.as_ref();
        self.durable.trust == Trust::SetBack
            || mirror.is_some_and(|mirror| mirror.inconsistent.is_some())
    }

    /// Whether an operator forced this copy, and it has not been served since.
    fn is_forced(&self) -> bool {
        let record_says = self.record().is_some_and(|r| r.forced);
        self.durable.trust == Trust::Forced || record_says && mutated!(self.config, ForceForGood)
    }

    fn divergence_view(&self) -> Option<DivergenceView> {
        let divergence = self.divergence?;
        let me = self.config.node;
        let (mine, peer) = (self.disk.record.as_ref()?, self.contact.latest()?);
        let theirs = peer.record.as_ref()?;
        Some(DivergenceView {
            mine: SideView {
                generation: mine.lineage.current,
                epoch: mine.epoch,
                data_bytes: self.mirror.as_ref().map_or(0, |m| m.data_bytes),
                serves: self.state.serves(),
            },
            theirs: SideView {
                generation: theirs.lineage.current,
                epoch: theirs.epoch,
                data_bytes: peer.data_bytes,
                serves: peer.state.serves(),
            },
            common: divergence.common,
            goes_on: if divergence.won { me } else { me.peer() },
        })
    }

    fn warning(&self) -> Option<String> {
        if self.divergence.is_some() && self.divergence_won() {
            return Some(
                "the other node has data that this one lacks; nothing is overwritten until an \
                 operator chooses: second on the other node gives its data up"
                    .to_string(),
            );
        }
        let record = self.disk.record.as_ref()?;
        let alone = self.state == State::Alone && record.holder == self.config.node;
        if !alone || record.confirmed {
            return None;
        }
        let silence = self.now.since(self.contact.heard().unwrap_or(self.started));
        Some(match record.lineage.ancestors.first() {
            Some(last) if last.holder != self.config.node => {
                "the other node may hold newer writes until both have met".to_string()
            }
            _ => format!(
                "if this node dies now, {} seconds of work are lost; the record is unconfirmed",
                silence.as_secs()
            ),
        })
    }

    fn resync_percent(&self) -> Option<u8> {
        match self.mirror.as_ref()?.peer {
            PeerCopy::Comparing {
                done_bytes,
                total_bytes,
            } => {
                let percent = done_bytes.saturating_mul(100) / total_bytes.max(1);
                Some(u8::try_from(percent.min(99)).unwrap_or(99))
            }
            PeerCopy::Absent | PeerCopy::Level => None,
        }
    }

    // --- small facts ---------------------------------------------------------------------------

    fn record(&self) -> Option<&Record> {
        self.disk.record.as_ref()
    }

    fn i_hold(&self) -> bool {
        self.record().is_some_and(|r| r.holder == self.config.node)
    }

    /// Nothing is being written: what is decided now is decided on what is on disk.
    fn settled(&self) -> bool {
        self.writing.is_none() && self.durable == self.disk
    }

    fn peer_silent(&self) -> bool {
        self.contact
            .silent_for(self.now, self.config.takeover_after)
    }

    /// Silent for the shorter time after which a lone record may be made (R1).
    fn peer_mute(&self) -> bool {
        self.contact.silent_for(self.now, self.config.stall_limit())
    }

    /// Silent on every channel for that time, without even a message of a peer that fails: its
    /// vote is not on the way.
    fn peer_gone(&self) -> bool {
        self.contact
            .unheard_for(self.now, self.config.stall_limit())
    }

    /// Every voter but this node.
    fn voters(&self) -> [&dyn Voter; 1] {
        [&self.contact]
    }

    fn mirror_serves(&self) -> bool {
        let epoch = self.record().map(|r| r.epoch);
        matches!(self.mirror.as_ref().map(|m| m.role),
            Some(MirrorRole::Serving { epoch: serving, .. }) if Some(serving) == epoch)
    }

    /// The mounted session has an older epoch than the record: the winner of a divergence took a
    /// higher one and keeps its session (R8).
    fn session_is_older(&self) -> bool {
        let me = self.config.node;
        self.record().is_some_and(|r| {
            r.holder == me
                && r.insync == InSync::Only(me)
                && matches!(self.mirror.as_ref().map(|m| m.role),
                    Some(MirrorRole::Serving { epoch, .. }) if epoch < r.epoch)
        })
    }

    /// A session of some epoch is open: nothing may be given to the peer before it has ended.
    fn mirror_open(&self) -> bool {
        matches!(
            self.mirror.as_ref().map(|m| m.role),
            Some(MirrorRole::Serving { .. })
        )
    }

    fn peer_level(&self) -> bool {
        self.mirror
            .as_ref()
            .is_some_and(|m| m.peer == PeerCopy::Level && !m.stalled)
    }

    fn mirror_age(&self) -> Duration {
        match &self.mirror {
            Some(mirror) => mirror.completion_age + self.now.since(self.mirror_reported),
            None => Duration::MAX,
        }
    }

    fn draw_generation(&mut self) -> GenerationId {
        // splitmix64 (Steele, Lea, Flood 2014): unique for as long as the seeds differ.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random ^ self.now.0.rotate_left(17);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        GenerationId(z ^ (z >> 31))
    }

    fn effect_id(&mut self) -> EffectId {
        let id = EffectId(self.next_effect);
        self.next_effect += 1;
        id
    }

    fn command_mirror(&mut self, command: MirrorCommand) -> EffectId {
        let id = self.effect_id();
        let role = match command {
            MirrorCommand::Serve { epoch, gated, .. } => Some(MirrorRole::Serving { epoch, gated }),
            MirrorCommand::Follow { epoch, .. } => Some(MirrorRole::Following { epoch }),
            MirrorCommand::Close => Some(MirrorRole::Idle),
            MirrorCommand::Seal | MirrorCommand::ReleasePeer { .. } | MirrorCommand::Drain => None,
        };
        if let Some(role) = role {
            self.ordered.push((id, role));
        }
        self.effects.push_back(Effect::Mirror { id, command });
        id
    }

    /// Moves by the table. Returns whether the table allowed it.
    fn go(&mut self, cause: Cause, detail: &str) -> bool {
        match transition(self.state, cause) {
            Ruling::Go { row, to, because } => {
                let sentence = if detail.is_empty() {
                    because.to_string()
                } else {
                    format!("{because}: {detail}")
                };
                if self.state != to {
                    self.since = self.now;
                }
                self.state = to;
                self.advice = None;
                self.reason.clone_from(&sentence);
                self.effects.push_back(Effect::Decided {
                    row: Some(row),
                    because: sentence,
                });
                self.send_now = true;
                true
            }
            Ruling::Stay { .. } => false,
        }
    }

    /// A decision that changes no state.
    fn note(&mut self, because: String) {
        self.effects
            .push_back(Effect::Decided { row: None, because });
    }

    /// Waits, and says for what and what the operator may do. Said once.
    fn block(&mut self, what: &str, advice: &'static str) {
        if self.advice == Some(advice) && self.reason == what {
            return;
        }
        if self.go(Cause::Blocked, what) {
            self.reason = what.to_string();
            self.advice = Some(advice);
        }
    }

    // --- durable state -------------------------------------------------------------------------

    fn flush(&mut self) {
        if self.writing.is_some() {
            return;
        }
        if self.durable == self.disk {
            // What could not be written is not wanted any more.
            self.write_again = None;
            self.write_since = None;
            return;
        }
        if self.write_again.is_some_and(|at| self.now < at) {
            return;
        }
        self.write_again = None;
        let id = self.effect_id();
        self.write_since.get_or_insert(self.now);
        self.writing = Some((id, self.durable.clone()));
        self.effects.push_back(Effect::Persist {
            id,
            durable: Box::new(self.durable.clone()),
        });
    }

    fn persisted(&mut self, id: EffectId) {
        if let Some((writing, _)) = &self.writing
            && *writing == id
            && let Some((_, durable)) = self.writing.take()
        {
            if self.disk.record != durable.record || self.disk.proposal != durable.proposal {
                self.send_now = true;
            }
            self.disk = durable;
            self.write_since = None;
        }
    }

    fn persist_failed(&mut self, id: EffectId) {
        if self
            .writing
            .as_ref()
            .is_some_and(|(writing, _)| *writing == id)
        {
            self.writing = None;
            self.write_again = Some(self.now.after(self.config.heartbeat_interval()));
            self.effects.push_back(Effect::Alarm(
                "the state directory cannot be written; this node decides nothing until it can"
                    .to_string(),
            ));
        }
    }

    /// A command was carried out whose effect the last report may not show yet.
    fn role_reached(&mut self, id: EffectId) {
        let Some(place) = self.ordered.iter().position(|(ordered, _)| *ordered == id) else {
            return;
        };
        let (_, role) = self.ordered.remove(place);
        if let Some(mirror) = &mut self.mirror
            && mirror.role != role
        {
            mirror.role = role;
            mirror.peer = PeerCopy::Absent;
            mirror.level = false;
            mirror.lapsed = false;
            mirror.stalled = matches!(role, MirrorRole::Following { .. });
        }
    }

    fn mirror_reported(&mut self, status: MirrorStatus) {
        self.mirror_reported = self.now;
        self.mirror = Some(status);
    }

    // --- the turn ------------------------------------------------------------------------------

    fn advance(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = (self.state, self.effects.len(), self.activity.clone());
            self.look_at_records();
            self.step();
            self.decide();
            self.keep_permit();
            self.flush();
            if before == (self.state, self.effects.len(), self.activity.clone()) {
                break;
            }
        }
        self.answer_pending();
        if self.now >= self.next_heartbeat || self.send_now {
            self.send_all();
        }
    }

    /// Keeps the mirror's permit as the record and the peer's grants have it (R4, R5).
    fn keep_permit(&mut self) {
        let Some(record) = &self.disk.record else {
            return;
        };
        let epoch = record.epoch;
        if record.holder != self.config.node || !(self.state.serves() || self.mirror_serves()) {
            return;
        }
        // A permit of an epoch that the mirror does not know yet would park what is served.
        let unknown = self.session_is_older() && self.released.is_none();
        if self.activity.leaves_at_once() || unknown {
            return;
        }
        let until = if self.needs_permit() {
            match voters::renewed(epoch, &self.voters()) {
                Some(since) => since.after(self.config.permit_length()),
                None => return,
            }
        } else {
            Instant::FAR
        };
        match self.permit_sent {
            Some((sent, last)) if sent == epoch && last == until => return,
            // A permit is shortened only when the peer is about to be added.
            Some((sent, last)) if sent == epoch && last > until && last != Instant::FAR => return,
            _ => {}
        }
        self.permit_sent = Some((epoch, until));
        self.effects.push_back(Effect::Permit { epoch, until });
    }

    /// Whether serving needs the peer's permit: while the peer is in sync, or may be by a proposal
    /// of mine that it may have accepted.
    fn needs_permit(&self) -> bool {
        if mutated!(self.config, PermitWithoutEnd) {
            return false;
        }
        let both =
            |record: &Option<Record>| record.as_ref().is_some_and(|r| r.insync == InSync::Both);
        both(&self.disk.record)
            || both(&self.durable.record)
            || both(&self.disk.proposal)
            || both(&self.durable.proposal)
    }

    /// The permit that this node holds now.
    fn permit_valid(&self) -> bool {
        let Some(record) = self.record() else {
            return false;
        };
        if !self.needs_permit() {
            return record.holder == self.config.node;
        }
        voters::renewed(record.epoch, &self.voters())
            .is_some_and(|since| self.now < since.after(self.config.permit_length()))
            || self.permit_sent.is_some_and(|(epoch, until)| {
                epoch == record.epoch && until != Instant::FAR && self.now < until
            })
    }
}
