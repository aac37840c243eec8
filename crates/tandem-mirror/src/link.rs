//! The connection of a serving mirror to the follower: made, greeted, read, written, made again.
//!
//! Three threads per service: one connects and reads, one writes, one looks at the clock. The
//! writer may block in a full socket and the reader never does; the clock closes the connection of
//! a silent peer, which wakes both.
//!
//! What a session is, and what a broken connection means for it, is decided in [`crate::source`].

use crate::MirrorConfig;
use crate::order::Tree;
use crate::process;
use crate::sabotage;
use crate::source::{Offer, Source, Terms};
use crate::transport::{self, Frame, FrameReceiver, FrameSender, TransportError};
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_wire::stream::{
    self, ApplyFailed, Differs, FrameHeader, FrameKind, Hello, Progress, Refusal, Unequal, VERSION,
    VERSION_MIN, Welcome,
};

/// The pause before the next attempt to connect: a follower that was just started waits no longer.
const RETRY: Duration = Duration::from_millis(200);
/// How long an attempt may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long the follower may take to answer the greeting. It may have to end an older session.
const GREETING_LIMIT: Duration = Duration::from_secs(5);
/// How long a read waits before it looks whether it should stop.
const READ_LIMIT: Duration = Duration::from_millis(100);
/// How long the writer waits for frames before it looks whether it should stop.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// The shortest and longest pause between two looks at the clock.
const TICK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));
/// How often the follower is told which numbers will not come again.
const FORGET_PERIOD: Duration = Duration::from_secs(1);

/// What the threads of the connection need.
pub struct Link {
    /// The configuration.
    pub config: Arc<MirrorConfig>,
    /// The stream.
    pub source: Arc<Source>,
    /// Messages of the peer's daemon.
    pub gossip: Sender<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("{0}")]
    Transport(#[from] TransportError),
    #[error("the peer refuses: {0}")]
    Refused(String),
    #[error("the peer did not answer the greeting")]
    NoGreeting,
    #[error("the peer answers with something else than was asked")]
    Unexpected,
    #[error(
        "the peer speaks versions {0} to {1} of the stream, this node {VERSION_MIN} to {VERSION}"
    )]
    Version(u16, u16),
    #[error("the peer asks for number {0}, which is not held any more")]
    NotHeld(u64),
    #[error("the peer has to be compared, but the record says that it is in sync")]
    StillInSync,
    #[error("the peer could not apply number {}: {}", .0.sequence, .0.reason)]
    ApplyFailed(ApplyFailed),
}

impl Link {
    /// Connects and reads until the source has ended.
    pub fn run(&self) {
        let mut told = String::new();
        loop {
            if self.source.has_ended() {
                return;
            }
            if let Err(error) = self.connect() {
                let text = describe(&error);
                // The same failure five times a second is one line.
                if text != told && !self.source.has_ended() {
                    match &error {
                        LinkError::Transport(TransportError::Connect { .. }) => {
                            tracing::info!(reason = text, "no stream to the peer");
                        }
                        _ => tracing::warn!(reason = text, "stream to the peer ended"),
                    }
                    told = text;
                }
            }
            if self.source.ended_within(RETRY) {
                return;
            }
        }
    }

    fn connect(&self) -> Result<(), LinkError> {
        let MirrorConfig { peer, identity, .. } = &*self.config;
        let (sender, mut receiver) = transport::connect(*peer, identity, CONNECT_LIMIT)?;
        let result = self.greet(&sender, &mut receiver);
        let link = match result {
            Ok(link) => link,
            Err(error) => {
                sender.close();
                return Err(error);
            }
        };
        tracing::info!(peer = %peer, "stream to the peer is open");
        let result = self.read(link, &mut receiver);
        match &result {
            // Nothing that follows could be applied either.
            Err(LinkError::ApplyFailed(_) | LinkError::Refused(_)) => self.source.abandon(link),
            Ok(()) | Err(_) => self.source.unlink(link),
        }
        result
    }

    fn greet(&self, sender: &FrameSender, receiver: &mut FrameReceiver) -> Result<u64, LinkError> {
        let epoch = self.source.epoch();
        let offer = self.source.offer();
        let hello = stream::encode(&self.hello(&offer));
        sender.send(FrameHeader::control(FrameKind::Hello, epoch), &hello)?;
        let hello: Hello = decode(&expect(receiver, FrameKind::Hello)?)?;
        if hello.version < VERSION_MIN || hello.version_min > VERSION {
            return Err(LinkError::Version(hello.version_min, hello.version));
        }
        let link = self.welcome(
            sender,
            &offer,
            decode(&expect(receiver, FrameKind::Welcome)?)?,
        )?;
        self.source.speaks(link, hello.version);
        Ok(link)
    }

