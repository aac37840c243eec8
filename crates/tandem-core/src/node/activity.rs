//! What a node is in the middle of: a list of steps, of which one waits for an outcome.

use super::Node;
use crate::event::{MirrorRole, PeerCopy, ServiceFailure};
use crate::ids::{EffectId, Sequence};
use crate::table::Cause;
use crate::time::Instant;
use alloc::string::String;

/// An activity in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Activity {
    /// Nothing.
    Idle,
    /// On the way to serve.
    Promote(Promote),
    /// On the way to not serve.
    Demote(Demote),
    /// Serving again after the services or the mirror broke, in place.
    Restart(Restart),
}

/// A promotion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Promote {
    /// Why, for the table.
    pub cause: Cause,
    /// The reason's detail.
    pub detail: String,
    /// Where it is.
    pub step: PromoteStep,
}

impl Promote {
    /// Of a session that a restarted daemon found mounted: recorded long ago.
    pub fn is_found(&self) -> bool {
        self.cause == Cause::FoundServingAlone
    }
}

/// The steps of a promotion, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PromoteStep {
    /// Nobody else may answer for the address, before anything durable.
    Probe(EffectId),
    /// Another machine answers: probe again then.
    ProbeAgain(Instant),
    /// The record names this node as the holder.
    Record,
    /// Everything received is applied and synced.
    Seal(EffectId),
    /// The session of this epoch is mounted.
    Serve(EffectId),
    /// The mirror refused: try again then.
    ServeAgain(Instant),
    /// The address is here.
    Hold(EffectId),
    /// The services run.
    Services(EffectId),
    /// The services did not start: try again then.
    ServicesAgain(Instant),
}

/// Where a demotion leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// STOP on this node.
    Stop,
    /// STOP on both, copies equal.
    StopModule,
    /// WAIT, then whatever role is found.
    Rejoin,
    /// SECOND, the other one serves.
    Swap,
    /// STOP, because the application cannot run here.
    GiveUp,
    /// WAIT at once: the right to serve is gone.
    Fence,
    /// WAIT: only proves that nothing runs here (start).
    Prove,
    /// STOP: the same without touching the services.
    ProveStopped,
}

/// A demotion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Demote {
    /// Where it leads.
    pub goal: Goal,
    /// Why.
    pub detail: String,
    /// The last number that both have, once drained.
    pub level_at: Option<Sequence>,
    /// Where it is.
    pub step: DemoteStep,
}

impl Demote {
    /// The services write until they have ended: what they write is answered, without the peer if
    /// it is gone. Only what has no right to serve any more is not answered.
    pub fn answers_writes(&self) -> bool {
        let ends = matches!(self.step, DemoteStep::Services(_) | DemoteStep::Force(_));
        ends && self.goal != Goal::Fence
    }
}

/// The steps of a demotion. Fencing drops the address first; otherwise it goes after the mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DemoteStep {
    /// Fencing: the address goes first.
    AddressFirst(EffectId),
    /// The services end.
    Services(EffectId),
    /// They did not: by force.
    Force(EffectId),
    /// The peer applies and syncs everything.
    Drain(EffectId),
    /// The session ends.
    Close(EffectId),
    /// The mirror could not: again then.
    CloseAgain(Instant),
    /// The address goes.
    Address(EffectId),
    /// The record names the peer, or says that both are equal.
    Handover(Instant),
    /// The peer serves, or is lost, or this moment passed.
    PeerServes(Instant),
}

/// A restart in place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Restart {
    /// Why.
    pub detail: String,
    /// Where it is.
    pub step: RestartStep,
}

/// The steps of a restart in place. With a running mirror only the services are touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RestartStep {
    /// The services end.
    Stop(EffectId),
    /// They did not, or their mirror is gone: by force.
    Force(EffectId),
    /// The mirror was lost: the record says that the peer is out, because its copy has to be
    /// compared with what a new session holds (R8), and names the epoch of that session.
    Record,
    /// A session of an older epoch ends.
    Close(EffectId),
    /// The mirror mounts again.
    Serve(EffectId),
    /// It did not, or no mirror is there: again then.
    ServeAgain(Instant),
    /// The services start.
    Start(EffectId),
    /// They did not: again then.
    StartAgain(Instant),
}

