//! Operators' commands: checked, begun, and answered when they are done.

use super::Node;
use super::activity::{Activity, Goal};
use crate::effect::{Answer, Effect};
use crate::event::{Command, Switch};
use crate::ids::CommandId;
use crate::record::{InSync, Wanted};
use crate::table::{Cause, State};
use alloc::format;
use alloc::string::{String, ToString};

/// What is said of a copy of which nothing is believed any more.
const FULL_SYNC: &str = "all of this copy is compared with the primary's; until that is done, this \
                         node cannot take over";

/// A command that was begun and is not answered yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    id: CommandId,
    until: Expectation,
    told: String,
}

/// What a command waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expectation {
    /// STOP.
    Stopped,
    /// Any role, ready.
    Running,
    /// Serving, ready.
    Serving,
    /// Standby.
    Standby,
    /// Standby, with a mirror that believes nothing of its copy.
    Forgotten,
    /// The other role than the one at the start.
    Swapped(State),
}

impl Node {
    pub(super) fn commanded(&mut self, id: CommandId, command: Command) {
        if self.switch(command) {
            self.note(format!("an operator's command: {}", word(command)));
            self.switched.push(id);
            return;
        }
        let verdict = self.begin_command(command);
        match verdict {
            Ok(until) => {
                if let Some(old) = self.pending.take() {
                    self.effects.push_back(Effect::Answer {
                        id: old.id,
                        answer: Answer::Failed("another command came after it".to_string()),
                    });
                }
                self.note(format!("an operator's command: {}", word(command)));
                self.pending = Some(Pending {
                    id,
                    until,
                    told: String::new(),
                });
            }
            Err(answer) => self.effects.push_back(Effect::Answer { id, answer }),
        }
    }

    /// Switches, if that is the command. It disturbs no other one, and is answered once it is on
    /// disk.
    fn switch(&mut self, command: Command) -> bool {
        let switches = &mut self.durable.switches;
        match command {
            Command::Failover(switch) => switches.failover = switch == Switch::On,
            Command::BootStart(switch) => switches.boot_start = switch == Switch::On,
            Command::Checkers(switch) => {
                switches.checkers = switch == Switch::On;
                if switches.checkers {
                    self.resume_verdicts();
                } else {
                    self.suspend_held();
                }
            }
            Command::Start
            | Command::Stop
            | Command::StopModule
            | Command::Restart
            | Command::StopStart
            | Command::Swap
            | Command::Prim
            | Command::PrimForce
            | Command::Second
            | Command::SecondFullSync => return false,
        }
        true
    }

    fn begin_command(&mut self, command: Command) -> Result<Expectation, Answer> {
        let refused = |reason: &str| Err(Answer::Refused(reason.to_string()));
        let done = |what: &str| Err(Answer::Done(what.to_string()));
        let running = matches!(self.state, State::Alone | State::Prim | State::Second);
        match command {
            Command::Start => {
                if running && self.durable.wanted == Wanted::Running {
                    return done("already running");
                }
                self.operator_resets();
                self.durable.wanted = Wanted::Running;
                Ok(Expectation::Running)
            }
            Command::Stop | Command::StopModule => {
                if self.state == State::Stop && self.activity == Activity::Idle {
                    self.durable.wanted = Wanted::Stopped;
                    return done("already stopped");
                }
                self.operator_resets();
                self.stop_whole = command == Command::StopModule;
                self.durable.wanted = Wanted::Stopped;
                Ok(Expectation::Stopped)
            }
            Command::Restart => {
                if !self.state.serves() {
                    return refused("no service runs on this node");
                }
                if self.activity != Activity::Idle {
                    return Err(self.busy());
                }
                self.operator_resets();
                self.restart_in_place("an operator asked for it".to_string());
                Ok(Expectation::Serving)
            }
            Command::StopStart => self.begin_stopstart(),
            Command::Swap => self.begin_swap(),
            Command::Prim => self.begin_prim(),
            Command::PrimForce => self.begin_force(),
            Command::Second => self.begin_second(),
            Command::SecondFullSync => self.begin_full_sync(),
            Command::Failover(_) | Command::Checkers(_) | Command::BootStart(_) => {
                Err(Answer::Done("switched".to_string()))
            }
        }
    }

    fn busy(&self) -> Answer {
        Answer::Refused(format!("this node is busy ({}): ask again", self.reason))
    }

    fn operator_resets(&mut self) {
        self.durable.restarts.clear();
        self.durable.moves.clear();
        self.last_failure = None;
        self.failures = 0;
        self.leaving = None;
        self.stop_whole = false;
        // Whoever gives orders knows that the machine does not go down after all.
        self.shutting_down = false;
        self.licence_ended = false;
    }