    fn welcome(
        &self,
        sender: &FrameSender,
        offer: &Offer,
        welcome: Welcome,
    ) -> Result<u64, LinkError> {
        match welcome {
            Welcome::Compare { secret, comparison } => {
                let terms = Terms { secret, comparison };
                let begun = self.source.begin_compare(sender.clone(), terms, None);
                begun.ok_or(LinkError::StillInSync)
            }
            Welcome::CompareOwed { secret, comparison } => {
                let terms = Terms { secret, comparison };
                let begun = (self.source).begin_compare(sender.clone(), terms, offer.debt);
                begun.ok_or(LinkError::StillInSync)
            }
            Welcome::Replay { from } => {
                let resumed = self.source.resume(sender.clone(), from);
                resumed.ok_or(LinkError::NotHeld(from))
            }
        }
    }

    /// `applied` is the number before the first one that can be replayed; the largest number there
    /// is, if nothing can.
    fn hello(&self, offer: &Offer) -> Hello {
        let config = &self.config;
        Hello {
            version: VERSION,
            version_min: VERSION_MIN,
            cluster: config.cluster.clone(),
            module: config.module.clone(),
            volumes: config
                .volumes
                .iter()
                .map(|volume| volume.name.clone())
                .collect(),
            node: config.node.number(),
            configuration: config.configuration,
            boot_id: process::boot_id().to_owned(),
            incarnation: self.source.incarnation,
            epoch: self.source.epoch(),
            generation: offer.generation,
            received: offer.last,
            applied: offer.base.unwrap_or(u64::MAX),
            checkpointed: 0,
            stream_incarnation: self.source.incarnation,
            gate: u64::from(offer.gated),
            debt: offer.debt,
            extensions: Vec::new(),
        }
    }

    fn read(&self, link: u64, receiver: &mut FrameReceiver) -> Result<(), LinkError> {
        loop {
            if self.source.has_ended() {
                return Ok(());
            }
            let Some(frame) = receiver.receive(READ_LIMIT)? else {
                continue;
            };
            self.source.heard(link);
            self.handle(link, frame)?;
        }
    }

    fn handle(&self, link: u64, frame: Frame) -> Result<(), LinkError> {
        match frame.kind() {
            FrameKind::Progress => {
                let progress: Progress = decode(&frame.payload)?;
                self.source.progress(link, &progress);
            }
            FrameKind::Differs => {
                let differs: Differs = decode(&frame.payload)?;
                self.source.differs(link, differs);
            }
            FrameKind::Unequal => {
                let unequal: Unequal = decode(&frame.payload)?;
                self.source.unequal(link, unequal);
            }
            FrameKind::Ping => {
                let pong = FrameHeader::control(FrameKind::Pong, self.source.epoch());
                self.source.send_control(pong, &[]);
            }
            FrameKind::Pong => {}
            FrameKind::Gossip => {
                // A daemon that does not listen loses gossip, not data.
                let _ = self.gossip.try_send(frame.payload);
            }
            FrameKind::ApplyFailed => {
                return Err(LinkError::ApplyFailed(decode(&frame.payload)?));
            }
            FrameKind::Refuse => {
                let refusal: Refusal = decode(&frame.payload)?;
                return Err(LinkError::Refused(refusal.reason));
            }
            FrameKind::Hello | FrameKind::Welcome | FrameKind::Operation | FrameKind::Write => {
                return Err(LinkError::Unexpected);
            }
        }
        Ok(())
    }
}

fn expect(receiver: &mut FrameReceiver, kind: FrameKind) -> Result<Vec<u8>, LinkError> {
    let deadline = Instant::now() + GREETING_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let frame = receiver.receive(left)?.ok_or(LinkError::NoGreeting)?;
        match frame.kind() {
            found if found == kind => return Ok(frame.payload),
            FrameKind::Refuse => {
                let refusal: Refusal = decode(&frame.payload)?;
                return Err(LinkError::Refused(refusal.reason));
            }
            FrameKind::Ping | FrameKind::Pong | FrameKind::Gossip => {}
            _ => return Err(LinkError::Unexpected),
        }
    }
}

fn decode<'a, T: serde::Deserialize<'a>>(payload: &'a [u8]) -> Result<T, LinkError> {
    stream::decode(payload).map_err(|_| LinkError::Unexpected)
}

/// An error with its causes, in one line.
fn describe(error: &LinkError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Writes frames until the source has ended.
pub fn write(source: &Source) {
    while let Some(batch) = source.take_batch(WRITE_LIMIT) {
        let Some(sender) = batch.sender else {
            continue;
        };
        if let Some(pause) = sabotage::hold_back()
            && source.status().gated
            && source.ended_within(pause)
        {
            return;
        }
        let frames: Vec<(FrameHeader, &[u8])> = batch
            .frames
            .iter()
            .map(|(header, payload)| (*header, payload.as_slice()))
            .collect();
        if sender.send_all(&frames).is_err() {
            // Its reader says why.
            source.unlink(batch.link);
        }
    }
}

/// Looks at the clock until the source has ended.
pub fn watch(source: &Source, trees: &[Arc<Tree>], stall_limit: Duration) {
    let period = (stall_limit / 10).clamp(TICK.0, TICK.1);
    let mut forgotten = Instant::now();
    while !source.ended_within(period) {
        source.tick();
        if forgotten.elapsed() > FORGET_PERIOD {
            forgotten = Instant::now();
            for tree in trees {
                tree.tell_forgotten();
            }
        }
    }
}
