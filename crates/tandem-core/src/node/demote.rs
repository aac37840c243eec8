//! Demotion: services, drain, end of the session, address, and the record that gives the service
//! away. Fencing, when the right to serve is gone, drops the address first and drains nothing.
//!
//! What a crash loses at each step: until the drain everything acknowledged is on both disks or
//! the record says that the peer is out. After the drain nothing is written any more. The peer may
//! be promoted only by the record, and the record names it only after the session has ended here.

use super::Node;
use super::activity::{Activity, Demote, DemoteStep, Goal, Outcome};
use super::records::Change;
use crate::effect::{Effect, MirrorCommand, ServiceStop};
use crate::event::MirrorRole;
use crate::ids::EffectId;
use crate::record::{InSync, Wanted};
use crate::table::{Cause, State};
use crate::time::Instant;
use alloc::string::{String, ToString};
use core::time::Duration;

/// How long the peer's acceptance of the service is waited for. It accepts within one exchange of
/// messages once it has applied the last number, so this only bounds the doubt of a peer that
/// died just now.
const HANDOVER_MAX: Duration = Duration::from_secs(10);
/// What is said meanwhile.
const OFFERED: &str = "everything is on the other node; waiting until it takes the service";

impl Node {
    /// Begins the way to `goal`.
    pub(super) fn demote(&mut self, goal: Goal, detail: String) {
        let what = match goal {
            Goal::Stop | Goal::StopModule | Goal::ProveStopped => "stopping",
            Goal::Swap => "handing over",
            Goal::Rejoin => "stopping, to start again",
            Goal::GiveUp | Goal::Fence => &detail,
            Goal::Prove => "proving that nothing runs here",
        };
        // The row of the table may have said everything.
        if !what.is_empty() {
            self.note(what.to_string());
        }
        self.send_now = true;
        self.services_ready = false;
        let id = self.effect_id();
        let step = match goal {
            Goal::Fence => {
                self.permit_sent = None;
                self.effects.push_back(Effect::DropAddress(id));
                // Parks what is written from now on, without an answer.
                if let Some(MirrorRole::Serving { epoch, .. }) =
                    self.mirror.as_ref().map(|m| m.role)
                {
                    self.effects.push_back(Effect::Permit {
                        epoch,
                        until: Instant(0),
                    });
                }
                DemoteStep::AddressFirst(id)
            }
            Goal::ProveStopped => DemoteStep::Close(self.command_mirror(MirrorCommand::Close)),
            Goal::Prove if !self.state.serves() => {
                self.effects.push_back(Effect::StopServices {
                    id,
                    how: ServiceStop::Orderly,
                });
                DemoteStep::Services(id)
            }
            Goal::Stop | Goal::StopModule | Goal::Rejoin if !self.state.serves() => {
                DemoteStep::Close(self.command_mirror(MirrorCommand::Close))
            }
            Goal::Stop
            | Goal::StopModule
            | Goal::Rejoin
            | Goal::Swap
            | Goal::GiveUp
            | Goal::Prove => {
                self.effects.push_back(Effect::StopServices {
                    id,
                    how: ServiceStop::Orderly,
                });
                DemoteStep::Services(id)
            }
        };
        self.activity = Activity::Demote(Demote {
            goal,
            detail,
            level_at: None,
            step,
        });
    }

    /// Ends serving at once.
    pub(super) fn fence(&mut self, cause: Cause, detail: String) {
        self.go(cause, &detail);
        self.demote(Goal::Fence, detail);
    }

    fn to(&mut self, demote: Demote, step: DemoteStep) {
        self.activity = Activity::Demote(Demote { step, ..demote });
    }

    fn stop_services(&mut self, demote: Demote, how: ServiceStop) {
        let id = self.effect_id();
        self.effects.push_back(Effect::StopServices { id, how });
        let step = match how {
            ServiceStop::Orderly => DemoteStep::Services(id),
            ServiceStop::Force => DemoteStep::Force(id),
        };
        self.to(demote, step);
    }

