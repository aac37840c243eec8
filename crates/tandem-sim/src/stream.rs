//! The data stream between two mirrors: handshake, replay or comparison, numbered operations, and
//! the follower that applies them in order.

use crate::clock::MILLISECOND;
use crate::mirror::{Frame, Operation, Session, Start};
use crate::mutation::Chosen;
use crate::network::{BACKLOG_MAX, place};
use crate::queue::{Happening, Scope};
use crate::world::World;
use std::rc::Rc;
use tandem_core::{ChannelId, Epoch, Event, MirrorRole, NodeId};

impl World {
    /// Sends a frame on the connection that the mirror has.
    pub(crate) fn stream_send(&mut self, node: NodeId, frame: Frame) {
        let peer = node.peer();
        let Some(mine) = self.mirror(node).and_then(|m| m.connection) else {
            return;
        };
        let Some(connection) = self.stream.as_mut().filter(|c| c.id == mine) else {
            return;
        };
        let waits = !connection.backlog[place(node)].is_empty();
        let at = if waits {
            None
        } else {
            self.wires.frame(
                connection,
                ChannelId::Stream,
                node,
                self.now,
                &mut self.random,
            )
        };
        let Some(at) = at else {
            if connection.backlog[place(node)].len() < BACKLOG_MAX {
                connection.backlog[place(node)].push_back(frame);
            }
            return;
        };
        if let Some(mirror) = self.mirror(peer) {
            let scope = Scope::Mirror(peer, mirror.incarnation);
            self.queue
                .push(at, scope, Happening::StreamFrame(mine, Box::new(frame)));
        }
    }

    /// This end of the connection is gone; the other one is told, if it can be.
    pub(crate) fn stream_breaks(&mut self, node: NodeId, connection: u64) {
        let peer = node.peer();
        self.session_lost(node);
        if self.stream.as_ref().is_some_and(|c| c.id == connection) {
            let open = self.wires.open(ChannelId::Stream, node);
            if let (true, Some(mirror)) = (open, self.mirror(peer)) {
                let scope = Scope::Mirror(peer, mirror.incarnation);
                self.after(2 * MILLISECOND, scope, Happening::StreamClosed(connection));
            }
            self.stream = None;
        }
        self.mirror_changed(node);
    }

    /// The other end is gone.
    pub(crate) fn stream_closed(&mut self, node: NodeId, connection: u64) {
        if let Some(mirror) = self.mirror_mut(node)
            && mirror.connection == Some(connection)
        {
            self.session_lost(node);
            self.mirror_changed(node);
        }
    }

    fn session_lost(&mut self, node: NodeId) {
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        mirror.connection = None;
        mirror.source.session = Session::None;
        if core::mem::take(&mut mirror.source.provisional) {
            if let MirrorRole::Serving { gated, .. } = &mut mirror.role {
                *gated = false;
            }
            self.reply(node);
        }
    }

    /// Connects, pings, and gives a silent connection up.
    pub(crate) fn stream_tick(&mut self, node: NodeId) {
        let now = self.now;
        let limit = self.settings.stall_limit();
        let host = &self.hosts[place(node)];
        let local = host.clock.local(now);
        let Some(mirror) = host.mirror.as_ref() else {
            return;
        };
        let serves = mirror.serving().is_some();
        let heard = if serves {
            mirror.source.heard.max(mirror.source.connected)
        } else {
            mirror.follower.heard
        };
        match mirror.connection {
            Some(connection) if local.since(heard) > limit * 3 => {
                self.stream_breaks(node, connection);
            }
            Some(_) if serves => self.stream_send(node, Frame::Ping),
            Some(_) => {}
            None if serves && mirror.source.retry <= now => self.stream_connect(node),
            None => {}
        }
    }

