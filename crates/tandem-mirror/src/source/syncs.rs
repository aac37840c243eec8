//! Syncs that wait for their answers, and what each of them waits for.

use super::{
    Answer, Gate, Need, Pending, Phase, QueuedFrame, SessionId, Source, State, SyncTarget, Ticket,
};
use crate::{Durability, sabotage, sys};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use tandem_wire::local::Fault;
use tandem_wire::stream::{self, FrameHeader, Operation, ROOT_OBJECT};

impl Source {
    /// Registers a sync: numbers it where acknowledgements wait for the peer. `answer` is called
    /// when both the caller has reported [`Self::local_done`] and the peer's part is done.
    pub fn begin_sync(&self, target: SyncTarget, answer: Answer) -> Ticket {
        let mut state = self.lock();
        let need = self.need(&mut state, &target);
        self.register(state, target, need, answer)
    }

    /// Registers a sync of something that is not mirrored: the peer has no part in it.
    pub fn begin_sync_alone(&self, volume: u16, answer: Answer) -> Ticket {
        let target = SyncTarget {
            session: SessionId::NONE,
            volume,
            object: ROOT_OBJECT,
            data_only: false,
        };
        self.register(self.lock(), target, Need::Nothing, answer)
    }

    pub(super) fn register(
        &self,
        mut state: MutexGuard<'_, State>,
        target: SyncTarget,
        need: Need,
        answer: Answer,
    ) -> Ticket {
        state.tickets += 1;
        let ticket = Ticket(state.tickets);
        let pending = Pending {
            since: sys::now(),
            local: false,
            need,
            target,
            answer: Some(answer),
        };
        state.pending.insert(ticket, pending);
        ticket
    }

    /// What a sync needs of the peer, sending the request for it.
    pub(super) fn need(&self, state: &mut State, target: &SyncTarget) -> Need {
        if state.gate == Gate::Open || sabotage::early_ack() {
            return Need::Nothing;
        }
        let Some(session) = &state.session else {
            // Cannot be: a shut gate has a session. Waiting is the safe answer.
            return Need::Release;
        };
        match session.phase {
            Phase::Comparing => Need::Release,
            Phase::Expected | Phase::Leveling(_) | Phase::Level => {
                if let Some(number) = state.draining {
                    // Nothing changed since that checkpoint.
                    let done = session.checkpointed >= number;
                    return if done {
                        Need::Nothing
                    } else {
                        Need::Synced(number)
                    };
                }
                let known = target.session == SessionId(session.id);
                let object = if known { target.object } else { ROOT_OBJECT };
                match self.limits.durability {
                    Durability::Disk => {
                        let sync = Operation::Sync {
                            object,
                            data_only: target.data_only,
                        };
                        Need::Synced(self.append_request(state, target.volume, &sync))
                    }
                    // A number of its own, also where nothing changed: that the peer says it
                    // shows that it is there, and the same process as before.
                    Durability::Memory => {
                        let nothing = Operation::Forget {
                            objects: Vec::new(),
                        };
                        Need::Applied(self.append_request(state, target.volume, &nothing))
                    }
                }
            }
        }
    }

    /// Numbers what a sync asks of the peer.
    fn append_request(&self, state: &mut State, volume: u16, request: &Operation) -> u64 {
        state.last += 1;
        let number = state.last;
        let payload = stream::encode(request);
        let session = state.session.as_mut().expect("checked by the caller");
        let header = FrameHeader::operation(self.epoch(), number, volume);
        session.hold(QueuedFrame::new(header, payload));
        if state.link.is_some() {
            self.work.notify_one();
        }
        number
    }

    /// The local part of a sync succeeded.
    pub fn local_done(&self, ticket: Ticket) {
        let mut state = self.lock();
        if let Some(pending) = state.pending.get_mut(&ticket) {
            pending.local = true;
        }
        self.settle(state);
    }

    /// Answers every sync whose conditions are met.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>) {
        let met: Vec<Ticket> = state
            .pending
            .iter()
            .filter(|(_, pending)| pending.local && pending.need == Need::Nothing)
            .map(|(ticket, _)| *ticket)
            .collect();
        if met.is_empty() {
            return;
        }
        state.finished = sys::now();
        let answers: Vec<Answer> = met
            .iter()
            .filter_map(|ticket| state.pending.remove(ticket)?.answer)
            .collect();
        drop(state);
        for answer in answers {
            answer();
        }
    }

    /// A local write or sync failed: this copy is lost. What waits goes on waiting, and no further
    /// mutation is accepted: the page cache lies after a failed sync.
    pub fn fail(&self, fault: Fault) {
        self.faulty.store(true, Ordering::SeqCst);
        let mut state = self.lock();
        let first = state.fault.is_none();
        if first {
            state.fault = Some(fault.clone());
        }
        drop(state);
        (self.changed)();
        if first {
            // Last: the log may lie on the same disk.
            tracing::error!(?fault, "this copy is lost: no write is accepted any more");
        }
    }
}
