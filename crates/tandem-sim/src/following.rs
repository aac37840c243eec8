//! The following half of a mirror: applies what it received in order, syncs, and says how far it is.

use crate::clock::{MILLISECOND, nanoseconds};
use crate::mirror::{Frame, Mirror, Operation};
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::world::World;
use tandem_core::{GenerationId, MirrorFault, MirrorRole, NodeId};

impl World {
    /// Applies a batch of what was received.
    pub(crate) fn apply(&mut self, node: NodeId) {
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        mirror.follower.applying = false;
        let many = mirror.follower.queue.len() as u64;
        let batch = self.random.between(1, many.max(1));
        for _ in 0..batch {
            if !self.apply_one(node, true) {
                break;
            }
        }
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        let applied = mirror.follower.applied;
        if !mirror.follower.queue.is_empty() && !mirror.follower.applying {
            mirror.follower.applying = true;
            let scope = Scope::Mirror(node, mirror.incarnation);
            let delay = self.random.between(MILLISECOND / 10, 5 * MILLISECOND);
            self.after(delay, scope, Happening::Apply);
        }
        self.stream_send(
            node,
            Frame::Progress {
                applied,
                synced: None,
            },
        );
    }

    /// Applies all that was received.
    pub(crate) fn apply_all(&mut self, node: NodeId) {
        while self.apply_one(node, false) {}
    }

    fn apply_one(&mut self, node: NodeId, syncs: bool) -> bool {
        let unit = self.settings.unit();
        let stall = nanoseconds(self.settings.stall_limit());
        let host = &mut self.hosts[place(node)];
        let Some(mirror) = host.mirror.as_mut() else {
            return false;
        };
        if mirror.fault.is_some() {
            return false;
        }
        if core::mem::take(&mut host.apply_fault) && !mirror.follower.queue.is_empty() {
            mirror.fault = Some(MirrorFault::Apply("an operation failed".into()));
            mirror.follower.level = false;
            mirror.follower.queue.clear();
            let connection = mirror.connection;
            self.note(node, || "an operation cannot be applied".into());
            if let Some(connection) = connection {
                self.stream_breaks(node, connection);
            }
            return false;
        }
        let Some((sequence, operation)) = mirror.follower.queue.pop_front() else {
            return false;
        };
        mirror.follower.applied = sequence;
        let connection = mirror.connection;
        let scope = Scope::Mirror(node, mirror.incarnation);
        let (piece, level) = match operation {
            Operation::Write { piece, number } => {
                host.volume.write(piece, number);
                return true;
            }
            Operation::CompareEnd => return true,
            Operation::Piece { piece, bits } => {
                let page = &mut host.volume.page.pieces[piece];
                if *page != *bits {
                    *page = bits.as_ref().clone();
                    host.volume.mix();
                }
                host.volume.base = None;
                return true;
            }
            Operation::Sync { piece } => (Some(piece), None),
            Operation::Checkpoint => (None, None),
            Operation::Level { generation } => (None, Some(generation)),
        };
        if let Some(generation) = level {
            self.levelled(node, generation);
        }
        if let (true, Some(connection)) = (syncs, connection) {
            let delay = self
                .random
                .between(MILLISECOND / 2, (unit / 40).min(stall / 2));
            self.after(
                delay,
                scope,
                Happening::FollowerSynced {
                    connection,
                    sequence,
                    piece,
                    level: level.is_some(),
                },
            );
        }
        true
    }

    /// The copy is complete from here on; on disk when its sync ends.
    fn levelled(&mut self, node: NodeId, generation: GenerationId) {
        let host = &mut self.hosts[place(node)];
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        host.volume.label.generation = Some(generation);
        host.volume.label.mixed = false;
        mirror.generation = generation;
    }

    /// A sync of the follower is on disk.
    pub(crate) fn follower_synced(
        &mut self,
        node: NodeId,
        connection: u64,
        sequence: u64,
        piece: Option<usize>,
        level: bool,
    ) {
        let host = &mut self.hosts[place(node)];
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        match piece {
            Some(piece) => host.volume.sync_piece(piece),
            None => {
                host.volume.sync();
                host.volume.position = mirror.follower.applied;
            }
        }
        if mirror.connection != Some(connection) {
            return;
        }
        if level {
            mirror.follower.level = true;
            host.volume.rolled_back = false;
            host.volume.set_back = false;
        }
        let applied = mirror.follower.applied;
        self.stream_send(
            node,
            Frame::Progress {
                applied,
                synced: Some(sequence),
            },
        );
        self.mirror_changed(node);
    }
}

impl Mirror {
    /// Whether it accepts a stream. A volume that was set back is healed by a comparison.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.fault.is_none()
            && self.busy.is_none()
            && matches!(self.role, MirrorRole::Following { .. })
    }
}