    fn begin_stopstart(&mut self) -> Result<Expectation, Answer> {
        if self.state == State::Stop {
            return Err(Answer::Refused(
                "this node is stopped: start it".to_string(),
            ));
        }
        if self.activity != Activity::Idle {
            return Err(self.busy());
        }
        self.operator_resets();
        let detail = "an operator asked for it".to_string();
        if !self.state.serves() {
            self.standby_ready = false;
            self.go(Cause::StopStart, &detail);
        }
        self.demote(Goal::Rejoin, detail);
        Ok(Expectation::Running)
    }

    fn begin_swap(&mut self) -> Result<Expectation, Answer> {
        match self.state {
            State::Prim | State::Alone => {
                self.can_swap().map_err(Answer::Refused)?;
                self.operator_resets();
                self.demote(Goal::Swap, "an operator asked for it".to_string());
                Ok(Expectation::Swapped(State::Prim))
            }
            State::Second if self.standby_ready => {
                self.swap_wanted = Some(self.now);
                self.send_now = true;
                Ok(Expectation::Swapped(State::Second))
            }
            State::Second => Err(Answer::Refused(
                "this node is not uptodate; nothing to swap".to_string(),
            )),
            State::Stop | State::Wait => {
                Err(Answer::Refused("this node has no role to swap".to_string()))
            }
        }
    }

    fn begin_prim(&mut self) -> Result<Expectation, Answer> {
        let refused = |reason: &str| Err(Answer::Refused(reason.to_string()));
        match self.state {
            State::Alone | State::Prim => return Err(Answer::Done("already serving".to_string())),
            State::Second => return refused("this node is a standby: use swap"),
            State::Stop | State::Wait => {}
        }
        let silent = self.peer_silent();
        if !silent && self.contact.latest().is_some_and(|m| m.state.serves()) {
            return refused("the other node serves: use swap, or stop it first");
        }
        if self.service_offered() {
            return refused(
                "the service was given to the other node, which has not said whether it took it: \
                 start it there; or use --force, if the other node is lost for good",
            );
        }
        match self
            .record()
            .map(|r| (r.insync, r.insync.contains(self.config.node)))
        {
            None if silent => {
                return refused(
                    "neither node has a record and the other one is not heard: start Tandem \
                     there, or use --force",
                );
            }
            None if self.contact.latest().is_some_and(|m| m.record.is_some()) => {
                return refused(
                    "the other node knows which data is good and this one does not: start it \
                     there, or second here",
                );
            }
            Some((_, false)) => {
                return refused(
                    "the other node has newer data: start it; or use --force, if it is lost for \
                     good",
                );
            }
            Some((InSync::Both, true)) if silent => {
                return refused(
                    "the other node is silent and may have gone on alone: its newer writes \
                     would be lost; use --force if it is off",
                );
            }
            None | Some(_) => {}
        }
        if self.divergence.is_some() && !self.divergence_won() {
            return refused("both nodes have data that the other one lacks: use prim --force");
        }
        self.operator_resets();
        self.prefer_me = true;
        self.durable.wanted = Wanted::Running;
        Ok(Expectation::Serving)
    }

    fn begin_force(&mut self) -> Result<Expectation, Answer> {
        let refused = |reason: &str| Err(Answer::Refused(reason.to_string()));
        if self.state.serves() {
            return Err(Answer::Done("already serving".to_string()));
        }
        if !self.peer_silent() && self.contact.latest().is_some_and(|m| m.state.serves()) {
            return refused("the other node serves: stop it first");
        }
        if self.activity != Activity::Idle {
            return Err(self.busy());
        }
        if self.writing.is_some() {
            return refused("this node is writing its state: ask again");
        }
        self.operator_resets();
        self.force_record();
        self.divergence = None;
        self.durable.wanted = Wanted::Running;
        self.effects.push_back(Effect::Decided {
            row: None,
            because: "an operator forced this node to serve what it has; what only the other \
                      node has is not served"
                .to_string(),
        });
        if self.state == State::Second {
            self.standby_ready = false;
            self.go(Cause::StandbyUnusable, "forced to serve");
            self.demote(Goal::Rejoin, "forced to serve".to_string());
        }
        self.prefer_me = true;
        Ok(Expectation::Serving)
    }

    fn begin_second(&mut self) -> Result<Expectation, Answer> {
        let refused = |reason: &str| Err(Answer::Refused(reason.to_string()));
        match self.state {
            State::Second => return Err(Answer::Done("already standby".to_string())),
            State::Alone | State::Prim => {
                return refused("this node serves: use swap, or stop");
            }
            State::Stop | State::Wait => {}
        }
        if self.peer_silent() || !self.contact.latest().is_some_and(|m| m.state.serves()) {
            return refused("there is no primary to follow");
        }
        if self.divergence.is_some() {
            if self.writing.is_some() || !self.give_up_line() {
                return refused("the other node's record cannot be taken over now: ask again");
            }
            self.note("an operator gave up this node's side of the divergence".to_string());
        }
        self.operator_resets();
        self.durable.wanted = Wanted::Running;
        Ok(Expectation::Standby)
    }

