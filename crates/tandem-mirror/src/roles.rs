//! Which role this process has, and the commands that change it.
//!
//! ```text
//!            Follow            Seal
//!   Idle ───────────► Following ────► Sealed
//!    ▲ │                               │ │
//!    │ └──────── Serve ──► Serving ◄───┘ │ Serve
//!    └──────────── Close, from any ──────┘
//! ```
//!
//! One command at a time, each answered once; a command that is repeated because its answer was
//! lost finds its work done and says so again. Permits and messages of the daemons do not wait for
//! commands.
//!
//! The plain directory is read-only by its path from the start of the process on; see
//! [`crate::mount`].
//!
//! **What is lost by a crash.** `Serve` puts the epoch on disk as the highest and takes a clean
//! standing back before anything is mounted: a crash in between only costs a comparison; one after
//! a forced `Serve` leaves the copy as the operator declared it, consistent. `Close` records a clean
//! standing last, after the session is gone and everything is on disk. One without a drain leaves
//! what the peer lacks: see [`crate::left`]. A `Follow` that has to forget takes every standing back
//! before it follows: after a crash in between the daemon repeats it, after it nothing is believed.

use crate::MirrorConfig;
use crate::backing::{self, Volume};
use crate::epochs::HighestEpoch;
use crate::follower::Follower;
use crate::holders::holders;
use crate::permit::Standing as Permission;
use crate::service::{Service, Setting};
use crate::source::{Beginning, Notify, PeerAtBeginning};
use crate::standing::{self, Found, Inconsistent, Standing};
use crate::{left, mount, resync};
use crossbeam_channel::{Receiver, Sender};
use rustix::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tandem_core::{Instant, MirrorFault};
use tandem_wire::debt::OwedFile;
use tandem_wire::local::{Command, Fault, Role, Status};
use tandem_wire::stream::DebtBase;

/// What a command comes to: a number of the stream, or a sentence.
pub type CommandResult = Result<u64, String>;

/// The role of this process.
pub struct Roles {
    config: Arc<MirrorConfig>,
    incarnation: u64,
    current: Mutex<Current>,
    volumes: Mutex<Option<Arc<[Volume]>>>,
    /// Why there are no volumes.
    missing: Mutex<Option<String>>,
    /// Why the volumes are nothing that was ever served, while no service or follower knows better.
    inconsistent: Mutex<Option<Inconsistent>>,
    /// What is broken for as long as this process lives.
    broken: Mutex<Option<Fault>>,
    /// The newest grant: it may come before its epoch is served.
    granted: Mutex<Option<(u64, Instant)>>,
    data_bytes: Arc<AtomicU64>,
    /// The plain directories were found without holders after they had become read-only.
    unheld: AtomicBool,
    changed: Arc<Notify>,
    gossip: Sender<Vec<u8>>,
}

enum Current {
    Idle,
    Following {
        epoch: u64,
        follower: Arc<Follower>,
    },
    Sealed(Sealed),
    Serving(Arc<Service>),
    /// A command is changing the role: what was reported last still holds.
    Changing(Box<Status>),
}

/// The record says that the peer is in sync.
struct Gated;

/// An operator wants this copy served whatever it is.
struct Forced;

/// An operator believes nothing that is known of this copy.
struct Forget;

/// What is to be served.
struct Serving {
    epoch: u64,
    generation: u64,
    gated: Option<Gated>,
    forced: Option<Forced>,
}

#[derive(Clone, Copy)]
struct Sealed {
    epoch: u64,
    applied: u64,
    level: bool,
}

impl Roles {
    /// An idle process. `changed` is called at each change of the status; messages of the peer's
    /// daemon go to `gossip`.
    #[must_use]
    pub fn new(
        config: Arc<MirrorConfig>,
        incarnation: u64,
        changed: Arc<Notify>,
        gossip: Sender<Vec<u8>>,
    ) -> Self {
        let roles = Self {
            config,
            incarnation,
            current: Mutex::new(Current::Idle),
            volumes: Mutex::default(),
            missing: Mutex::default(),
            inconsistent: Mutex::default(),
            broken: Mutex::default(),
            granted: Mutex::default(),
            data_bytes: Arc::default(),
            unheld: AtomicBool::new(false),
            changed,
            gossip,
        };
        if let Err(reason) = roles.volumes() {
            tracing::error!(reason, "volumes cannot be used");
        }
        roles
    }

