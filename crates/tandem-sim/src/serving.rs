//! The serving half of a mirror towards the application: writes, syncs, and their answers.

use crate::clock::MILLISECOND;
use crate::mirror::{Operation, Session, Waiting};
use crate::mutation::Chosen;
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::world::World;
use std::rc::Rc;
use tandem_core::{MirrorFault, NodeId, PeerCopy};

impl World {
    /// The application writes. False if it has to wait.
    pub(crate) fn mirror_write(&mut self, node: NodeId, piece: usize) -> bool {
        let local = self.hosts[place(node)].clock.local(self.now);
        let limit = 4;
        let Some(mirror) = self.mirror_mut(node) else {
            return false;
        };
        let accepts = mirror.permitted(local)
            && !mirror.paused
            && mirror.fault.is_none()
            && !mirror.source.refusing
            && mirror.source.waiting.len() < limit;
        if !accepts {
            return false;
        }
        self.writes += 1;
        let number = self.writes;
        self.hosts[place(node)].volume.write(piece, number);
        let unlocked = self.settings.mirror_mutated(Chosen::CompareWithoutLock);
        let sends = self.mirror(node).is_some_and(|m| match m.source.session {
            // From a clean start on, the numbers alone tell what the follower lacks.
            Session::None | Session::Hello => {
                m.source.level_with.is_some() || m.gated() || m.source.base.is_some()
            }
            Session::Compare { next } => piece < next || (unlocked && piece == next),
            Session::Ending(_) | Session::Levelling(_) | Session::Live => true,
        });
        if sends {
            self.number(node, Operation::Write { piece, number });
        }
        true
    }

    /// The application asks for a piece to be durable.
    pub(crate) fn mirror_sync(&mut self, node: NodeId, piece: usize) {
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(self.now);
        let snapshot = Rc::new(host.volume.page.pieces[piece].clone());
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        mirror.token += 1;
        let (token, gated) = (mirror.token, mirror.gated());
        let scope = Scope::Mirror(node, mirror.incarnation);
        mirror.source.waiting.push(Waiting {
            token,
            piece,
            snapshot,
            sequence: None,
            local: false,
            synced: false,
            peer: false,
            since: local,
        });
        if gated {
            let sequence = self.number(node, Operation::Sync { piece });
            if let Some(waiting) = self
                .mirror_mut(node)
                .and_then(|m| m.source.waiting.iter_mut().find(|w| w.token == token))
            {
                waiting.sequence = Some(sequence);
            }
        }
        let unit = self.settings.unit();
        let delay = self.random.between(MILLISECOND / 2, unit / 50);
        self.after(delay, scope, Happening::LocalSynced(token));
    }

    /// The local disk has it.
    pub(crate) fn local_synced(&mut self, node: NodeId, token: u64) {
        let host = &mut self.hosts[place(node)];
        let failed = core::mem::take(&mut host.local_fault);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        if mirror.serving().is_none() || mirror.fault.is_some() {
            return;
        }
        let Some(waiting) = mirror.source.waiting.iter_mut().find(|w| w.token == token) else {
            return;
        };
        if failed {
            mirror.fault = Some(MirrorFault::LocalDisk("a sync failed".into()));
            self.note(node, || "the local disk fails".into());
            return self.mirror_changed(node);
        }
        waiting.local = true;
        let piece = waiting.piece;
        host.volume.sync_piece(piece);
        self.reply(node);
    }

    /// Answers what may be answered: on disk where it has to be, and with a permit.
    pub(crate) fn reply(&mut self, node: NodeId) {
        let early = self.settings.mirror_mutated(Chosen::EarlyAck);
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(self.now);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        let gated = mirror.gated();
        let ready = |w: &Waiting| w.local && (!gated || w.peer || early);
        if mirror.fault.is_some()
            || !mirror.source.waiting.iter().any(ready)
            || !mirror.permitted(local)
        {
            return;
        }
        let (answered, waiting) = core::mem::take(&mut mirror.source.waiting)
            .into_iter()
            .partition(ready);
        mirror.source.waiting = waiting;
        let drained = mirror.source.waiting.is_empty();
        let answered: Vec<Waiting> = answered;
        for request in answered {
            self.acknowledged(node, request.piece, &request.snapshot, gated);
        }
        if drained {
            self.drain_progresses(node, None);
        }
    }

    /// A drain ends when its checkpoint is on the other disk and nothing waits.
    pub(crate) fn drain_progresses(&mut self, node: NodeId, synced: Option<u64>) {
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        let Some((id, checkpoint, _)) = mirror.source.drain else {
            return;
        };
        if synced == Some(checkpoint) {
            mirror.source.drained = Some(checkpoint);
        }
        if mirror.source.drained == Some(checkpoint) && mirror.source.waiting.is_empty() {
            mirror.source.drain = None;
            mirror.busy = None;
            self.command_done(node, id, checkpoint);
            self.next_command(node);
        }
    }

    /// Whether both copies show the peer as level and everything was applied.
    pub(crate) fn settled_stream(&self, source: NodeId) -> bool {
        let (Some(from), Some(to)) = (self.mirror(source), self.mirror(source.peer())) else {
            return false;
        };
        from.peer_copy() == PeerCopy::Level
            && from.connection == to.connection
            && to.listens()
            && to.follower.level
            && to.follower.stream == from.incarnation
            && to.follower.applied == from.source.position
            && to.follower.queue.is_empty()
    }
}