    fn stream_connect(&mut self, node: NodeId) {
        let peer = node.peer();
        let host = &self.hosts[place(peer)];
        let listens = host.up
            && !host.paused
            && host
                .mirror
                .as_ref()
                .is_some_and(|m| !m.paused && m.listens());
        let reachable = self.wires.open_both(ChannelId::Stream);
        let now = self.now;
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        mirror.source.retry = now + 200 * MILLISECOND;
        let Some(epoch) = mirror.serving().filter(|_| listens && reachable) else {
            return;
        };
        let local = self.hosts[place(node)].clock.local(now);
        if let Some(old) = self.stream.take() {
            // The earlier connection was given up by this end only; the follower learns it now.
            if let Some(mirror) = self.mirror(peer) {
                let scope = Scope::Mirror(peer, mirror.incarnation);
                self.after(MILLISECOND / 10, scope, Happening::StreamClosed(old.id));
            }
        }
        let connection = self.wires.connect();
        let id = connection.id;
        self.stream = Some(connection);
        if let Some(mirror) = self.mirror_mut(node) {
            mirror.connection = Some(id);
            mirror.source.session = Session::Hello;
            // For the connection's own time-out only: a stall goes on.
            mirror.source.connected = local;
        }
        self.stream_send(node, Frame::Hello { epoch });
    }

    /// A frame arrives.
    pub(crate) fn stream_frame(&mut self, node: NodeId, connection: u64, frame: Frame) {
        let local = self.hosts[place(node)].clock.local(self.now);
        if let Frame::Hello { epoch } = frame {
            return self.hello(node, connection, epoch);
        }
        // What the source had not handed to the network when its session ended is lost.
        let ended = self.stream.as_ref().is_none_or(|c| c.id != connection);
        if ended && matches!(frame, Frame::Operation(..)) {
            return;
        }
        let host = &mut self.hosts[place(node)];
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        if mirror.connection != Some(connection) {
            return;
        }
        if mirror.serving().is_some() {
            mirror.source.heard = local;
        } else {
            mirror.follower.heard = local;
        }
        match frame {
            Frame::Hello { .. } => {}
            Frame::Accept {
                incarnation,
                stream,
                received,
                level,
                base,
            } => self.begin(node, incarnation, (stream, received, level), base),
            Frame::Refuse => self.stream_breaks(node, connection),
            Frame::Begin {
                start,
                stream,
                position,
            } => {
                // From here on the copy follows another stream than the one that ended.
                host.volume.base = None;
                let follower = &mut mirror.follower;
                follower.stream = stream;
                match start {
                    Start::Replay => {}
                    Start::Clean => {
                        follower.received = position;
                        follower.applied = position;
                        follower.level = false;
                    }
                    Start::Compare => {
                        follower.received = position;
                        follower.applied = position;
                        follower.queue.clear();
                        follower.level = false;
                    }
                }
                self.mirror_changed(node);
            }
            Frame::Operation(sequence, operation) => {
                mirror.follower.received = sequence;
                mirror.follower.queue.push_back((sequence, operation));
                if !mirror.follower.applying {
                    mirror.follower.applying = true;
                    let scope = Scope::Mirror(node, mirror.incarnation);
                    let delay = self.random.between(MILLISECOND / 10, 5 * MILLISECOND);
                    self.after(delay, scope, Happening::Apply);
                }
            }
            Frame::Progress { applied, synced } => self.progress(node, applied, synced),
            Frame::Ping => self.stream_send(node, Frame::Pong),
            Frame::Pong => {}
            Frame::Gossip(message) => {
                let message = Event::Received {
                    channel: ChannelId::Stream,
                    message: Box::new(message.as_ref().clone()),
                };
                self.tell_daemon(node, Happening::Outcome(Box::new(message)));
            }
        }
    }

    fn hello(&mut self, node: NodeId, connection: u64, epoch: Epoch) {
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(self.now);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        let listens = mirror.listens();
        let MirrorRole::Following { epoch: mine } = mirror.role else {
            return self.refuse_connection(node, connection);
        };
        if epoch.0 < host.volume.epoch || epoch < mine || !listens {
            return self.refuse_connection(node, connection);
        }
        mirror.connection = Some(connection);
        mirror.follower.heard = local;
        host.volume.epoch = epoch.0;
        let accept = Frame::Accept {
            incarnation: mirror.incarnation,
            stream: mirror.follower.stream,
            received: mirror.follower.received,
            level: mirror.follower.level,
            base: host.volume.base,
        };
        self.stream_send(node, accept);
        self.mirror_changed(node);
    }

