//! What services, checkers, links and the gateway report, and what follows from it: the budget of
//! restarts in place, one failover for one cause, the reasons to WAIT.
//!
//! Budget and causes are on disk with the record: a daemon or a machine that restarts has not
//! earned a new budget. An operator's command clears them.

use super::Node;
use super::activity::{Activity, Goal};
use crate::effect::Effect;
use crate::event::{CheckerAction, ServiceFailure};
use crate::ids::CheckerId;
use crate::record::{InSync, Move};
use crate::table::State;
use crate::time::Instant;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// The longest pause before an application is started again whose budget is spent and that no other
/// node can take.
const SPENT_PAUSE_MAX: Duration = Duration::from_secs(300);
/// The causes of failovers that are remembered: more checkers than a module has.
const MOVES_MAX: usize = 64;

/// The restarts that are remembered beyond the budget: as many as make the pause grow.
const RESTARTS_OVER_MAX: usize = 10;

/// What was reported, with its reason, and has a consequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    failure: ServiceFailure,
    /// `None`: restart in place.
    action: Option<CheckerAction>,
}

impl Node {
    /// A service is down by itself, or a checker says so.
    pub(super) fn service_down(&mut self, failure: ServiceFailure) {
        let action = None;
        self.judge(Verdict { failure, action });
    }

    /// A checker with an action of its own is down.
    pub(super) fn checker_down(&mut self, failure: ServiceFailure, action: CheckerAction) {
        let action = Some(action);
        self.judge(Verdict { failure, action });
    }

    /// A checker is up again: what waited for it goes on.
    pub(super) fn checker_up(&mut self, name: &str) {
        if self.held.as_ref().is_some_and(|held| held.name == name) {
            self.held = None;
            self.note(format!("checker {name} is up again"));
        }
        let suspended = self.suspended.as_ref();
        if suspended.is_some_and(|verdict| verdict.failure.name == name) {
            self.suspended = None;
        }
    }

    /// Error detection goes on: what was reported meanwhile and still holds has its consequence.
    pub(super) fn resume_verdicts(&mut self) {
        if let Some(verdict) = self.suspended.take() {
            self.judge(verdict);
        }
    }

    /// Error detection rests: what this node waits for is only remembered.
    pub(super) fn suspend_held(&mut self) {
        if let Some(failure) = self.held.take() {
            let action = Some(CheckerAction::Wait);
            self.suspended = Some(Verdict { failure, action });
        }
    }

    fn judge(&mut self, verdict: Verdict) {
        let (name, reason) = (&verdict.failure.name, &verdict.failure.reason);
        let sentence = format!("{name} is down: {reason}");
        if !self.durable.switches.checkers {
            self.note(format!("{sentence}; error detection is switched off here"));
            self.suspended = Some(verdict);
            return;
        }
        if verdict.action == Some(CheckerAction::Wait) {
            self.note(sentence);
            self.held = Some(verdict.failure);
            return;
        }
        if !self.state.serves() || self.activity != Activity::Idle || !self.services_ready {
            return;
        }
        self.note(sentence.clone());
        match verdict.action {
            None => self.restart_for(verdict.failure),
            Some(CheckerAction::Stop) => {
                self.durable.wanted = crate::record::Wanted::Stopped;
                self.demote(Goal::Stop, sentence);
            }
            Some(CheckerAction::Swap) => self.move_for(verdict.failure, Goal::Swap),
            Some(CheckerAction::StopStart) => self.move_for(verdict.failure, Goal::Rejoin),
            Some(CheckerAction::Wait) => {}
        }
    }

    fn restart_for(&mut self, failure: ServiceFailure) {
        let detail = format!("{} is down: {}", failure.name, failure.reason);
        if failure.requested && !failure.hopeless {
            self.restart_in_place(detail);
            return;
        }
        if self.give_up_or_go_on(&failure) {
            return;
        }
        self.count_restart();
        self.last_failure = Some(failure);
        self.restart_in_place(detail);
    }

    /// Gives the service to the other node for a cause, once within the window on either node. If
    /// it comes back for the same cause, moving does not help: both stop, and are equal. If it came
    /// back because the other node could not serve, this one goes on as it can.
    fn move_for(&mut self, failure: ServiceFailure, goal: Goal) {
        let id = CheckerId::of(&failure.name);
        if !self.peer_can_take() {
            if self.state == State::Prim || goal == Goal::Swap {
                self.effects.push_back(Effect::Alarm(format!(
                    "{} is down ({}) and no other node can take over",
                    failure.name, failure.reason
                )));
            }
            if goal == Goal::Rejoin {
                self.restart_for(failure);
            }
            return;
        }
        let theirs = self.contact.latest().and_then(|m| m.moved_for);
        let detail = format!("{} is down: {}", failure.name, failure.reason);
        let returned = |m: &Move| m.checker == id && m.returned;
        if self.newest_move().is_some_and(returned) {
            self.effects.push_back(Effect::Alarm(format!(
                "{detail}; the other node could not serve, so this one goes on"
            )));
            return;
        }
        if self.moved_for() == Some(id) || theirs == Some(id) {
            self.effects.push_back(Effect::Alarm(format!(
                "{detail}; the other node gave the service away for the same cause: both stop"
            )));
            self.durable.wanted = crate::record::Wanted::Stopped;
            self.demote(Goal::StopModule, detail);
            return;
        }
        if self.durable.moves.len() == MOVES_MAX {
            self.durable.moves.remove(0);
        }
        self.durable.moves.push(Move {
            checker: id,
            at: self.now,
            returned: false,
        });
        self.demote(goal, detail);
    }