    /// The digest of the configuration that this process was started with.
    #[must_use]
    pub fn configuration(&self) -> u64 {
        self.config.configuration
    }

    /// Tries again to open volumes that could not be opened.
    pub fn look_for_volumes(&self) {
        if lock(&self.volumes).is_none() && self.volumes().is_ok() {
            tracing::info!("volumes can be used now");
            (self.changed)();
        }
    }

    /// The volumes, opened, locked and read-only by their paths.
    fn volumes(&self) -> Result<Arc<[Volume]>, String> {
        let mut held = lock(&self.volumes);
        if let Some(volumes) = &*held {
            return Ok(volumes.clone());
        }
        let result = open_volumes(&self.config);
        *lock(&self.missing) = result.as_ref().err().cloned();
        let volumes = result?;
        *held = Some(volumes.clone());
        drop(held);
        self.look_at_standing(&volumes);
        self.measure(&volumes);
        Ok(volumes)
    }

    fn look_at_standing(&self, volumes: &[Volume]) {
        *lock(&self.inconsistent) = standing::found(&self.config, volumes).inconsistent;
    }

    /// Finds out, aside, how much there is: shown to people, decides nothing.
    fn measure(&self, volumes: &Arc<[Volume]>) {
        let (size, measured) = (self.data_bytes.clone(), volumes.clone());
        std::thread::Builder::new()
            .name("measure".to_owned())
            .spawn(move || {
                let sizes = measured
                    .iter()
                    .map(|v| resync::size_of_tree(v.directory.as_fd()));
                size.store(sizes.sum(), Ordering::Relaxed);
            })
            .expect("a thread can be started");
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// Why it could not be.
    pub fn carry_out(&self, command: &Command) -> CommandResult {
        let result = match *command {
            Command::Serve {
                epoch,
                generation,
                gated,
                forced,
            } => self.serve(Serving {
                epoch,
                generation,
                gated: gated.then_some(Gated),
                forced: forced.then_some(Forced),
            }),
            Command::Follow {
                epoch,
                generation,
                forget,
            } => self.follow(epoch, generation, forget.then_some(Forget)),
            Command::Seal => self.seal(),
            Command::ReleasePeer { epoch, generation } => self.release_peer(epoch, generation),
            Command::Drain => self.drain(),
            Command::Close => self.close(),
            Command::Verify => self.verify(),
        };
        (self.changed)();
        result
    }

    fn serve(&self, serving: Serving) -> CommandResult {
        let Serving {
            epoch,
            generation,
            gated,
            forced,
        } = serving;
        match &*self.current() {
            Current::Idle | Current::Sealed(_) => {}
            Current::Serving(service) if service.epoch() == epoch => {
                return Ok(service.status().position);
            }
            Current::Serving(service) => {
                return Err(format!("epoch {} is being served", service.epoch()));
            }
            Current::Following { epoch, .. } => {
                return Err(format!("epoch {epoch} is being followed: seal it first"));
            }
            Current::Changing(_) => return Err("another command is being carried out".to_owned()),
        }
        self.refuse_broken()?;
        let volumes = self.volumes()?;
        self.refuse_held(&volumes)?;
        let found = standing::found(&self.config, &volumes);
        match (&found.inconsistent, forced) {
            (Some(why), None) => {
                return Err(format!(
                    "{why}; let it follow the other node, or serve it by force as it is"
                ));
            }
            (Some(why), Some(Forced)) => tracing::warn!(%why, "served by force"),
            (None, _) => {}
        }
        let recorded = found.standing.unwrap_or_default();
        let position = recorded.applied;
        let clean = recorded.clean && recorded.generation == generation;
        let peer = match gated {
            None => PeerAtBeginning::Out,
            Some(Gated) if clean => PeerAtBeginning::Equal,
            Some(Gated) => PeerAtBeginning::InSync,
        };
        let debt = known_debt(&self.config, &volumes, &found);
        self.raise_epoch(epoch)?;
        // Also where nothing was claimed: the volume as it was before is now an older state.
        let begun = Standing {
            epoch,
            generation,
            clean: false,
            comparison: None,
            ..recorded
        };
        standing::record(&self.config, &volumes, &begun).map_err(|error| sentence(&error))?;
        left::remove(&self.config);
        let service = Service::begin(Setting {
            config: self.config.clone(),
            volumes,
            incarnation: self.incarnation,
            beginning: Beginning {
                epoch,
                generation,
                peer,
                position,
                debt,
            },
            changed: self.changed.clone(),
            gossip: self.gossip.clone(),
        });
        let service = Arc::new(service.map_err(|error| sentence(&error))?);
        self.grant_newest(&service);
        *lock(&self.inconsistent) = None;
        *self.current() = Current::Serving(service);
        tracing::info!(epoch, ?peer, position, "serving");
        Ok(position)
    }

    fn follow(&self, epoch: u64, generation: u64, forget: Option<Forget>) -> CommandResult {
        let older = match &*self.current() {
            Current::Idle | Current::Sealed(_) => None,
            Current::Following {
                epoch: followed,
                follower,
            } => {
                let status = follower.status();
                // One that could not be sealed accepts nothing any more: begun anew.
                if *followed == epoch && status.accepting && forget.is_none() {
                    return Ok(status.applied);
                }
                Some(follower.clone())
            }
            Current::Serving(service) => {
                return Err(format!(
                    "epoch {} is being served: close it first",
                    service.epoch()
                ));
            }
            Current::Changing(_) => return Err("another command is being carried out".to_owned()),
        };
        self.refuse_broken()?;
        let volumes = self.volumes()?;
        for volume in volumes.iter() {
            mount::protect(volume).map_err(|error| sentence(&error))?;
        }
        self.refuse_held(&volumes)?;
        if let Some(follower) = older {
            self.begin_change();
            self.stop(follower);
            *self.current() = Current::Idle;
        }
        if let Some(Forget) = forget {
            standing::take_back(&self.config, &volumes).map_err(|error| sentence(&error))?;
            left::remove(&self.config);
            tracing::info!("nothing is believed of this copy: all of it will be compared");
        }
        let follower = Follower::start(self.config.clone(), volumes, epoch, generation);
        let follower = Arc::new(follower.map_err(|error| sentence(&error))?);
        self.forward(&follower);
        let applied = follower.status().applied;
        *self.current() = Current::Following { epoch, follower };
        tracing::info!(epoch, "following");
        Ok(applied)
    }

    /// Passes on what the follower reports; ends with it.
    fn forward(&self, follower: &Follower) {
        let (changes, messages) = (follower.changes(), follower.gossip_in());
        let (changed, gossip) = (self.changed.clone(), self.gossip.clone());
        std::thread::Builder::new()
            .name("follow-events".to_owned())
            .spawn(move || forward(&changes, &messages, &changed, &gossip))
            .expect("a thread can be started");
    }

    fn seal(&self) -> CommandResult {
        let (epoch, follower) = match &*self.current() {
            Current::Following { epoch, follower } => (*epoch, follower.clone()),
            Current::Sealed(sealed) => return Ok(sealed.applied),
            Current::Idle | Current::Serving(_) => return Err("nothing is followed".to_owned()),
            Current::Changing(_) => return Err("another command is being carried out".to_owned()),
        };
        let level = follower.status().level;
        let applied = follower.seal().map_err(|error| sentence(&error))?;
        self.begin_change();
        self.stop(follower);
        let sealed = Sealed {
            epoch,
            applied,
            level,
        };
        *self.current() = Current::Sealed(sealed);
        tracing::info!(epoch, applied, "sealed");
        Ok(applied)
    }

    /// Ends following. A disk that failed under it stays lost: the page cache of this machine lies
    /// to whoever follows or serves next.
    fn stop(&self, follower: Arc<Follower>) {
        *lock(&self.inconsistent) = follower.status().inconsistent;
        let fault = Arc::into_inner(follower).and_then(Follower::stop);
        if let Some(MirrorFault::LocalDisk(text)) = fault {
            *lock(&self.broken) = Some(Fault::LocalDisk(text));
        }
    }

    fn release_peer(&self, epoch: u64, generation: u64) -> CommandResult {
        let service = self.service()?;
        if epoch < service.epoch() {
            return Err(format!("epoch {} is being served", service.epoch()));
        }
        // The winner of a divergence goes on in a higher epoch: on disk before it is used.
        self.raise_epoch(epoch)?;
        let position = service.release_peer(epoch, generation);
        self.grant_newest(&service);
        tracing::info!(epoch, position, "going on without the peer");
        Ok(position)
    }

    fn drain(&self) -> CommandResult {
        let position = self.service()?.drain()?;
        tracing::info!(position, "drained");
        Ok(position)
    }

    fn verify(&self) -> CommandResult {
        let service = self.service().map_err(|_| {
            "this node does not serve: the one that does verifies the other one's copy".to_owned()
        })?;
        let number = service.source().begin_verification();
        number.map_err(|error| sentence(&error))
    }

    fn close(&self) -> CommandResult {
        match &*self.current() {
            Current::Idle => return Ok(0),
            Current::Changing(_) => return Err("another command is being carried out".to_owned()),
            Current::Following { .. } | Current::Sealed(_) | Current::Serving(_) => {}
        }
        match self.begin_change() {
            Current::Idle | Current::Changing(_) => Ok(0),
            Current::Sealed(sealed) => {
                *self.current() = Current::Idle;
                Ok(sealed.applied)
            }
            Current::Following { follower, .. } => {
                let received = follower.status().received;
                self.stop(follower);
                *self.current() = Current::Idle;
                Ok(received)
            }
            Current::Serving(service) => {
                let result = self.end_service(service);
                *self.current() = Current::Idle;
                tracing::info!("no longer serving");
                result
            }
        }
    }

    fn end_service(&self, service: Arc<Service>) -> CommandResult {
        let status = service.status();
        let (epoch, drained) = (service.epoch(), service.drained());
        let permitted = service.permit().standing() == Permission::Valid;
        let source = service.source();
        let service = Arc::into_inner(service).expect("only this thread keeps services");
        let sound = permitted && status.fault.is_none();
        if let Some(fault) = status.fault {
            // The page cache of a failed disk lies to whoever reads it next in this process.
            *lock(&self.broken) = Some(fault);
        }
        if let Err(error) = service.end() {
            tracing::error!(%error, "the service has ended, the disk has not");
            *lock(&self.broken) = Some(Fault::LocalDisk(error.to_string()));
            return Err(error.to_string());
        }
        let volumes = self.volumes()?;
        for volume in volumes.iter() {
            mount::protect(volume).map_err(|error| sentence(&error))?;
        }
        self.measure(&volumes);
        if let Some(position) = drained {
            backing::sync_all(&volumes).map_err(|error| sentence(&error))?;
            let standing = Standing {
                epoch,
                generation: status.generation,
                stream_incarnation: self.incarnation,
                applied: position,
                checkpointed: position,
                clean: true,
                ..Standing::default()
            };
            standing::record(&self.config, &volumes, &standing)
                .map_err(|error| sentence(&error))?;
        } else if sound && let Some(debt) = source.all_owed() {
            let standing = Standing {
                epoch,
                generation: status.generation,
                stream_incarnation: self.incarnation,
                applied: status.position,
                ..Standing::default()
            };
            if let Err(reason) = leave(&self.config, &volumes, &standing, debt) {
                tracing::warn!(reason, "the other copy will be compared as a whole");
            }
        }
        Ok(drained.unwrap_or(status.position))
    }

    fn service(&self) -> Result<Arc<Service>, String> {
        match &*self.current() {
            Current::Serving(service) => Ok(service.clone()),
            Current::Idle
            | Current::Following { .. }
            | Current::Sealed(_)
            | Current::Changing(_) => Err("nothing is served".to_owned()),
        }
    }

    /// Takes the role out, leaving what it reported last.
    fn begin_change(&self) -> Current {
        let status = self.status();
        std::mem::replace(&mut *self.current(), Current::Changing(Box::new(status)))
    }

    fn refuse_broken(&self) -> Result<(), String> {
        match &*lock(&self.broken) {
            None => Ok(()),
            Some(Fault::LocalDisk(text) | Fault::Apply(text) | Fault::Volume(text)) => Err(
                format!("this copy was lost ({text}): look at the disk, then restart the mirror"),
            ),
        }
    }

    /// A process that has the plain directory open for writing would go on writing there, unmirrored
    /// and without an error. Looked at once: a takeover must not wait for a walk over all processes,
    /// and since then the path is read-only.
    fn refuse_held(&self, volumes: &[Volume]) -> Result<(), String> {
        if self.unheld.load(Ordering::SeqCst) {
            return Ok(());
        }
        for volume in volumes {
            let holders = holders(volume).map_err(|error| sentence(&error))?;
            if let Some(first) = holders.first() {
                return Err(format!(
                    "{} is in use beneath the mirror: {first}{}",
                    volume.path.display(),
                    match holders.len() {
                        1 => String::new(),
                        more => format!(", and {} more", more - 1),
                    }
                ));
            }
        }
        self.unheld.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn raise_epoch(&self, epoch: u64) -> Result<(), String> {
        let epochs = HighestEpoch::open(&self.config.state_dir, &self.config.module)
            .map_err(|error| sentence(&error))?;
        match epochs.raise(epoch) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "epoch {epoch} is older than {}, which this node already took part in",
                epochs.highest()
            )),
            Err(error) => Err(sentence(&error)),
        }
    }

    /// The newest grant may have come before its epoch.
    fn grant_newest(&self, service: &Service) {
        let granted = *lock(&self.granted);
        if let Some((epoch, until)) = granted {
            service.grant(epoch, until);
        }
    }

    /// Takes a grant of the daemon's.
    pub fn grant(&self, epoch: u64, until: Instant) {
        *lock(&self.granted) = Some((epoch, until));
        if let Current::Serving(service) = &*self.current() {
            service.grant(epoch, until);
        }
    }

    /// Sends a daemon message to the peer, if there is a stream.
    pub fn gossip(&self, message: Vec<u8>) {
        match &*self.current() {
            Current::Serving(service) => service.gossip(&message),
            Current::Following { follower, .. } => follower.gossip_out(message),
            Current::Idle | Current::Sealed(_) | Current::Changing(_) => {}
        }
    }

    /// Whether the process may end.
    #[must_use]
    pub fn may_quit(&self) -> bool {
        match &*self.current() {
            Current::Idle | Current::Sealed(_) | Current::Following { .. } => true,
            Current::Serving(_) | Current::Changing(_) => false,
        }
    }

    /// A snapshot for the daemon.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = match &*self.current() {
            Current::Idle => Status::default(),
            Current::Changing(status) => status.as_ref().clone(),
            Current::Sealed(sealed) => Status {
                role: Role::Sealed {
                    epoch: sealed.epoch,
                },
                position: sealed.applied,
                acknowledged: sealed.applied,
                level: sealed.level,
                ..Status::default()
            },
            Current::Following { epoch, follower } => following(*epoch, follower),
            Current::Serving(service) => serving(service),
        };
        status.incarnation = self.incarnation;
        status.data_bytes = self.data_bytes.load(Ordering::Relaxed);
        if matches!(status.role, Role::Idle | Role::Sealed { .. }) {
            status.inconsistent = lock(&self.inconsistent).as_ref().map(ToString::to_string);
        }
        if let Some(fault) = &*lock(&self.broken) {
            status.fault = Some(fault.clone());
        }
        if let Some(reason) = &*lock(&self.missing) {
            status.fault = Some(Fault::Volume(reason.clone()));
        }
        status
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.current)
    }
}