    /// Nobody listens in this epoch.
    fn refuse_connection(&mut self, node: NodeId, connection: u64) {
        let peer = node.peer();
        if self.stream.as_ref().is_some_and(|c| c.id == connection) {
            self.stream = None;
        }
        if let Some(mirror) = self.mirror(peer) {
            let scope = Scope::Mirror(peer, mirror.incarnation);
            self.after(MILLISECOND, scope, Happening::StreamClosed(connection));
        }
    }

    /// Both hellos were said: replay, clean start or comparison.
    fn begin(
        &mut self,
        node: NodeId,
        incarnation: u64,
        (stream, received, level): (u64, u64, bool),
        base: Option<(u64, u64)>,
    ) {
        let clean_starts = self.settings.clean_starts;
        let trusts = self.settings.mirror_mutated(Chosen::TrustPosition);
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        if mirror.source.session != Session::Hello {
            return;
        }
        let source = &mut mirror.source;
        let held = |from: u64| {
            source
                .buffer
                .front()
                .is_none_or(|(first, _)| *first <= from)
        };
        let replay = source.level_with == Some(incarnation)
            && stream == mirror.incarnation
            && level
            && held(received + 1);
        let clean = clean_starts
            && source.level_with.is_none()
            && base.is_some()
            && base == source.base
            && held(source.first + 1);
        let (start, from) = if replay {
            (Start::Replay, received)
        } else if clean || trusts {
            (Start::Clean, if clean { source.first } else { received })
        } else {
            (Start::Compare, source.position)
        };
        let gated = matches!(mirror.role, MirrorRole::Serving { gated: true, .. });
        if start == Start::Compare && gated {
            source.blocked = true;
            let connection = mirror.connection;
            self.note(node, || "the peer has to be released and compared".into());
            if let Some(connection) = connection {
                self.stream_breaks(node, connection);
            }
            return;
        }
        let number = mirror.incarnation;
        let frame = Frame::Begin {
            start,
            stream: number,
            position: from,
        };
        match start {
            Start::Replay => source.session = Session::Live,
            Start::Clean => source.session = Session::Ending(u64::MAX),
            Start::Compare => {
                source.session = Session::Compare { next: 0 };
                source.level_with = None;
                source.base = None;
                source.buffer.clear();
            }
        }
        let again: Vec<_> = mirror
            .source
            .buffer
            .iter()
            .filter(|(sequence, _)| *sequence > from)
            .cloned()
            .collect();
        self.note(node, || format!("stream begins: {start:?}"));
        self.full_sync_begins(node.peer(), start == Start::Compare);
        self.stream_send(node, frame);
        if start == Start::Compare {
            self.compare_later(node);
        } else {
            for (sequence, operation) in again {
                self.stream_send(node, Frame::Operation(sequence, operation));
            }
            self.ask_again(node, from);
        }
        if start == Start::Clean {
            self.level_now(node);
        }
        self.mirror_changed(node);
    }

    /// A sync that the follower received before the break may have been answered into the void: it
    /// is asked again, under a new number.
    fn ask_again(&mut self, node: NodeId, received: u64) {
        let Some(mirror) = self.mirror(node) else {
            return;
        };
        let lost: Vec<(u64, usize)> = mirror
            .source
            .waiting
            .iter()
            .filter(|w| !w.peer && w.sequence.is_some_and(|s| s <= received))
            .map(|w| (w.token, w.piece))
            .collect();
        for (token, piece) in lost {
            let sequence = self.number(node, Operation::Sync { piece });
            let waiting = self
                .mirror_mut(node)
                .and_then(|m| m.source.waiting.iter_mut().find(|w| w.token == token));
            if let Some(waiting) = waiting {
                waiting.sequence = Some(sequence);
            }
        }
    }

