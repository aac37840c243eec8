//! The following half of a mirror: accepts the peer's stream, applies it, syncs, and says how far
//! it is.
//!
//! ```text
//!  connection ──► handshake ──► session (reads, checks numbers) ──► inbox ──► worker (applies)
//!   one thread per connection: the newer one ends the older       bounded       │      │
//!       ▲                                                                        │  synchroniser
//!       └────────────── progress, differences, synced numbers ◄─────────────────┴──────┘
//! ```
//!
//! - **A stream outlives its connections.** Received, applied and checkpointed numbers belong to
//!   the stream; a broken connection of a level copy is resumed by replay from the number after the
//!   last one received. Anything else (another process or epoch at the source, a copy that was not
//!   level, an error) begins a new stream, which compares everything.
//! - **Epochs only rise.** The epoch of a session is on disk as the highest before the session is
//!   welcomed; a source of a lower one is refused, also after a restart.
//! - **What was received is applied.** The end of a connection, a newer session and [`seal`] all
//!   read what the kernel holds already, apply it in order, and set the deferred times.
//!
//! **What a crash loses.** Of what was received: everything since the last sync. None of it was
//! answered as synced. The standing in the volumes is not clean while a stream runs (that is on
//! disk before a session is welcomed), so the next stream compares everything. While a comparison
//! runs it is inconsistent, until all of it is on disk: what a crash leaves is never served
//! unasked. Between the sync of a [`seal`] and its record of a clean standing: the same as before,
//! at the cost of a comparison.
//!
//! [`seal`]: Follower::seal

mod handshake;
mod inbox;
mod ledger;
mod session;
mod synchroniser;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tandem_core::MirrorFault;
use tandem_wire::stream::{FrameHeader, FrameKind, PAYLOAD_MAX};

use self::inbox::{Inbox, Work};
use self::ledger::{Beginning, Channels, Ledger, Phase};
use self::synchroniser::Synchroniser;
use crate::MirrorConfig;
use crate::backing::{Volume, VolumeError};
use crate::epochs::{EpochError, HighestEpoch};
use crate::roles::sentence;
use crate::standing::{self, Inconsistent};
use crate::transport::{Listener, TransportError};

/// How long sealing may take: a full inbox of scattered writes onto a slow disk, and its sync.
const SEAL_LIMIT: Duration = Duration::from_secs(120);
/// How often silence is looked at, and a stop noticed.
const TICK: Duration = Duration::from_millis(50);
/// Daemon messages that wait in one direction. They repeat themselves: the rest is dropped.
const GOSSIP_MAX: usize = 64;
/// Connections that are greeted at once; the listener bounds those before.
const GREETINGS_MAX: usize = 4;
/// What the inbox holds beyond the source's own bound, so that the source's is met first.
const INBOX_SLACK_BYTES: usize = 4 << 20;