/// What came back of an effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Ok,
    Free,
    Taken(String),
    Gone,
    Done(Sequence),
    Refused(String),
    Failed(ServiceFailure),
}

impl Activity {
    /// Not shown as transient: it is cleaning up, or trying again after a failure.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::Idle => true,
            Self::Promote(p) => matches!(
                p.step,
                PromoteStep::ProbeAgain(_)
                    | PromoteStep::ServeAgain(_)
                    | PromoteStep::ServicesAgain(_)
            ),
            Self::Demote(d) => d.goal == Goal::ProveStopped,
            Self::Restart(r) => matches!(r.step, RestartStep::StartAgain(_)),
        }
    }

    /// On the way not to serve.
    pub(super) const fn is_demotion(&self) -> bool {
        matches!(self, Self::Demote(_))
    }

    /// A demotion whose session has not ended. The mirror's last report is no proof of it: an order
    /// to serve, given before the demotion began, may be on its way to the mirror.
    pub(super) const fn awaits_close(&self) -> bool {
        match self {
            Self::Demote(d) => match d.step {
                DemoteStep::AddressFirst(_)
                | DemoteStep::Services(_)
                | DemoteStep::Force(_)
                | DemoteStep::Drain(_)
                | DemoteStep::Close(_)
                | DemoteStep::CloseAgain(_) => true,
                DemoteStep::Address(_) | DemoteStep::Handover(_) | DemoteStep::PeerServes(_) => {
                    false
                }
            },
            Self::Idle | Self::Promote(_) | Self::Restart(_) => false,
        }
    }

    /// On the way to leave the service to the peer: shown as `not uptodate`.
    pub(super) fn leaves(&self) -> bool {
        match self {
            Self::Demote(d) => matches!(d.goal, Goal::Stop | Goal::GiveUp | Goal::Fence),
            Self::Idle | Self::Promote(_) | Self::Restart(_) => false,
        }
    }

    /// The permit must not be renewed any more.
    pub(super) fn leaves_at_once(&self) -> bool {
        matches!(
            self,
            Self::Demote(Demote {
                goal: Goal::Fence,
                ..
            })
        )
    }
}

impl Node {
    /// Hands an outcome to the step that waits for it. An outcome that nobody waits for belongs to
    /// something that was given up meanwhile.
    pub(super) fn outcome(&mut self, id: EffectId, outcome: Outcome) {
        if self.forgetting == Some(id) {
            self.forgetting = None;
            // From here on it is the mirror that remembers.
            if let Outcome::Done(_) = outcome {
                self.durable.full_sync = false;
            }
        }
        if self.follow_sent.is_some_and(|(sent, _)| sent == id) {
            if let Outcome::Refused(reason) = outcome {
                self.follow_sent = None;
                self.refused_again = Some(self.now.after(self.config.heartbeat_interval()));
                self.note(alloc::format!("the mirror does not follow: {reason}"));
            }
            return;
        }
        if self.released == Some(id) {
            self.released = None;
            match outcome {
                Outcome::Done(_) => {
                    self.last_released = self.record().map(|r| r.lineage.current);
                    // The last report may be older than the release.
                    if let Some(mirror) = &mut self.mirror {
                        mirror.peer = PeerCopy::Absent;
                        mirror.stalled = false;
                        if let MirrorRole::Serving { gated, .. } = &mut mirror.role {
                            *gated = false;
                        }
                    }
                }
                Outcome::Refused(reason) if self.session_is_older() => {
                    self.note(alloc::format!("the session cannot go on: {reason}"));
                    self.restart_mirror_lost();
                }
                _ => {}
            }
            return;
        }
        match self.activity.clone() {
            Activity::Idle => {}
            Activity::Promote(promote) => self.promote_outcome(promote, id, outcome),
            Activity::Demote(demote) => self.demote_outcome(demote, id, outcome),
            Activity::Restart(restart) => self.restart_outcome(restart, id, outcome),
        }
    }

    /// Does the next step of the activity that waits for a fact or a moment.
    pub(super) fn step(&mut self) {
        match self.activity.clone() {
            Activity::Idle => {}
            Activity::Promote(promote) => self.promote_step(promote),
            Activity::Demote(demote) => self.demote_step(demote),
            Activity::Restart(restart) => self.restart_step(restart),
        }
    }
}
