//! A machine: power, clock, processes, address and services. Everything on it lives and dies with
//! it, each in its own way.

use crate::clock::{Clock, MILLISECOND, Time, nanoseconds};
use crate::content::Volume;
use crate::daemon::Daemon;
use crate::full_sync::FullSync;
use crate::mirror::Mirror;
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::world::World;
use tandem_core::{
    Durable, EffectId, Event, InSync, Instant, MirrorFault, NodeId, Record, ServiceFailure,
};

/// What the disk of the state directory does with a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StateDisk {
    /// Writes in milliseconds.
    #[default]
    Sound,
    /// Writes in something like the time-out.
    Slow,
    /// Fails.
    Failing,
    /// Does not come back.
    Hanging,
}

/// What the services do when they are started or run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ServicesFault {
    /// They start.
    #[default]
    None,
    /// They fail to start.
    Failing,
    /// They fail to start, and no restart can help.
    Masked,
    /// They never become ready.
    Hanging,
}

/// What the application is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ServicesState {
    /// No process.
    #[default]
    Stopped,
    /// Starting; it writes already.
    Starting,
    /// Running.
    Running,
    /// Stopping; it writes still.
    Stopping,
}

/// The services of a node.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// What they do.
    pub state: ServicesState,
    /// The number of the job in hand; another one makes it void.
    pub job: u64,
    /// Who wants to know: daemon and effect.
    pub asked: Option<(u64, EffectId)>,
    /// What is wrong with them.
    pub fault: ServicesFault,
    /// Its processes so far.
    pub process: u64,
    /// The number of the application's own course.
    pub course: u64,
    /// The stop in hand does not end: a process hangs in a sync that nobody answers.
    pub stuck: bool,
    /// When the stop in hand is given up.
    pub give_up_at: Time,
    /// Somebody stopped them from outside.
    pub requested: bool,
}

/// A machine.
#[derive(Debug)]
pub struct Host {
    /// Its node.
    pub node: NodeId,
    /// It has power.
    pub up: bool,
    /// Its boots so far.
    pub boot: u64,
    /// The operating system shuts down.
    pub shutting_down: bool,
    /// It is a virtual machine that stands still.
    pub paused: bool,
    /// What waits for it to go on.
    pub deferred: Vec<(Scope, Happening)>,
    /// Its clock.
    pub clock: Clock,
    /// The core's state on disk.
    pub durable: Durable,
    /// What the disk of the state does.
    pub state_disk: StateDisk,
    /// The protected data.
    pub volume: Volume,
    /// An image of all disks of the machine.
    pub image: Option<Box<(Durable, Volume)>>,
    /// The daemon's process.
    pub daemon: Option<Daemon>,
    /// Daemons since the boot.
    pub daemon_starts: u64,
    /// The mirror's process.
    pub mirror: Option<Mirror>,
    /// What is owed to an operator who does not believe its copy.
    pub full_sync: FullSync,
    /// When the last session of its mirror ended.
    pub unmounted: Time,
    /// The services.
    pub services: Services,
    /// Until when the kernel keeps the virtual address.
    pub address_until: Option<Instant>,
    /// The next local sync of the mirror fails.
    pub local_fault: bool,
    /// The next operation of a follower fails.
    pub apply_fault: bool,
    /// Its own links have a carrier.
    pub carrier: bool,
    /// Its gateway answers.
    pub gateway: bool,
    /// The digest of its configuration.
    pub digest: u64,
    /// When the newest message between daemon and mirror arrives, each way.
    pub socket: [u64; 2],
}

