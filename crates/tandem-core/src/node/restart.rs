//! Serving again in place: the services broke, or the mirror's process was lost.

use super::Node;
use super::activity::{Activity, Outcome, Restart, RestartStep};
use super::records::Change;
use crate::effect::{Effect, MirrorCommand, ServiceStop};
use crate::event::{MirrorRole, ServiceFailure};
use crate::ids::EffectId;
use crate::record::InSync;
use crate::table::{Cause, State};
use alloc::format;
use alloc::string::{String, ToString};

impl Node {
    /// Stops and starts the services; the mirror stays.
    pub(super) fn restart_in_place(&mut self, detail: String) {
        self.go(Cause::RestartInPlace, &detail);
        self.stop_then(detail, ServiceStop::Orderly);
    }

    /// The mirror was lost: its session is dead, and what it had queued for the peer is gone.
    pub(super) fn restart_mirror_lost(&mut self) {
        let detail = "the mirror's process was lost".to_string();
        self.go(Cause::RestartInPlace, &detail);
        self.stop_then(detail, ServiceStop::Force);
    }

    fn stop_then(&mut self, detail: String, how: ServiceStop) {
        self.services_ready = false;
        let id = self.effect_id();
        self.effects.push_back(Effect::StopServices { id, how });
        let step = match how {
            ServiceStop::Orderly => RestartStep::Stop(id),
            ServiceStop::Force => RestartStep::Force(id),
        };
        self.activity = Activity::Restart(Restart { detail, step });
    }

    fn on(&mut self, restart: Restart, step: RestartStep) {
        self.activity = Activity::Restart(Restart { step, ..restart });
    }

    pub(super) fn restart_outcome(&mut self, restart: Restart, id: EffectId, outcome: Outcome) {
        match (restart.step, outcome) {
            (
                RestartStep::Stop(waiting) | RestartStep::Force(waiting),
                Outcome::Failed(failure),
            ) if waiting == id => {
                self.note(format!(
                    "{} does not stop: {}",
                    failure.name, failure.reason
                ));
                self.stop_then(restart.detail, ServiceStop::Force);
            }
            (RestartStep::Stop(waiting) | RestartStep::Force(waiting), _) if waiting == id => {
                if !self.mirror_serves() {
                    self.on(restart, RestartStep::Record);
                } else if let Some(pause) = self.pause_of_spent_budget() {
                    self.on(restart, RestartStep::StartAgain(self.now.after(pause)));
                } else {
                    self.start(restart);
                }
            }
            (RestartStep::Close(waiting), Outcome::Done(_)) if waiting == id => {
                self.on(restart, RestartStep::Record);
            }
            (RestartStep::Serve(waiting), Outcome::Done(_)) if waiting == id => {
                self.start(restart);
            }
            (
                RestartStep::Close(waiting) | RestartStep::Serve(waiting),
                Outcome::Refused(reason),
            ) if waiting == id => {
                let again = self.mirror_refused(&reason);
                self.on(restart, RestartStep::ServeAgain(again));
            }
            (RestartStep::Start(waiting), Outcome::Failed(failure)) if waiting == id => {
                self.restart_failed(restart, &failure);
            }
            (RestartStep::Start(waiting), _) if waiting == id => {
                self.activity = Activity::Idle;
                self.services_ready = true;
                self.failures = 0;
                self.send_now = true;
                self.note("the services run again".to_string());
            }
            _ => {}
        }
    }

    fn start(&mut self, restart: Restart) {
        // The address may have left with the mirror's permit; holding it twice is harmless.
        let hold = self.effect_id();
        self.effects.push_back(Effect::HoldAddress(hold));
        let id = self.effect_id();
        self.effects.push_back(Effect::StartServices(id));
        self.on(restart, RestartStep::Start(id));
    }

    fn restart_failed(&mut self, restart: Restart, failure: &ServiceFailure) {
        self.reason = format!("{} does not start: {}", failure.name, failure.reason);
        self.note(self.reason.clone());
        if self.start_spends_budget(failure) {
            return;
        }
        let again = self.pause();
        self.on(restart, RestartStep::StartAgain(again));
    }

    pub(super) fn restart_step(&mut self, restart: Restart) {
        if let Some((cause, detail)) = self.right_ended() {
            self.fence(cause, detail);
            return;
        }
        match restart.step {
            // Nothing that an orderly end would write has a disk any more.
            RestartStep::Stop(_) if !self.mirror_serves() => {
                self.stop_then(restart.detail, ServiceStop::Force);
            }
            RestartStep::Record => self.restart_record(restart),
            RestartStep::ServeAgain(at) if self.deadline_passed(at) => {
                self.on(restart, RestartStep::Record);
            }
            RestartStep::StartAgain(_) if self.hand_over_at_last() => {}
            RestartStep::StartAgain(at) if self.deadline_passed(at) => self.start(restart),
            RestartStep::Start(_) | RestartStep::StartAgain(_) if !self.mirror_serves() => {
                self.on(restart, RestartStep::Record);
            }
            _ => {}
        }
    }

    /// Before the new session is open nothing is acknowledged, and the peer's copy is not known to
    /// equal what the dead session left here: it is recorded out first, then compared (R8).
    fn restart_record(&mut self, restart: Restart) {
        if !self.settled() {
            return;
        }
        let Some(record) = self.record().cloned() else {
            return;
        };
        // One change for both: the peer is out, and the new session has an epoch of its own.
        let recorded = record.insync != InSync::Both && !self.proposal_open() && !self.epoch_used();
        if !recorded && !mutated!(self.config, RestartUnrecorded) {
            self.want(Change::Take { keep_both: false });
            return;
        }
        let Some(mirror) = &self.mirror else { return };
        if mirror.fault.is_some() {
            return;
        }
        if mirror.role != MirrorRole::Idle {
            let id = self.command_mirror(MirrorCommand::Close);
            self.on(restart, RestartStep::Close(id));
            return;
        }
        if self.state == State::Prim {
            self.go(Cause::PeerRecordedOut, &restart.detail);
        }
        self.released = None;
        self.last_released = Some(record.lineage.current);
        self.used_epoch = Some(record.epoch);
        let id = self.command_mirror(MirrorCommand::Serve {
            epoch: record.epoch,
            generation: record.lineage.current,
            gated: false,
            forced: false,
        });
        self.on(restart, RestartStep::Serve(id));
    }
}
