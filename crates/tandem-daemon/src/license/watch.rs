//! Counts the running time without a licence, warns, and tells the core of each module when it is
//! over. What follows from that is the core's.

use super::period::Kept;
use super::{Standing, Unlicensed, remember_clock, standing};
use crate::config::Configuration;
use crate::daemon::module_state_dir;
use crate::files::FileError;
use crate::hub::{Hub, PeerLicense};
use crate::reactor::Inputs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tandem_core::{Event, Instant};
use tandem_host::clock;
use tandem_wire::api::LicenseStatus;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// How often is counted, and a new licence looked for.
const TICK: Duration = Duration::from_secs(1);
/// How often what is counted goes to the disk: so much is lost at a power cut.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// How often the licence itself is read.
const READ_EVERY: Duration = Duration::from_secs(5);
/// From when on people are warned, and how often the log says it.
const WARN_AFTER: Duration = Duration::from_secs(3600);

/// What the task is made from.
pub(crate) struct Watch {
    pub configuration: Arc<Configuration>,
    pub state_dir: PathBuf,
    /// The identifier of the cluster.
    pub cluster: String,
    pub hub: Hub,
    pub inputs: Inputs,
    /// In the order of the modules.
    pub unlicensed: Vec<Arc<Unlicensed>>,
}

/// What is remembered of one module.
#[derive(Default)]
struct Module {
    kept: Option<Kept>,
    /// Full hours that were warned of.
    warned: u64,
}

impl Watch {
    /// For ever.
    pub(crate) async fn run(self) {
        let boot = clock::boot_id().unwrap_or_default();
        let mut modules: Vec<Module> = Vec::new();
        for (place, _) in self.configuration.places() {
            let kept = Kept::read(&self.path(place.0));
            if let Some(kept) = &kept {
                self.unlicensed[place.0].at_least(kept.used_by(clock::now(), &boot));
            }
            modules.push(Module { kept, warned: 0 });
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = clock::now();
        let mut standing = self.look(None).await;
        let mut read = clock::now();
        loop {
            ticks.tick().await;
            let now = clock::now();
            if now.since(read) >= READ_EVERY {
                standing = self.look(Some(standing)).await;
                read = now;
            }
            let passed = now.since(std::mem::replace(&mut last, now));
            let peers = self.hub.peer_licenses();
            for (place, module) in modules.iter_mut().enumerate() {
                self.count(place, module, (&standing, &peers), passed);
                self.keep(place, module, now, &boot).await;
            }
        }
    }

    fn path(&self, place: usize) -> PathBuf {
        let module = &self.configuration.modules[place].name;
        module_state_dir(&self.state_dir, module).join("unlicensed")
    }

    /// Reads the licence anew, and logs what has changed.
    async fn look(&self, before: Option<Standing>) -> Standing {
        let (state_dir, cluster) = (self.state_dir.clone(), self.cluster.clone());
        // A disk that does not answer must hold nobody else.
        let looked = spawn_blocking(move || {
            let standing = standing(&state_dir, &cluster);
            if matches!(standing, Standing::Valid(_)) {
                warn_of(remember_clock(&state_dir));
            }
            standing
        });
        let standing = looked.await.unwrap_or(Standing::Missing);
        if before.as_ref() != Some(&standing) {
            match &standing {
                Standing::Refused(_) => tracing::warn!("{}", standing.sentence()),
                Standing::Missing if before.is_some() => tracing::warn!("the licence is gone"),
                Standing::Missing | Standing::Valid(_) => {
                    tracing::info!("{}", standing.sentence());
                }
            }
        }
        standing
    }

    fn count(
        &self,
        place: usize,
        module: &mut Module,
        (standing, peers): (&Standing, &[PeerLicense]),
        passed: Duration,
    ) {
        let unlicensed = &self.unlicensed[place];
        let name = &self.configuration.modules[place].name;
        let valid = matches!(standing, Standing::Valid(_));
        let runs = self.hub.runs(place);
        let peer = peers.iter().find(|peer| peer.module == *name);
        // The licence is the cluster's: a file that is missing here is for a person to copy.
        let only_there = !valid && peer.is_some_and(|peer| peer.valid);
        if valid || only_there {
            unlicensed.begin_anew();
        } else if runs {
            unlicensed.add(passed);
            if let Some(theirs) = peer.and_then(|peer| peer.unlicensed) {
                unlicensed.at_least(theirs);
            }
        }
        let (used, left) = (unlicensed.used(), unlicensed.left());
        let sentence = standing.sentence();
        let warning = match used >= WARN_AFTER {
            true => Some(format!(
                "{sentence}; {name} stops after {} more of running time",
                words(left)
            )),
            false => only_there.then(|| format!("{sentence}; add the other node's here, too")),
        };
        let hours = used.as_secs() / WARN_AFTER.as_secs();
        if used < WARN_AFTER {
            module.warned = 0;
        } else if runs && hours > module.warned {
            module.warned = hours;
            let warning = warning.as_deref().unwrap_or_default();
            tracing::warn!(module = name, "{warning}");
        }
        self.hub.license(
            place,
            LicenseStatus {
                valid,
                text: sentence,
                warning,
                unlicensed_ms: None,
            },
        );
        if runs && unlicensed.is_over() {
            let place = crate::config::Place(place);
            self.inputs.of(place).send(Event::LicenceEnded);
        }
    }

    async fn keep(&self, place: usize, module: &mut Module, now: Instant, boot: &str) {
        let used = self.unlicensed[place].used();
        let running = self.hub.runs(place);
        let due = match &module.kept {
            None => !used.is_zero(),
            Some(kept) => {
                used < kept.used
                    || running != kept.running
                    || used != kept.used && now.since(kept.at) >= KEEP_EVERY
                    || kept.boot != boot
            }
        };
        if !due {
            return;
        }
        let kept = Kept {
            used,
            at: now,
            boot: boot.to_owned(),
            running,
        };
        let (path, written) = (self.path(place), kept.clone());
        // At worst it is done again.
        let _ = spawn_blocking(move || warn_of(written.write(&path))).await;
        module.kept = Some(kept);
    }
}

fn warn_of(written: Result<(), FileError>) {
    if let Err(error) = written {
        tracing::warn!("{}", crate::report(&error));
    }
}

fn words(left: Duration) -> String {
    let minutes = left.as_secs().div_ceil(60);
    match minutes {
        1 => "1 minute".to_owned(),
        0..120 => format!("{minutes} minutes"),
        _ => format!("{} hours", minutes / 60),
    }
}