impl Host {
    /// A machine without power.
    #[must_use]
    pub fn new(node: NodeId, parts_per_million: i64) -> Self {
        Self {
            node,
            up: false,
            boot: 0,
            shutting_down: false,
            paused: false,
            deferred: Vec::new(),
            clock: Clock::boot(0, parts_per_million),
            durable: Durable::default(),
            state_disk: StateDisk::Sound,
            volume: Volume::default(),
            image: None,
            daemon: None,
            daemon_starts: 0,
            mirror: None,
            full_sync: FullSync::Settled,
            unmounted: 0,
            services: Services::default(),
            address_until: None,
            local_fault: false,
            apply_fault: false,
            carrier: true,
            gateway: true,
            digest: 1,
            socket: [0; 2],
        }
    }

    /// The scope of the machine.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::Host(self.node, self.boot)
    }
}

impl World {
    /// Power on.
    pub(crate) fn boot(&mut self, node: NodeId) {
        let rate = self.random.between(0, 400) as i64 - 200;
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        if host.up {
            return;
        }
        host.up = true;
        host.shutting_down = false;
        host.boot += 1;
        host.clock = Clock::boot(now, rate);
        host.daemon_starts = 0;
        let scope = host.scope();
        self.note(node, || "boots".into());
        if self.settling.opened {
            self.keep_machine(node);
        }
        let delay = self.random.between(10, 300) * MILLISECOND;
        self.after(delay, scope, Happening::StartDaemon);
    }

    /// Power off, without a warning.
    pub(crate) fn cut_power(&mut self, node: NodeId) {
        if !self.hosts[place(node)].up {
            return;
        }
        self.note(node, || "loses power".into());
        self.resume_machine(node);
        self.end_daemon(node);
        self.end_mirror(node);
        self.random_tear(node);
        let host = &mut self.hosts[place(node)];
        host.up = false;
        host.paused = false;
        host.deferred.clear();
        host.services = Services {
            fault: host.services.fault,
            job: host.services.job + 1,
            course: host.services.course + 1,
            process: host.services.process,
            ..Services::default()
        };
        host.address_until = None;
        self.updated_joined();
    }

    /// Somebody makes an image of all disks of a machine, which may run.
    pub(crate) fn keep_machine(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        host.volume.keep();
        let volume = host.volume.as_on_disk();
        host.image = Some(Box::new((host.durable.clone(), volume)));
    }

    /// The machine, which is off, is as it was when its image was made, and does not know it.
    ///
    /// Not if nobody could tell it: if it was the only one in sync then, it serves by itself after a
    /// boot; and of decisions that nobody else has, nobody knows.
    pub(crate) fn put_back_machine(&mut self, node: NodeId) {
        let alone = self.settings.start_alone_after.is_some();
        let host = &self.hosts[place(node)];
        let (mine, theirs) = (&host.durable, &self.hosts[place(node.peer())].durable);
        let (Some(image), Some(mine), Some(theirs)) = (&host.image, &mine.record, &theirs.record)
        else {
            return;
        };
        let known = theirs.version >= mine.version
            && theirs.epoch >= mine.epoch
            && theirs.lineage.contains(mine.lineage.current)
            && !alone;
        let sole = |r: &Option<Record>| r.as_ref().is_some_and(|r| r.insync == InSync::Only(node));
        let before = image.0.record.as_ref().map(|record| record.version);
        let older = before.is_some_and(|version| version < mine.version)
            && !sole(&image.0.record)
            && !sole(&image.0.proposal);
        if !known || !older {
            return;
        }
        let (durable, volume) = image.as_ref().clone();
        self.note(node, || "is set back to an older state".into());
        let host = &mut self.hosts[place(node)];
        (host.durable, host.volume) = (durable, volume);
        host.volume.set_back = true;
        host.full_sync = FullSync::Settled;
        self.truth.forgets(node);
        let host = &mut self.hosts[place(node)];
        host.volume.keep();
    }

    fn random_tear(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        host.volume.lose_power(&mut self.random);
    }

    /// The hypervisor stops the machine, with its clock.
    pub(crate) fn pause_machine(&mut self, node: NodeId) {
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        if host.up && !host.paused {
            host.paused = true;
            host.clock.stop(now);
            self.note(node, || "is paused, with its clock".into());
            self.updated_joined();
        }
    }