/// What the peer's copy is known to lack when a service begins: nothing of what a clean end of both
/// says, or what the service before left.
fn known_debt(
    config: &MirrorConfig,
    volumes: &[Volume],
    found: &Found,
) -> Option<(DebtBase, Vec<OwedFile>)> {
    let standing = found.standing?;
    if !standing.clean {
        return left::read(config, volumes);
    }
    let base = DebtBase {
        incarnation: standing.stream_incarnation,
        epoch: standing.epoch,
        generation: standing.generation,
        number: standing.applied,
        last: standing.applied,
        complete: true,
        comparison: None,
    };
    Some((base, Vec::new()))
}

/// Leaves what the peer's copy may lack to the next service.
fn leave(
    config: &MirrorConfig,
    volumes: &[Volume],
    standing: &Standing,
    debt: (DebtBase, Vec<OwedFile>),
) -> Result<(), String> {
    backing::sync_all(volumes).map_err(|error| sentence(&error))?;
    standing::record(config, volumes, standing).map_err(|error| sentence(&error))?;
    let files = debt.1.len();
    match left::write(config, volumes, debt).map_err(|error| sentence(&error))? {
        true => tracing::info!(files, "what the other copy lacks was kept"),
        false => tracing::info!(files, "what the other copy lacks is too much to be kept"),
    }
    Ok(())
}

