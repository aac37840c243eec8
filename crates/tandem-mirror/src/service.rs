//! One service: the volumes mounted for the application in one epoch, and everything that belongs
//! to them (R8). Made by `Serve`, ended by `Close`, never reused.
//!
//! **The end**, in this order: nothing new is admitted; what is under way returns; the FUSE
//! sessions are aborted and unmounted; only then are the requests dropped that never got an answer.
//! The other way round, dropping them would answer them.
//!
//! **What is lost by a crash**: what the kernel has not written back of the local copy, unless it
//! was synced. A clean standing is withdrawn before the first mount and recorded again only after a
//! drain, a sync of all volumes, and the end of the sessions; a crash before that leaves none, and
//! everything is compared.

use crate::MirrorConfig;
use crate::admission::{Admission, NotQuiet, Remains};
use crate::backing::{Volume, sync_all};
use crate::filesystem::Mounted;
use crate::link::{self, Link};
use crate::mount::{Ended, MountError, Session};
use crate::order::Tree;
use crate::permit::Permit;
use crate::resync;
use crate::roles::sentence;
use crate::source::{Beginning, DrainError, Limits, Notify, Source, SourceStatus};
use crate::standing::{self, Standing};
use crate::sync::Syncs;
use crate::verification;
use crossbeam_channel::Sender;
use rustix::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tandem_core::Instant;
use tandem_wire::local::Fault;
use tandem_wire::stream::{FrameHeader, FrameKind};

/// Why a service did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A volume's directory cannot be used.
    #[error("use the directory of volume {volume}")]
    Volume {
        /// Its name.
        volume: String,
        /// Why not.
        #[source]
        source: rustix::io::Errno,
    },
    /// A volume cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// Why a service ended, but not as it should.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// A write may still reach the plain directory.
    #[error(transparent)]
    NotQuiet(#[from] NotQuiet),
    /// A thread of the session did not return.
    #[error("a request of the session on {0} has not returned from the disk")]
    Stuck(String),
}

/// What a service needs.
pub struct Setting {
    /// The configuration.
    pub config: Arc<MirrorConfig>,
    /// The volumes.
    pub volumes: Arc<[Volume]>,
    /// This process.
    pub incarnation: u64,
    /// How it begins.
    pub beginning: Beginning,
    /// Is called at each change of the status.
    pub changed: Arc<Notify>,
    /// Messages of the peer's daemon.
    pub gossip: Sender<Vec<u8>>,
}