    /// The machine goes on where it was.
    pub(crate) fn resume_machine(&mut self, node: NodeId) {
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        if !host.paused {
            return;
        }
        host.paused = false;
        host.clock.go_on(now);
        self.resumed[place(node)] = Some(now);
        let host = &mut self.hosts[place(node)];
        let deferred = core::mem::take(&mut host.deferred);
        self.note(node, || "goes on, unaware of the pause".into());
        for (scope, happening) in deferred {
            // Behind what a process that stands still was to hear before.
            if let Some((scope, happening)) = self.unless_stopped(node, scope, happening) {
                self.after(0, scope, happening);
            }
        }
        self.rearm(node);
        self.updated_joined();
    }

    /// What waited for a process happens. On a machine that stands still it waits again, before all
    /// that came later.
    pub(crate) fn happens_at_last(&mut self, node: NodeId, waited: Vec<(Scope, Happening)>) {
        let host = &mut self.hosts[place(node)];
        if host.paused {
            host.deferred.splice(0..0, waited);
            return;
        }
        for (scope, happening) in waited {
            self.after(0, scope, happening);
        }
    }

    /// Whether the kernel of `node` has the virtual address.
    pub(crate) fn has_address(&self, node: NodeId) -> bool {
        let host = &self.hosts[place(node)];
        host.up
            && host
                .address_until
                .is_some_and(|until| until > host.clock.local(self.now))
    }

    /// A job of the service manager begins; the earlier one is void.
    pub(crate) fn services_begin(
        &mut self,
        node: NodeId,
        asked: Option<(u64, EffectId)>,
        target: ServicesState,
    ) {
        let longest = self.settings.service_time;
        let force = target == ServicesState::Stopped;
        let mut duration = self.random.between(longest / 10, longest);
        if force {
            duration = self.random.between(5, 50) * MILLISECOND;
        }
        let now = self.now;
        let mut patience = nanoseconds(self.settings.service_limit);
        if force {
            patience /= 3;
        }
        let host = &mut self.hosts[place(node)];
        let was = host.services.state;
        host.services.job += 1;
        host.services.asked = asked;
        host.services.stuck = false;
        let job = host.services.job;
        match target {
            ServicesState::Starting | ServicesState::Running => {
                if was == ServicesState::Running {
                    duration = MILLISECOND;
                } else {
                    host.services.state = ServicesState::Starting;
                    host.services.process += 1;
                }
                if host.services.fault == ServicesFault::Hanging {
                    duration = nanoseconds(self.settings.service_limit);
                }
            }
            ServicesState::Stopping | ServicesState::Stopped => {
                if was == ServicesState::Stopped {
                    duration = MILLISECOND;
                } else {
                    host.services.state = ServicesState::Stopping;
                    host.services.give_up_at = now + patience;
                }
            }
        }
        let scope = host.scope();
        self.after(duration, scope, Happening::ServicesEnd(job));
        if target == ServicesState::Starting {
            self.application_begins(node);
        }
    }

