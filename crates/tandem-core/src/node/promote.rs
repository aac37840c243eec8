//! Promotion: probe the address, record, apply and sync what was received, mount, address,
//! services.
//!
//! What a crash loses at each step: before `Record` nothing changed. After it the record says that
//! this node holds, with nothing mounted: a restart goes on from WAIT as a sole member, or elects.
//! After `Serve` everything acknowledged went through the session of this epoch.

use super::Node;
use super::activity::{Activity, Outcome, Promote, PromoteStep};
use super::records::Change;
use crate::effect::{Effect, MirrorCommand};
use crate::event::{MirrorRole, ServiceFailure};
use crate::ids::EffectId;
use crate::record::{InSync, Trust};
use crate::table::{Cause, State};
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

/// The longest pause between two attempts to start what does not start.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The same for a mirror that refuses to serve. What is in its way (a process that is still ending,
/// a mount of before) goes within moments, to ask costs nothing, and the service is down meanwhile.
const MIRROR_PAUSE_MAX: Duration = Duration::from_secs(2);
/// The first of these pauses, doubled with each refusal.
const MIRROR_PAUSE_MIN: Duration = Duration::from_millis(100);

impl Node {
    /// Begins with the probe of the address.
    pub(super) fn promote(&mut self, cause: Cause, detail: String) {
        if mutated!(self.config, SkipProbe) {
            let step = PromoteStep::Record;
            self.activity = Activity::Promote(Promote {
                cause,
                detail,
                step,
            });
            return;
        }
        let step = PromoteStep::Record;
        self.probe(Promote {
            cause,
            detail,
            step,
        });
    }

    /// Begins after the record, which already names this node as the holder: the former holder
    /// gave it away after it had dropped the address.
    pub(super) fn promote_given(&mut self, cause: Cause, detail: String) {
        let promote = Promote {
            cause,
            detail,
            step: PromoteStep::Record,
        };
        self.recorded(promote);
    }

    /// Goes on with a session that is mounted already (the daemon was restarted).
    ///
    /// An address that is here still was never anybody else's: the kernel answered for it all the
    /// time. One whose lifetime ended meanwhile may be, so it is probed for before it is put back;
    /// the session itself goes on by its own right.
    pub(super) fn promote_found(&mut self) {
        let id = self.effect_id();
        self.effects.push_back(if mutated!(self.config, SkipProbe) {
            Effect::HoldAddress(id)
        } else {
            Effect::KeepAddress(id)
        });
        self.services_ready = true;
        self.activity = Activity::Promote(Promote {
            cause: Cause::FoundServingAlone,
            detail: String::new(),
            step: PromoteStep::Hold(id),
        });
    }

    fn at(&mut self, promote: Promote, step: PromoteStep) {
        self.activity = Activity::Promote(Promote { step, ..promote });
    }

    pub(super) fn promote_outcome(&mut self, promote: Promote, id: EffectId, outcome: Outcome) {
        match (promote.step, outcome) {
            (PromoteStep::Probe(waiting), Outcome::Free) if waiting == id => {
                if promote.is_found() {
                    self.hold(promote);
                } else {
                    self.at(promote, PromoteStep::Record);
                }
            }
            (PromoteStep::Probe(waiting), Outcome::Taken(by)) if waiting == id => {
                self.probe_again(
                    promote,
                    format!("another machine ({by}) answers for the virtual address"),
                );
            }
            (PromoteStep::Probe(waiting), Outcome::Failed(failure)) if waiting == id => {
                let reason = format!("the virtual address cannot be probed: {}", failure.reason);
                self.probe_again(promote, reason);
            }
            (PromoteStep::Seal(waiting), Outcome::Done(_)) if waiting == id => {
                self.serve(promote);
            }
            (PromoteStep::Serve(waiting), Outcome::Done(_)) if waiting == id => {
                // What an operator forced is served: from now on it is a copy like any other.
                self.durable.trust = Trust::Recorded;
                self.drop_full_sync();
                self.hold(promote);
            }
            (PromoteStep::Hold(waiting), Outcome::Gone) if waiting == id => {
                self.note(
                    "the virtual address left this node while its daemon was away".to_string(),
                );
                self.services_ready = false;
                self.probe(promote);
            }
            (
                PromoteStep::Seal(waiting) | PromoteStep::Serve(waiting),
                Outcome::Refused(reason),
            ) if waiting == id => {
                let again = self.mirror_refused(&reason);
                self.at(promote, PromoteStep::ServeAgain(again));
            }
            (PromoteStep::Hold(waiting), Outcome::Ok) if waiting == id => {
                self.start_services(promote);
            }
            (PromoteStep::Hold(waiting), Outcome::Failed(failure)) if waiting == id => {
                self.start_failed(promote, &failure);
            }
            (PromoteStep::Services(waiting), Outcome::Ok) if waiting == id => {
                self.failures = 0;
                self.services_ready = true;
                self.activity = Activity::Idle;
                self.send_now = true;
                self.note("the services run".to_string());
            }
            (PromoteStep::Services(waiting), Outcome::Failed(failure)) if waiting == id => {
                self.start_failed(promote, &failure);
            }
            _ => {}
        }
    }