    fn compare_later(&mut self, node: NodeId) {
        let Some(mirror) = self.mirror(node) else {
            return;
        };
        let Some(connection) = mirror.connection else {
            return;
        };
        let scope = Scope::Mirror(node, mirror.incarnation);
        let step = self.settings.compare_step;
        let delay = self.random.between(step / 10, step);
        self.after(delay, scope, Happening::CompareStep(connection));
    }

    /// Compares one piece, under its lock: what it holds now is what the follower gets.
    pub(crate) fn compare_step(&mut self, node: NodeId, connection: u64) {
        let stale = self.settings.mirror_mutated(Chosen::CompareWithoutLock);
        let pieces = if self.settings.mirror_mutated(Chosen::LevelEarly) {
            1
        } else {
            crate::content::PIECES
        };
        let host = &mut self.hosts[place(node)];
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        if mirror.connection != Some(connection) {
            return;
        }
        let Session::Compare { next } = mirror.source.session else {
            return;
        };
        if next < pieces {
            let mut bits = Rc::new(host.volume.page.pieces[next].clone());
            mirror.source.session = Session::Compare { next: next + 1 };
            if stale {
                let old = host.volume.page.pieces.get(next + 1).cloned();
                let before = core::mem::replace(&mut mirror.source.stale, old.map(Rc::new));
                bits = before.unwrap_or(bits);
            }
            self.number(node, Operation::Piece { piece: next, bits });
            self.compare_later(node);
        } else {
            let sequence = self.number(node, Operation::CompareEnd);
            if let Some(mirror) = self.mirror_mut(node) {
                mirror.source.session = Session::Ending(sequence);
            }
        }
    }

    /// Gives an operation its number and sends it.
    pub(crate) fn number(&mut self, node: NodeId, operation: Operation) -> u64 {
        let Some(mirror) = self.mirror_mut(node) else {
            return 0;
        };
        let sequence = mirror.number(operation.clone());
        let begun = !matches!(mirror.source.session, Session::None | Session::Hello);
        if begun {
            self.stream_send(node, Frame::Operation(sequence, operation));
        }
        sequence
    }

    /// Shuts the gate, then lets the follower become level (R2).
    fn level_now(&mut self, node: NodeId) {
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        let generation = mirror.generation;
        if let MirrorRole::Serving { gated, .. } = &mut mirror.role {
            mirror.source.provisional = !*gated;
            *gated = true;
        }
        let sequence = self.number(node, Operation::Level { generation });
        if let Some(mirror) = self.mirror_mut(node) {
            mirror.source.session = Session::Levelling(sequence);
        }
    }

    /// The follower is further.
    fn progress(&mut self, node: NodeId, applied: u64, synced: Option<u64>) {
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        let source = &mut mirror.source;
        source.applied = source.applied.max(applied);
        while source
            .buffer
            .front()
            .is_some_and(|(first, _)| *first <= applied)
        {
            source.buffer.pop_front();
        }
        let mut level = false;
        match source.session {
            Session::Ending(end) if applied >= end => self.level_now(node),
            Session::Levelling(sequence) if synced == Some(sequence) => {
                source.session = Session::Live;
                source.provisional = false;
                level = true;
                for waiting in &mut source.waiting {
                    if waiting.sequence.is_none_or(|s| s <= sequence) {
                        waiting.peer = true;
                    }
                }
            }
            Session::None
            | Session::Hello
            | Session::Compare { .. }
            | Session::Ending(_)
            | Session::Levelling(_)
            | Session::Live => {}
        }
        let follower = self.mirror(node.peer()).map(|m| m.incarnation);
        if let Some(mirror) = self.mirror_mut(node) {
            if level {
                mirror.source.level_with = follower;
            }
            // What waits for a number is level only when everything before it is.
            let levelled = mirror.source.session == Session::Live;
            for waiting in &mut mirror.source.waiting {
                waiting.synced |= waiting.sequence.is_some() && waiting.sequence == synced;
                waiting.peer |= levelled && waiting.synced;
            }
        }
        self.drain_progresses(node, synced);
        self.reply(node);
        self.mirror_changed(node);
    }
}