    /// The job ends.
    pub(crate) fn services_end(&mut self, node: NodeId, job: u64) {
        let served = self.serving_mirror(node);
        if self.hosts[place(node)].services.job != job {
            return;
        }
        if self.hosts[place(node)].services.state == ServicesState::Stopping {
            // A process in a parked fsync does not end, and cannot be killed.
            let stuck = self.hosts[place(node)].services.stuck || self.random.chance(500);
            let stuck = stuck && self.parked(node);
            let host = &mut self.hosts[place(node)];
            host.services.stuck = stuck;
            let (scope, give_up_at) = (host.scope(), host.services.give_up_at);
            if stuck && self.now < give_up_at {
                let again = self.settings.unit() / 20;
                return self.after(again, scope, Happening::ServicesEnd(job));
            }
        }
        let host = &mut self.hosts[place(node)];
        let asked = host.services.asked.take();
        let outcome = match host.services.state {
            ServicesState::Starting | ServicesState::Running => {
                let failed = !served || host.services.fault != ServicesFault::None;
                if failed {
                    host.services.state = ServicesState::Stopped;
                    host.services.course += 1;
                    Outcome::Failed(
                        "does not start",
                        host.services.fault == ServicesFault::Masked,
                    )
                } else {
                    host.services.state = ServicesState::Running;
                    host.services.requested = false;
                    Outcome::Started
                }
            }
            ServicesState::Stopping if host.services.stuck => {
                Outcome::Failed("a process hangs in a sync", false)
            }
            ServicesState::Stopping | ServicesState::Stopped => {
                host.services.state = ServicesState::Stopped;
                host.services.course += 1;
                Outcome::Stopped
            }
        };
        self.note(node, || format!("services: {outcome:?}"));
        let Some((daemon, id)) = asked else {
            return;
        };
        let event = match outcome {
            Outcome::Started => Event::ServicesStarted(id),
            Outcome::Stopped => Event::ServicesStopped(id),
            Outcome::Failed(reason, hopeless) => Event::ServicesFailed {
                id,
                failure: failure(reason, hopeless),
            },
        };
        self.after(
            MILLISECOND / 10,
            Scope::Daemon(node, daemon),
            Happening::Outcome(Box::new(event)),
        );
    }

    /// The application's directory is gone, or somebody killed it.
    pub(crate) fn services_die(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        let (was, scope, job) = (host.services.state, host.scope(), host.services.job);
        host.services.course += 1;
        match was {
            ServicesState::Stopped => {}
            ServicesState::Starting => {
                // The job finds out when it ends.
            }
            ServicesState::Running => {
                host.services.state = ServicesState::Stopped;
                self.note(node, || "services die".into());
            }
            ServicesState::Stopping => {
                if host.services.stuck {
                    // What hung in a sync dies of the signal that it was sent.
                    host.services.stuck = false;
                    host.services.state = ServicesState::Stopped;
                    self.after(10 * MILLISECOND, scope, Happening::ServicesEnd(job));
                }
            }
        }
    }

    /// The application's own course begins anew.
    pub(crate) fn application_begins(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        host.services.course += 1;
        let (scope, course) = (host.scope(), host.services.course);
        self.after(MILLISECOND, scope, Happening::Application(course));
    }

    /// The application writes, and asks for what it wrote to be durable.
    pub(crate) fn application_acts(&mut self, node: NodeId, course: u64) {
        let host = &self.hosts[place(node)];
        if host.services.course != course || host.services.state == ServicesState::Stopped {
            return;
        }
        let (scope, hangs) = (host.scope(), host.services.stuck);
        if !self.quiet && !hangs {
            let piece = self.random.below(crate::content::PIECES as u64) as usize;
            if self.mirror_write(node, piece) && self.random.chance(700) {
                self.mirror_sync(node, piece);
            }
        }
        let unit = self.settings.unit();
        let pause = self.random.between(unit / 100, unit / 6);
        self.after(pause, scope, Happening::Application(course));
    }

    /// Whether a process may hang in a sync on this node.
    fn parked(&self, node: NodeId) -> bool {
        self.hosts[place(node)].mirror.as_ref().is_some_and(|m| {
            m.serving().is_some()
                && (m.lapsed
                    || matches!(m.fault, Some(MirrorFault::LocalDisk(_)))
                    || m.paused
                    || !m.source.waiting.is_empty())
        })
    }
}

/// How a job of the service manager ended.
#[derive(Debug)]
enum Outcome {
    Started,
    Stopped,
    Failed(&'static str, bool),
}

/// A failure as the core hears of it.
#[must_use]
pub fn failure(reason: &str, hopeless: bool) -> ServiceFailure {
    ServiceFailure {
        name: "application".into(),
        reason: reason.into(),
        hopeless,
        requested: false,
    }
}