    pub(super) fn demote_outcome(&mut self, demote: Demote, id: EffectId, outcome: Outcome) {
        match (demote.step, outcome) {
            (DemoteStep::AddressFirst(waiting), _) if waiting == id => {
                self.stop_services(demote, ServiceStop::Force);
            }
            (DemoteStep::Services(waiting), Outcome::Failed(failure)) if waiting == id => {
                self.note(alloc::format!(
                    "{} does not stop ({}): by force",
                    failure.name,
                    failure.reason
                ));
                self.stop_services(demote, ServiceStop::Force);
            }
            (DemoteStep::Services(waiting), _) if waiting == id => self.services_ended(demote),
            (DemoteStep::Force(waiting), outcome) if waiting == id => {
                if let Outcome::Failed(failure) = outcome {
                    // Aborting the mount below takes the data away from what is left.
                    self.effects.push_back(Effect::Alarm(alloc::format!(
                        "{} does not end even by force: {}",
                        failure.name,
                        failure.reason
                    )));
                }
                self.services_ended(demote);
            }
            (DemoteStep::Drain(waiting), Outcome::Done(position)) if waiting == id => {
                if demote.goal == Goal::Swap {
                    let detail = demote.detail.clone();
                    self.go(Cause::SwapLeaves, &detail);
                }
                self.close(Demote {
                    level_at: Some(position),
                    ..demote
                });
            }
            (DemoteStep::Drain(waiting), Outcome::Refused(reason)) if waiting == id => {
                self.note(alloc::format!("the other node is not level: {reason}"));
                if demote.goal == Goal::Swap {
                    self.swap_back(reason);
                } else {
                    self.close(demote);
                }
            }
            (DemoteStep::Close(waiting), Outcome::Done(_)) if waiting == id => {
                let id = self.effect_id();
                self.effects.push_back(Effect::DropAddress(id));
                self.to(demote, DemoteStep::Address(id));
            }
            (DemoteStep::Close(waiting), Outcome::Refused(reason)) if waiting == id => {
                self.note(alloc::format!("the session does not end: {reason}"));
                let again = self.now.after(self.config.heartbeat_interval());
                self.to(demote, DemoteStep::CloseAgain(again));
            }
            (DemoteStep::Address(waiting), _) if waiting == id => {
                let until = self.now.after(HANDOVER_MAX);
                self.permit_sent = None;
                self.to(demote, DemoteStep::Handover(until));
            }
            _ => {}
        }
    }

    fn services_ended(&mut self, demote: Demote) {
        let detail = demote.detail.clone();
        let alone = self
            .record()
            .is_some_and(|r| r.insync == InSync::Only(self.config.node));
        if demote.goal == Goal::Swap && alone && self.i_hold() {
            self.swap_back(self.out_because.to_string());
            return;
        }
        match demote.goal {
            Goal::Stop | Goal::StopModule => self.go(Cause::Stopping, &detail),
            Goal::Rejoin => self.go(Cause::StopStart, &detail),
            Goal::GiveUp => self.go(Cause::GaveUp, &detail) || self.go(Cause::Stopping, &detail),
            // A swap may still come back until it is drained.
            Goal::Swap | Goal::Fence | Goal::Prove | Goal::ProveStopped => true,
        };
        let both = self.record().is_some_and(|r| r.insync == InSync::Both);
        let drains = matches!(
            demote.goal,
            Goal::Stop | Goal::StopModule | Goal::Rejoin | Goal::Swap | Goal::GiveUp
        );
        if drains && both && self.i_hold() && self.mirror_serves() {
            if demote.goal == Goal::Swap && mutated!(self.config, SwapWithoutDrain) {
                self.go(Cause::SwapLeaves, &detail);
                self.close(Demote {
                    level_at: Some(crate::ids::Sequence(0)),
                    ..demote
                });
                return;
            }
            let id = self.command_mirror(MirrorCommand::Drain);
            self.to(demote, DemoteStep::Drain(id));
        } else {
            self.close(demote);
        }
    }

    fn close(&mut self, demote: Demote) {
        let id = self.command_mirror(MirrorCommand::Close);
        self.follow_sent = None;
        self.released = None;
        self.to(demote, DemoteStep::Close(id));
    }