/// Why there is no follower, or no sealed copy.
#[derive(Debug, thiserror::Error)]
pub enum FollowerError {
    /// The highest epoch cannot be read or written.
    #[error("keep the highest epoch")]
    Epoch(#[from] EpochError),
    /// A higher epoch was followed or served.
    #[error("epoch {asked} is older than {highest}, which this node already took part in")]
    OldEpoch {
        /// The one that was asked for.
        asked: u64,
        /// The highest one.
        highest: u64,
    },
    /// The port cannot be used.
    #[error("open the port for the peer's stream")]
    Listen(#[from] TransportError),
    /// A thread cannot be started.
    #[error("start a thread of the follower")]
    Thread(#[source] std::io::Error),
    /// What was received could not all be applied and synced.
    #[error("this copy cannot be completed: {0}")]
    Incomplete(String),
    /// A volume's position cannot be written.
    #[error("record the position")]
    Position(#[from] VolumeError),
    /// It took too long.
    #[error("what was received was not on disk after {} s", SEAL_LIMIT.as_secs())]
    Late,
}

/// A snapshot of a follower.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FollowerStatus {
    /// The epoch that is followed.
    pub epoch: u64,
    /// The generation that is followed.
    pub generation: u64,
    /// Whether a session of the peer's is open.
    pub connected: bool,
    /// Whether the whole content is being compared.
    pub comparing: bool,
    /// Whether the source said that this copy is level, and nothing was missed since.
    pub level: bool,
    /// Whether nothing was heard of the source for the stall limit.
    pub stalled: bool,
    /// Whether streams are accepted: not any more once a seal was begun, however it ended.
    pub accepting: bool,
    /// Whether everything received is applied and synced, and nothing more is accepted.
    pub sealed: bool,
    /// What is broken.
    pub fault: Option<MirrorFault>,
    /// Why this copy is nothing that the source ever had, if so.
    pub inconsistent: Option<Inconsistent>,
    /// The last number received.
    pub received: u64,
    /// The last number applied.
    pub applied: u64,
    /// Everything up to here is on disk.
    pub checkpointed: u64,
    /// How long the operation or sync takes that is under way; zero while nothing is.
    pub completion_age: Duration,
}

/// A mirror that follows.
pub struct Follower {
    ledger: Arc<Ledger>,
    inbox: Arc<Inbox>,
    address: SocketAddr,
    changes: Receiver<()>,
    gossip_in: Receiver<Vec<u8>>,
    gossip_out: Option<Sender<Vec<u8>>>,
    supervisor: Option<JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Follower {
    /// Begins to accept the peer's stream in this epoch, and no older one. The epoch is on disk as
    /// the highest when this returns.
    ///
    /// # Errors
    /// [`FollowerError`]; nothing is accepted then.
    pub fn start(
        shared: Arc<MirrorConfig>,
        volumes: Arc<[Volume]>,
        epoch: u64,
        generation: u64,
    ) -> Result<Self, FollowerError> {
        let epochs = HighestEpoch::open(&shared.state_dir, &shared.module)?;
        if !epochs.raise(epoch)? {
            return Err(FollowerError::OldEpoch {
                asked: epoch,
                highest: epochs.highest(),
            });
        }
        let listener = Listener::bind(&shared.listen, &shared.identity)?;
        let (changed, changes) = bounded(1);
        let (gossip_sender, gossip_in) = bounded(GOSSIP_MAX);
        let (gossip_out, gossip_queue) = bounded::<Vec<u8>>(GOSSIP_MAX);
        let channels = Channels {
            changed,
            gossip: gossip_sender,
        };
        let inbox = Arc::new(Inbox::new(shared.queue_bytes_max + INBOX_SLACK_BYTES));
        let beginning = Beginning {
            epoch,
            generation,
            inconsistent: standing::found(&shared, &volumes).inconsistent,
        };
        let ledger = Ledger::new(shared, volumes, epochs, channels, beginning);
        let ledger = Arc::new(ledger);
        let synchroniser = Synchroniser::start(&ledger).map_err(FollowerError::Thread)?;

        let mut follower = Self {
            ledger: Arc::clone(&ledger),
            inbox: Arc::clone(&inbox),
            address: listener.address(),
            changes,
            gossip_in,
            gossip_out: Some(gossip_out),
            supervisor: None,
            threads: Vec::new(),
        };
        let worker = worker::Worker::new(&ledger, &inbox, synchroniser);
        follower.spawn("apply", move || worker.run())?;
        let gossiping = Arc::clone(&ledger);
        follower.spawn("gossip", move || forward_gossip(&gossiping, &gossip_queue))?;
        let supervisor = thread::Builder::new()
            .name("follow".into())
            .spawn(move || supervise(&ledger, &inbox, listener))
            .map_err(FollowerError::Thread)?;
        follower.supervisor = Some(supervisor);
        Ok(follower)
    }

    fn spawn<F: FnOnce() + Send + 'static>(
        &mut self,
        name: &str,
        run: F,
    ) -> Result<(), FollowerError> {
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(run)
            .map_err(FollowerError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> FollowerStatus {
        self.ledger.status()
    }

    /// Receives something after each change of [`Self::status`] that is more than a number.
    #[must_use]
    pub fn changes(&self) -> Receiver<()> {
        self.changes.clone()
    }

    /// Sends a daemon message to the peer, if there is a session. Never blocks: where the
    /// connection is full, the message is dropped.
    pub fn gossip_out(&self, bytes: Vec<u8>) {
        if let Some(queue) = &self.gossip_out
            && bytes.len() <= PAYLOAD_MAX as usize
            && let Err(TrySendError::Full(_)) = queue.try_send(bytes)
        {
            tracing::debug!("a daemon message was dropped: the stream is full");
        }
    }

    /// Daemon messages of the peer.
    #[must_use]
    pub fn gossip_in(&self) -> Receiver<Vec<u8>> {
        self.gossip_in.clone()
    }

    /// Accepts nothing more, applies everything that was completely received, brings all of it to
    /// the disk, and says up to which number. Can be repeated.
    ///
    /// # Errors
    /// [`FollowerError`]: then this copy is not what the source believes, and must not be served.
    pub fn seal(&self) -> Result<u64, FollowerError> {
        self.ledger.set_phase(Phase::Sealing);
        self.ledger.end_sessions();
        let (reply, sealed) = bounded(1);
        self.inbox.push_command(Work::Seal(reply));
        let sealed = sealed
            .recv_timeout(SEAL_LIMIT)
            .map_err(|_| FollowerError::Late)?;
        if sealed.is_ok() {
            self.ledger.set_phase(Phase::Sealed);
        }
        sealed
    }

    /// Ends following, after applying and syncing what was received; as [`Self::seal`] otherwise.
    /// Says what was broken.
    #[must_use]
    pub fn stop(self) -> Option<MirrorFault> {
        if !self.status().sealed
            && let Err(error) = self.seal()
        {
            tracing::warn!(error = sentence(&error), "this copy was left incomplete");
        }
        self.status().fault
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.ledger.set_phase(Phase::Stopped);
        self.ledger.end_sessions();
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
        self.inbox.push_command(Work::Stop);
        self.gossip_out = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Accepts connections until the follower accepts nothing more.
fn supervise(ledger: &Arc<Ledger>, inbox: &Arc<Inbox>, listener: Listener) {
    let mut greetings: Vec<JoinHandle<()>> = Vec::new();
    while ledger.phase() == Phase::Following {
        ledger.look_at_silence();
        let (sender, receiver, address) = match listener.accept_within(TICK) {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(error) => {
                tracing::error!(%error, "the port for the peer's stream was lost");
                break;
            }
        };
        greetings.retain(|thread| !thread.is_finished());
        if greetings.len() >= GREETINGS_MAX {
            continue;
        }
        let connection = session::Connection {
            ledger: Arc::clone(ledger),
            inbox: Arc::clone(inbox),
            sender,
            receiver,
            address,
        };
        let greeted = thread::Builder::new()
            .name("session".into())
            .spawn(move || connection.run());
        match greeted {
            Ok(thread) => greetings.push(thread),
            Err(error) => tracing::warn!(%error, "start a session"),
        }
    }
    drop(listener);
    for thread in greetings {
        let _ = thread.join();
    }
}

fn forward_gossip(ledger: &Ledger, queue: &Receiver<Vec<u8>>) {
    for message in queue {
        if let Some((sender, epoch)) = ledger.link() {
            let header = FrameHeader::control(FrameKind::Gossip, epoch);
            // The session notices a broken connection by itself.
            let _ = sender.send(header, &message);
        }
    }
}