    /// A standby leaves its role first: what it is asked to forget, its primary relies on.
    fn begin_full_sync(&mut self) -> Result<Expectation, Answer> {
        let follows = self.state == State::Second;
        if !follows {
            self.begin_second()?;
        } else if self.peer_silent() || !self.contact.latest().is_some_and(|m| m.state.serves()) {
            let reason = "there is no primary to compare with".to_string();
            return Err(Answer::Refused(reason));
        } else if self.activity != Activity::Idle {
            return Err(self.busy());
        } else {
            self.operator_resets();
            self.durable.wanted = Wanted::Running;
        }
        self.durable.full_sync = true;
        // A mirror that is forgetting already does so for an earlier command.
        self.forgetting = None;
        if follows {
            self.standby_ready = false;
            self.go(Cause::StopStart, FULL_SYNC);
            self.demote(Goal::Rejoin, FULL_SYNC.to_string());
        } else {
            self.note(FULL_SYNC.to_string());
        }
        Ok(Expectation::Forgotten)
    }

    /// This node serves: there is nothing left that its copy could be compared with.
    pub(super) fn drop_full_sync(&mut self) {
        let dropped = core::mem::take(&mut self.durable.full_sync);
        let until = self.pending.as_ref().map(|pending| pending.until);
        if dropped && until == Some(Expectation::Forgotten) {
            self.fail_pending("this node serves now");
        }
    }

    /// Answers the command that waits, or tells how far it is.
    pub(super) fn answer_pending(&mut self) {
        if self.disk.switches == self.durable.switches {
            for id in core::mem::take(&mut self.switched) {
                let answer = Answer::Done("switched".to_string());
                self.effects.push_back(Effect::Answer { id, answer });
            }
        }
        let expired = self
            .swap_wanted
            .is_some_and(|at| self.now.since(at) > self.swap_patience());
        if expired {
            self.swap_wanted = None;
        }
        let Some(mut pending) = self.pending.take() else {
            return;
        };
        let idle = self.activity == Activity::Idle;
        let serving = self.state.serves() && self.services_ready;
        let settled = idle && self.settled();
        let reached = match pending.until {
            Expectation::Stopped => self.state == State::Stop && settled,
            Expectation::Running => settled && (serving || self.state == State::Second),
            Expectation::Serving => serving && settled,
            Expectation::Standby => self.state == State::Second && settled,
            Expectation::Forgotten => {
                self.state == State::Second && settled && !self.durable.full_sync
            }
            Expectation::Swapped(State::Second) => serving && settled,
            Expectation::Swapped(_) => {
                self.state == State::Second
                    && !self.peer_silent()
                    && self
                        .contact
                        .latest()
                        .is_some_and(|m| m.state.serves() && m.tone == crate::view::Tone::Ready)
            }
        };
        if reached {
            let mut done = format!("{}: {}", self.config.node, self.state);
            if pending.until == Expectation::Forgotten {
                done = format!("{done}; {FULL_SYNC}");
            }
            let answer = Answer::Done(done);
            self.effects.push_back(Effect::Answer {
                id: pending.id,
                answer,
            });
            return;
        }
        if expired && self.state == State::Second {
            let answer = Answer::Failed("the primary did not take up the swap in time".to_string());
            self.effects.push_back(Effect::Answer {
                id: pending.id,
                answer,
            });
            return;
        }
        if pending.told != self.reason {
            pending.told.clone_from(&self.reason);
            let answer = Answer::Progress(self.reason.clone());
            self.effects.push_back(Effect::Answer {
                id: pending.id,
                answer,
            });
        }
        self.pending = Some(pending);
    }

    /// How long a standby asks the primary for a swap.
    fn swap_patience(&self) -> core::time::Duration {
        self.config.service_limit + self.config.takeover_after
    }

    /// The command that waits has failed.
    pub(super) fn fail_pending(&mut self, reason: &str) {
        if let Some(pending) = self.pending.take() {
            let answer = Answer::Failed(reason.to_string());
            self.effects.push_back(Effect::Answer {
                id: pending.id,
                answer,
            });
        }
    }
}

const fn word(command: Command) -> &'static str {
    match command {
        Command::Start => "start",
        Command::Stop => "stop",
        Command::StopModule => "stop of the whole module",
        Command::Restart => "restart",
        Command::StopStart => "stopstart",
        Command::Swap => "swap",
        Command::Prim => "prim",
        Command::PrimForce => "prim --force",
        Command::Second => "second",
        Command::SecondFullSync => "second --full-sync",
        Command::Failover(Switch::On) => "failover on",
        Command::Failover(Switch::Off) => "failover off",
        Command::Checkers(Switch::On) => "checkers on",
        Command::Checkers(Switch::Off) => "checkers off",
        Command::BootStart(Switch::On) => "boot on",
        Command::BootStart(Switch::Off) => "boot off",
    }
}