    pub(super) fn demote_step(&mut self, demote: Demote) {
        match demote.step {
            DemoteStep::CloseAgain(at) if self.deadline_passed(at) => self.close(demote),
            // Nothing that an orderly end would write has a disk any more.
            DemoteStep::Services(_) if self.state.serves() && !self.mirror_open() => {
                self.stop_services(demote, ServiceStop::Force);
            }
            // A mirror that is gone has no session any more; a new one reports that it is idle.
            DemoteStep::Drain(_) if !self.mirror_serves() => self.close(demote),
            DemoteStep::Handover(until) => self.handover_step(demote, until),
            DemoteStep::PeerServes(until) => {
                let serves = self
                    .contact
                    .latest()
                    .is_some_and(|m| m.state.serves() && m.tone == crate::view::Tone::Ready);
                let version = self.record().map(|r| r.version);
                let stopped = self.contact.latest().is_some_and(|m| {
                    m.state == State::Stop && m.record.as_ref().map(|r| r.version) >= version
                });
                if stopped {
                    let detail = alloc::format!(
                        "{}; the other node, which has the service, is stopped too: start it",
                        demote.detail
                    );
                    self.demoted(Demote { detail, ..demote });
                } else if serves || self.peer_silent() || self.deadline_passed(until) {
                    self.demoted(demote);
                }
            }
            _ => {}
        }
    }

    fn handover_step(&mut self, demote: Demote, until: Instant) {
        if !self.settled() {
            return;
        }
        let record = self.record().cloned();
        if self.proposal_open() && self.reason != OFFERED {
            self.note(OFFERED.to_string());
            self.reason = OFFERED.to_string();
        }
        let holding = record
            .as_ref()
            .is_some_and(|r| r.holder == self.config.node);
        let both = record.as_ref().is_some_and(|r| r.insync == InSync::Both);
        match demote.goal {
            Goal::Fence | Goal::Prove | Goal::ProveStopped => self.demoted(demote),
            Goal::StopModule
                if holding
                    && both
                    && (demote.level_at.is_some() || mutated!(self.config, CleanWithoutDrain)) =>
            {
                if record.as_ref().is_some_and(|r| r.clean) || self.deadline_passed(until) {
                    self.demoted(demote);
                } else {
                    self.want(Change::Clean {
                        level_at: demote.level_at,
                    });
                }
            }
            Goal::Stop | Goal::StopModule | Goal::Rejoin | Goal::Swap | Goal::GiveUp => {
                let drained = demote.level_at.is_some();
                if drained && !holding {
                    self.given(demote);
                    return;
                }
                if !drained || !both {
                    self.demoted(demote);
                    return;
                }
                let doubtful = self.deadline_passed(until) || self.peer_silent();
                if doubtful {
                    // The proposal stays on disk and in every message; the peer may accept it yet.
                    self.note("the other node has not taken the service yet".to_string());
                    self.demoted(demote);
                } else {
                    let stay = demote.goal == Goal::Swap;
                    self.want(Change::GiveTo {
                        level_at: demote.level_at,
                        stay,
                    });
                }
            }
        }
    }

    /// The record names the peer.
    fn given(&mut self, demote: Demote) {
        match demote.goal {
            Goal::Swap => {
                self.activity = Activity::Idle;
                self.go(Cause::SwapFollows, "");
                self.preference_told = true;
                self.follow();
            }
            Goal::Stop | Goal::StopModule | Goal::GiveUp => {
                let until = self.now.after(self.config.service_limit);
                self.reason =
                    "the other node has the service; waiting until its services run".to_string();
                self.note(self.reason.clone());
                self.to(demote, DemoteStep::PeerServes(until));
            }
            Goal::Rejoin | Goal::Fence | Goal::Prove | Goal::ProveStopped => self.demoted(demote),
        }
    }

    /// Nothing of the module runs here any more.
    fn demoted(&mut self, demote: Demote) {
        self.activity = Activity::Idle;
        self.leaving = None;
        self.failures = 0;
        let detail = demote.detail;
        match demote.goal {
            Goal::Stop | Goal::StopModule => {
                self.go(Cause::Stopped, &detail);
            }
            Goal::GiveUp => {
                self.durable.wanted = Wanted::Stopped;
                self.go(Cause::Stopped, &detail);
            }
            Goal::ProveStopped | Goal::Rejoin | Goal::Swap | Goal::Fence | Goal::Prove => {
                self.reason = if detail.is_empty() {
                    "looking for the other node".to_string()
                } else {
                    detail
                };
            }
        }
    }

    /// A swap that cannot be finished: the services start here again, or, where this node has
    /// taken over already, the service goes back.
    pub(super) fn swap_back(&mut self, reason: String) {
        self.fail_pending(&reason);
        self.move_returned();
        if matches!(self.activity, Activity::Promote(_)) {
            self.demote(Goal::Swap, alloc::format!("swapped back: {reason}"));
        } else {
            self.restart_in_place(alloc::format!("swapped back: {reason}"));
        }
    }
}