fn following(epoch: u64, follower: &Follower) -> Status {
    let followed = follower.status();
    Status {
        role: Role::Following { epoch },
        stalled: followed.stalled || !followed.connected,
        level: followed.level,
        fault: followed.fault.map(|fault| match fault {
            MirrorFault::LocalDisk(text) => Fault::LocalDisk(text),
            MirrorFault::Apply(text) => Fault::Apply(text),
            MirrorFault::Volume(text) => Fault::Volume(text),
        }),
        inconsistent: followed.inconsistent.map(|why| why.to_string()),
        position: followed.applied,
        acknowledged: followed.received,
        completion_age_ms: milliseconds(followed.completion_age),
        ..Status::default()
    }
}

fn serving(service: &Service) -> Status {
    let served = service.status();
    let permit = service.permit();
    Status {
        role: Role::Serving {
            epoch: service.epoch(),
            gated: served.gated,
        },
        peer: served.peer,
        resync: served.resync,
        flow: Some(served.flow),
        verification: served.verification.map(Box::new),
        stalled: served.stalled,
        lapsed: permit.standing() == Permission::Lapsed,
        permit_until: permit.until().0,
        fault: served.fault,
        position: served.position,
        acknowledged: served.acknowledged,
        exposure_bytes: served.exposure_bytes,
        exposure_age_ms: milliseconds(served.exposure_age),
        completion_age_ms: milliseconds(served.completion_age),
        ..Status::default()
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn open_volumes(config: &MirrorConfig) -> Result<Arc<[Volume]>, String> {
    let mut volumes = Vec::new();
    for (index, volume) in (0u16..).zip(&config.volumes) {
        let opened = backing::open_volume(index, &volume.name, &volume.path);
        let mut opened = opened.map_err(|error| sentence(&error))?;
        opened.exclude = volume.exclude.clone();
        volumes.push(opened);
    }
    for volume in &volumes {
        mount::protect(volume).map_err(|error| sentence(&error))?;
    }
    Ok(volumes.into())
}

fn forward(
    changes: &Receiver<()>,
    messages: &Receiver<Vec<u8>>,
    changed: &Notify,
    gossip: &Sender<Vec<u8>>,
) {
    loop {
        crossbeam_channel::select! {
            recv(changes) -> change => match change {
                Ok(()) => changed(),
                Err(_) => return,
            },
            recv(messages) -> message => match message {
                Ok(message) => {
                    // A daemon that does not listen loses gossip, not data.
                    let _ = gossip.try_send(message);
                }
                Err(_) => return,
            },
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
