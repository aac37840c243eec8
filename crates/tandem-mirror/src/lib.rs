//! Stores: the FUSE mirror, its ordered stream and the standby's applier.
//!
//! One process per module. It serves the module's volumes to the application through FUSE and
//! streams every effect to the peer, or follows the peer's stream; which of the two, its daemon
//! says over a local socket. Plain threads, no async. It contains no policy: it never asks whether
//! it is the primary, it carries out commands and holds a permit.
//!
//! The serving half:
//! - [`control`]: the socket of the daemon
//! - [`roles`]: which role the process has, and the commands that change it
//! - [`mount`]: what stands over the path of a volume
//! - [`filesystem`], [`inodes`]: the operations of the application
//! - [`order`]: apply, then number (R6)
//! - [`source`]: the replay queue, the acknowledgements, the connection to the follower
//! - [`resync`]: comparing the whole tree inside the live stream
//! - [`verification`]: looking whether a level follower really is, on command
//! - [`permit`]: until when mutations are accepted
//!
//! Both halves:
//! - [`transport`]: frames over mutual TLS
//! - [`backing`], [`holders`], [`mountinfo`]: the plain directory beneath the mounts
//! - [`epochs`]: the highest epoch, on disk
//!
//! The following half: [`follower`], [`applier`].

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("deliberate defects cannot be built into a release");

pub mod admission;
pub mod applier;
pub mod backing;
pub mod before;
pub mod control;
pub mod debt;
pub mod epochs;
pub mod filesystem;
pub mod follower;
pub mod holders;
pub mod inodes;
pub mod left;
pub mod link;
mod linux;
pub mod mount;
pub mod mountinfo;
pub mod operations;
pub mod order;
mod pace;
pub mod permit;
mod pieces;
mod pinning;
pub mod process;
pub mod resync;
pub mod roles;
mod sabotage;
pub mod service;
pub mod source;
pub mod standing;
pub mod sync;
pub mod sys;
pub mod transport;
pub mod verification;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tandem_core::NodeId;
use tandem_wire::exclude::Exclude;

/// The default of [`MirrorConfig::queue_bytes_max`].
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// What a mirror process is told when it starts.
#[derive(Clone)]
pub struct MirrorConfig {
    /// The cluster's identifier.
    pub cluster: String,
    /// The module's name.
    pub module: String,
    /// Which node this is.
    pub node: NodeId,
    /// The volumes, in the order of the configuration.
    pub volumes: Vec<VolumeConfig>,
    /// Where the follower listens.
    pub listen: SocketAddr,
    /// Where the peer's follower listens.
    pub peer: SocketAddr,
    /// The keys of both nodes.
    pub identity: transport::Identity,
    /// The Unix socket of the daemon.
    pub socket: PathBuf,
    /// Where positions and epochs are kept beside those in the volumes.
    pub state_dir: PathBuf,
    /// The digest of the part of the configuration that must be equal on both nodes.
    pub configuration: u64,
    /// The silence after which a peer may be taken over.
    pub takeover_after: Duration,
    /// How long an acknowledgement may wait for the peer before that is reported.
    pub stall_limit: Duration,
    /// The replay buffer of a serving mirror, in bytes of payload.
    pub queue_bytes_max: usize,
    /// Where an acknowledged write is.
    pub durability: Durability,
}

/// A volume as it is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeConfig {
    /// Its name.
    pub name: String,
    /// Where the application finds it.
    pub path: PathBuf,
    /// Which of its operations wait for the peer.
    pub wait_for_peer: WaitForPeer,
    /// What of it is not mirrored.
    pub exclude: Exclude,
}

impl VolumeConfig {
    /// A volume with everything else as it is by default.
    #[must_use]
    pub fn new(name: String, path: PathBuf) -> Self {
        Self {
            name,
            path,
            wait_for_peer: WaitForPeer::default(),
            exclude: Exclude::default(),
        }
    }
}

/// Which operations are acknowledgements: answered only after the peer has what they promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WaitForPeer {
    /// `fsync`, `fdatasync`, and writes of files opened with `O_SYNC` or `O_DSYNC`, as on any disk.
    #[default]
    Fsync,
    /// Every operation that changes something: each is synced before it is answered.
    Write,
}

/// Where an acknowledged write is, as long as both copies are in sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// On both disks.
    #[default]
    Disk,
    /// On this node's disk, and applied in the peer's memory: a power loss of both nodes of which
    /// only the peer returns may lose it.
    Memory,
}

/// Why a mirror does not run.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The socket of the daemon.
    #[error(transparent)]
    Control(#[from] control::ControlError),
    /// Not root.
    #[error("set up the process: run as root")]
    Process(#[source] rustix::io::Errno),
}

/// Runs a mirror until its daemon lets it quit.
///
/// The process is this function's alone: it changes the mask for new files, the limit of open
/// files, and how the kernel treats its threads.
///
/// # Errors
/// [`MirrorError`]. Volumes that cannot be used are no error: they are reported, and tried again.
pub fn run(config: MirrorConfig) -> Result<(), MirrorError> {
    // Before any thread is started, so that all of them inherit it: memory that they wait for is
    // never gained by writing to the file system that they serve.
    if let Err(errno) = rustix::process::configure_io_flusher_behavior(true) {
        // Without CAP_SYS_RESOURCE, as in many containers: an everyday state, and nothing to do.
        tracing::debug!(
            %errno,
            "not marked as one that serves a file system: under memory pressure the kernel may \
             make it wait for its own writes"
        );
    }
    sys::keep_capabilities_across_users().map_err(MirrorError::Process)?;
    let files = sys::raise_file_limit();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = control::listen(&config.socket)?;
    // Modes come from the application, masked by the kernel.
    rustix::process::umask(rustix::fs::Mode::empty());
    let incarnation = process::incarnation();
    let module = config.module.clone();
    tracing::info!(module, incarnation, files, "mirror started");
    let signals = control::Signals::default();
    let roles = roles::Roles::new(
        Arc::new(config),
        incarnation,
        signals.changed.clone(),
        signals.gossip.clone(),
    );
    control::serve(listener, roles, &module, incarnation, signals);
    Ok(())
}