    /// Nothing durable has happened: this node stays what it is, says why, and asks again.
    fn probe_again(&mut self, promote: Promote, reason: String) {
        if self.reason != reason {
            self.note(reason.clone());
            self.reason = reason;
        }
        let again = self.now.after(self.config.heartbeat_interval());
        self.at(promote, PromoteStep::ProbeAgain(again));
    }

    fn start_failed(&mut self, promote: Promote, failure: &ServiceFailure) {
        self.services_ready = false;
        self.reason = format!("{} does not start: {}", failure.name, failure.reason);
        self.note(self.reason.clone());
        let peer_can = self.peer_level() && self.record().is_some_and(|r| r.insync == InSync::Both);
        if promote.cause == Cause::SwapTakes && peer_can {
            self.swap_back(self.reason.clone());
            return;
        }
        self.effects.push_back(Effect::Alarm(self.reason.clone()));
        if self.start_spends_budget(failure) {
            return;
        }
        let again = self.pause();
        self.at(promote, PromoteStep::ServicesAgain(again));
    }

    /// When to try again: 1 s, doubled with each failure, at most five minutes.
    pub(super) fn pause(&mut self) -> crate::time::Instant {
        let pause = Duration::from_secs(1u64 << self.failures.min(9)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.now.after(pause)
    }

    /// Says once why the mirror refuses, and when it is asked again.
    pub(super) fn mirror_refused(&mut self, reason: &str) -> crate::time::Instant {
        let reason = format!("the mirror cannot serve: {reason}");
        if self.reason != reason {
            self.note(reason.clone());
            self.reason = reason;
        }
        let pause = MIRROR_PAUSE_MIN * (1 << self.failures.min(9));
        self.failures = self.failures.saturating_add(1);
        self.now.after(pause.min(MIRROR_PAUSE_MAX))
    }

    pub(super) fn promote_step(&mut self, promote: Promote) {
        if self.promotion_ended(&promote) {
            return;
        }
        match promote.step {
            PromoteStep::Probe(_) | PromoteStep::ProbeAgain(_)
                if promote.is_found() && self.promotion_broken() => {}
            PromoteStep::ProbeAgain(at) if self.deadline_passed(at) => self.probe(promote),
            PromoteStep::Record => self.record_step(promote),
            PromoteStep::ServeAgain(at) if self.deadline_passed(at) => self.serve(promote),
            PromoteStep::ServicesAgain(_) if self.promotion_broken() => {}
            PromoteStep::ServicesAgain(_) if promote.cause == Cause::SwapTakes => {
                self.services_again_after_swap(promote);
            }
            PromoteStep::ServicesAgain(_) if self.hand_over_at_last() => {}
            PromoteStep::ServicesAgain(at) if self.deadline_passed(at) => {
                self.start_services(promote);
            }
            PromoteStep::Hold(_) | PromoteStep::Services(_) | PromoteStep::ServicesAgain(_) => {
                self.promotion_broken();
            }
            PromoteStep::Probe(_)
            | PromoteStep::ProbeAgain(_)
            | PromoteStep::Seal(_)
            | PromoteStep::Serve(_)
            | PromoteStep::ServeAgain(_) => {}
        }
    }

    /// A promotion whose session is mounted ends when its right or its mirror does.
    fn promotion_broken(&mut self) -> bool {
        if let Some((cause, detail)) = self.right_ended() {
            self.fence(cause, detail);
            return true;
        }
        let lost = !self.mirror_serves();
        if lost {
            self.restart_mirror_lost();
        }
        lost
    }

    fn probe(&mut self, promote: Promote) {
        let id = self.effect_id();
        self.effects.push_back(Effect::ProbeAddress(id));
        self.at(promote, PromoteStep::Probe(id));
    }

    fn start_services(&mut self, promote: Promote) {
        let id = self.effect_id();
        self.effects.push_back(Effect::StartServices(id));
        self.at(promote, PromoteStep::Services(id));
    }

    /// A swap whose services do not start here goes back as soon as the other node can take it.
    fn services_again_after_swap(&mut self, promote: Promote) {
        let PromoteStep::ServicesAgain(at) = promote.step else {
            return;
        };
        if self.peer_can_take() {
            self.swap_back("the services do not start on this node".to_string());
        } else if self.deadline_passed(at) {
            self.start_services(promote);
        }
    }

    fn hold(&mut self, promote: Promote) {
        let id = self.effect_id();
        self.effects.push_back(Effect::HoldAddress(id));
        self.at(promote, PromoteStep::Hold(id));
    }

    /// A promotion that is not recorded yet ends when its reason does.
    fn promotion_ended(&mut self, promote: &Promote) -> bool {
        let unrecorded = matches!(
            promote.step,
            PromoteStep::Probe(_) | PromoteStep::ProbeAgain(_) | PromoteStep::Record
        );
        if !unrecorded || promote.is_found() {
            return false;
        }
        let heard_again = promote.cause == Cause::PrimarySilent && !self.peer_silent();
        let peer_serves = !self.i_hold()
            && !self.peer_silent()
            && self.contact.latest().is_some_and(|m| m.state.serves());
        // Whoever served may have gone on alone meanwhile, and be comparing this copy again.
        let copy_lost = self.state == State::Second
            && !self.copy_is_level()
            && !mutated!(self.config, PromoteOutdated);
        let me = self.config.node;
        let out = self.record().is_some_and(|r| !r.insync.contains(me));
        let diverged = self.divergence.is_some() && !self.divergence_won();
        let stopped = self.durable.wanted == crate::record::Wanted::Stopped;
        let out = out && !mutated!(self.config, PromoteOutdated);
        let held = self.held_back().is_some();
        let taken = heard_again || peer_serves || out || diverged || held;
        if self.settled() && (taken || copy_lost || stopped) {
            // The proposal stays: the other one may be accepting it, and a voter has one proposal
            // per version. A later promotion goes on with it; a newer record ends it.
            self.proposed = None;
            self.activity = Activity::Idle;
            self.note(if copy_lost {
                "the promotion ended: this copy is not level any more".to_string()
            } else if held {
                "the promotion ended: this node may not serve now".to_string()
            } else {
                "the promotion ended: the other node is there".to_string()
            });
            return true;
        }
        false
    }

    fn record_step(&mut self, promote: Promote) {
        if !self.settled() {
            return;
        }
        let fresh = match promote.cause {
            // The epoch must be this promotion's own, not one that an earlier mirror served in.
            Cause::PrimarySilent => self.i_hold(),
            _ => self.i_hold() && !self.epoch_used(),
        };
        if fresh && !self.proposal_open() {
            self.recorded(promote);
            return;
        }
        if self.disk.record.is_none() {
            self.propose_first();
            return;
        }
        let keep_both = promote.cause == Cause::ElectedWithPeer;
        self.want(Change::Take { keep_both });
    }

    /// Whether a session of the record's epoch may have been open already: every session has an
    /// epoch of its own (R8).
    pub(super) fn epoch_used(&self) -> bool {
        if mutated!(self.config, ReuseEpoch) {
            return false;
        }
        self.used_epoch
            .is_some_and(|used| self.record().is_some_and(|r| r.epoch <= used))
    }

    fn recorded(&mut self, promote: Promote) {
        self.go(promote.cause, &promote.detail);
        self.prefer_me = false;
        self.swap_wanted = None;
        self.services_ready = false;
        self.failures = 0;
        self.permit_expected = Some(self.now.after(self.config.takeover_after));
        let following = matches!(
            self.mirror.as_ref().map(|m| m.role),
            Some(MirrorRole::Following { .. })
        );
        if following {
            let id = self.command_mirror(MirrorCommand::Seal);
            self.at(promote, PromoteStep::Seal(id));
        } else {
            self.serve(promote);
        }
    }

    fn serve(&mut self, promote: Promote) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        self.follow_sent = None;
        self.released = None;
        self.used_epoch = Some(record.epoch);
        let gated = record.insync == InSync::Both;
        if !gated {
            self.last_released = Some(record.lineage.current);
        }
        let id = self.command_mirror(MirrorCommand::Serve {
            epoch: record.epoch,
            generation: record.lineage.current,
            gated,
            forced: self.is_forced(),
        });
        self.at(promote, PromoteStep::Serve(id));
    }
}