/// A module that is served.
pub struct Service {
    source: Arc<Source>,
    admission: Arc<Admission>,
    drained: Mutex<Option<u64>>,
    sessions: Vec<(String, Session)>,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Begins to serve: mounts every volume, or none.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub fn begin(setting: Setting) -> Result<Self, ServiceError> {
        let Setting {
            config,
            volumes,
            incarnation,
            beginning,
            changed,
            gossip,
        } = setting;
        let limits = Limits {
            queue_bytes_max: config.queue_bytes_max,
            stall_limit: config.stall_limit,
            durability: config.durability,
        };
        let notify: Notify = Box::new(move || changed());
        let source = Arc::new(Source::new(incarnation, beginning, limits, notify));
        let admission = Admission::new(source.clone());
        let door = admission.clone();
        source.on_room(Box::new(move || door.wake()));
        let mut trees = Vec::new();
        for volume in volumes.iter() {
            let directory = volume.directory.as_fd();
            let exclude = volume.exclude.clone();
            let tree = Tree::new(volume.index, directory, exclude, source.clone());
            trees.push(Arc::new(tree.map_err(|source| ServiceError::Volume {
                volume: volume.name.clone(),
                source,
            })?));
        }
        let (syncs, mut threads) = Syncs::start();
        threads.extend(start_threads(&config, &source, &admission, &trees, gossip));
        let saved = (config.clone(), volumes.clone(), source.clone());
        threads.push(spawn("checkpoint", move || {
            take_checkpoints(&saved.0, &saved.1, &saved.2);
        }));
        let mut service = Self {
            source,
            admission,
            drained: Mutex::default(),
            sessions: Vec::new(),
            threads,
        };
        for (volume, tree) in volumes.iter().zip(trees) {
            let configured = &config.volumes[usize::from(volume.index)];
            let mounted = Mounted::new(
                tree,
                service.admission.clone(),
                syncs.clone(),
                configured.wait_for_peer,
            );
            let source = service.source.clone();
            let path = volume.path.display().to_string();
            let gone = move || {
                if !source.has_ended() {
                    let text = format!("the mount on {path} was ended by somebody else");
                    source.fail(Fault::Volume(text));
                }
            };
            match Session::begin(volume, mounted, gone) {
                Ok(session) => service.sessions.push((volume.name.clone(), session)),
                Err(error) => {
                    drop(syncs);
                    if let Err(error) = service.end() {
                        tracing::error!(%error, "service that did not begin");
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(service)
    }

    /// The stream.
    #[must_use]
    pub fn source(&self) -> Arc<Source> {
        self.source.clone()
    }

    /// A snapshot.
    #[must_use]
    pub fn status(&self) -> SourceStatus {
        self.source.status()
    }

    /// The permit.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.source.permit
    }

    /// Takes a grant of the daemon's.
    pub fn grant(&self, epoch: u64, until: Instant) {
        self.source.permit.grant(epoch, until);
        self.admission.wake();
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.source.epoch()
    }

    /// Sends a daemon message to the peer, if there is a connection.
    pub fn gossip(&self, message: &[u8]) {
        let header = FrameHeader::control(FrameKind::Gossip, self.source.epoch());
        self.source.send_control(header, message);
    }

    /// See [`Source::release_peer`].
    pub fn release_peer(&self, epoch: u64, generation: u64) -> u64 {
        self.source.release_peer(epoch, generation)
    }

    /// The number up to which a drain brought both copies to disk, nothing having changed since.
    #[must_use]
    pub fn drained(&self) -> Option<u64> {
        *self.drained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses further mutations and waits until the follower has everything on disk. If it does
    /// not, mutations are accepted again.
    ///
    /// # Errors
    /// A sentence.
    pub fn drain(&self) -> Result<u64, String> {
        if let Some(position) = self.drained() {
            return Ok(position);
        }
        let quiet = self.admission.refuse();
        let drained = quiet.map_err(|error| error.to_string()).and_then(|()| {
            self.source
                .drain(0)
                .map_err(|error: DrainError| error.to_string())
        });
        match drained {
            Ok(position) => {
                *self.drained.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
                Ok(position)
            }
            Err(reason) => {
                self.admission.reopen();
                Err(reason)
            }
        }
    }

    /// Ends the service. When this returns, no request of it gets an answer any more, whatever it
    /// says.
    ///
    /// # Errors
    /// [`EndError`]: something may still reach the plain directory.
    pub fn end(self) -> Result<(), EndError> {
        let remains: Result<Remains, NotQuiet> = self.admission.end();
        let waiting = self.source.end();
        let mut stuck = None;
        for (volume, session) in self.sessions {
            if session.end() == Ended::ThreadsStuck {
                stuck = Some(volume);
            }
        }
        drop(waiting);
        remains?;
        if let Some(volume) = stuck {
            return Err(EndError::Stuck(volume));
        }
        for thread in self.threads {
            // Each of them ends with the source; a panic was reported by itself.
            let _ = thread.join();
        }
        Ok(())
    }
}

fn start_threads(
    config: &Arc<MirrorConfig>,
    source: &Arc<Source>,
    admission: &Arc<Admission>,
    trees: &[Arc<Tree>],
    gossip: Sender<Vec<u8>>,
) -> Vec<JoinHandle<()>> {
    let stall_limit = config.stall_limit;
    let connection = Link {
        config: config.clone(),
        source: source.clone(),
        gossip,
    };
    let door = admission.clone();
    let writer = source.clone();
    let watched = (source.clone(), trees.to_vec());
    let compared = (source.clone(), trees.to_vec());
    let verified = (source.clone(), trees.to_vec());
    vec![
        spawn("parked", move || door.run()),
        spawn("link", move || connection.run()),
        spawn("send", move || link::write(&writer)),
        spawn("watch", move || {
            link::watch(&watched.0, &watched.1, stall_limit)
        }),
        spawn("compare", move || resync::run(&compared.0, &compared.1)),
        spawn("verify", move || {
            verification::run(&verified.0, &verified.1);
        }),
    ]
}

/// Takes the checkpoints that are due, until the source has ended.
///
/// What a crash loses: between the syncs and the record, or between the records of the two nodes,
/// a position stays at the checkpoint before, which is true.
fn take_checkpoints(config: &MirrorConfig, volumes: &[Volume], source: &Source) {
    while let Some(checkpoint) = source.await_due_checkpoint() {
        // What is numbered was applied before: this sync has all of it.
        if let Err(error) = sync_all(volumes) {
            source.fail(Fault::LocalDisk(error.to_string()));
            return;
        }
        if !source.await_follower(&checkpoint) {
            continue;
        }
        let standing = Standing {
            epoch: checkpoint.epoch,
            generation: checkpoint.generation,
            stream_incarnation: source.incarnation,
            applied: checkpoint.number,
            checkpointed: checkpoint.number,
            ..Standing::default()
        };
        match standing::record(config, volumes, &standing) {
            Ok(()) => tracing::debug!(number = checkpoint.number, "checkpoint"),
            Err(error) => tracing::warn!(error = sentence(&error), "record the checkpoint"),
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a thread can be started")
}