    /// The newest cause within the window for which this node gave the service away.
    pub(super) fn moved_for(&self) -> Option<CheckerId> {
        self.newest_move().map(|newest| newest.checker)
    }

    fn newest_move(&self) -> Option<&Move> {
        let recent = |m: &&Move| self.now.since(m.at) < self.config.restart_window;
        self.durable.moves.last().filter(recent)
    }

    /// The service that was given away comes back, or did not leave.
    pub(super) fn move_returned(&mut self) {
        if let Some(newest) = self.durable.moves.last_mut() {
            newest.returned = true;
        }
    }

    /// Gives the application up to the peer if it cannot be kept here and the peer can take it.
    pub(super) fn give_up_or_go_on(&mut self, failure: &ServiceFailure) -> bool {
        if !failure.hopeless && !self.budget_spent() {
            return false;
        }
        if !self.peer_can_take() {
            self.effects.push_back(Effect::Alarm(format!(
                "{} does not run ({}) and no other node can take over; it is tried again",
                failure.name, failure.reason
            )));
            return false;
        }
        let why = if failure.hopeless {
            "cannot run"
        } else {
            "failed too often"
        };
        self.demote(
            Goal::GiveUp,
            format!("{} {why} on this node: {}", failure.name, failure.reason),
        );
        true
    }

    /// A start that failed is a restart that did not help. Returns whether the application was given
    /// up for it.
    pub(super) fn start_spends_budget(&mut self, failure: &ServiceFailure) -> bool {
        self.count_restart();
        self.last_failure = Some(failure.clone());
        self.give_up_or_go_on(failure)
    }

    /// The application waits to be tried again, and another node can take it now.
    pub(super) fn hand_over_at_last(&mut self) -> bool {
        let Some(failure) = self.last_failure.clone() else {
            return false;
        };
        self.peer_can_take() && self.give_up_or_go_on(&failure)
    }

    pub(super) fn peer_can_take(&self) -> bool {
        self.state == State::Prim
            && self.record().is_some_and(|r| r.insync == InSync::Both)
            && self.peer_level()
            && !self.peer_silent()
            && self.durable.switches.failover
    }

    /// One restart more of the budget is used up.
    fn count_restart(&mut self) {
        let most = usize::from(self.config.restart_budget) + RESTARTS_OVER_MAX;
        let restarts = &mut self.durable.restarts;
        if restarts.len() >= most {
            restarts.remove(0);
        }
        restarts.push(self.now);
    }

    /// The machine has booted, and its clock began anew: what was counted counts from now.
    pub(super) fn count_from_boot(&mut self) {
        self.durable.restarts.fill(self.now);
        for cause in &mut self.durable.moves {
            cause.at = self.now;
        }
    }

    /// The restarts in place within the window.
    pub(super) fn restarts_used(&self) -> usize {
        let window = self.config.restart_window;
        let recent = |at: &&Instant| self.now.since(**at) < window;
        self.durable.restarts.iter().filter(recent).count()
    }

    fn budget_spent(&self) -> bool {
        self.restarts_used() >= usize::from(self.config.restart_budget)
    }

    /// How long to wait before the next start: not at all within the budget; then 1 s, doubled with
    /// each further failure.
    pub(super) fn pause_of_spent_budget(&self) -> Option<Duration> {
        let used = self.restarts_used();
        let over = used.checked_sub(usize::from(self.config.restart_budget) + 1)?;
        Some(Duration::from_secs(1 << over.min(9)).min(SPENT_PAUSE_MAX))
    }

    /// The gateway says nothing either: a silent peer may be alive. Forbids to begin to serve.
    pub(super) fn may_be_cut_off(&self) -> bool {
        self.gateway_lost && !mutated!(self.config, TakeOverWithoutGateway)
    }

    /// All own links have lost their carrier: this node is the one that is cut off.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated && !mutated!(self.config, ServeIsolated)
    }

    /// Why this node may not serve, as far as its surroundings say so.
    pub(super) fn held_back(&self) -> Option<(String, &'static str)> {
        if self.is_isolated() {
            return Some((
                "isolated: none of this node's own links has a carrier".into(),
                "look at its cables and switches; it goes on by itself",
            ));
        }
        self.held.as_ref().map(|held| {
            (
                format!("checker {} is down: {}", held.name, held.reason),
                "repair what it checks; this node goes on by itself",
            )
        })
    }
}
