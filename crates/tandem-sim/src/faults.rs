//! What goes wrong, when, and for how long.

use crate::clock::{MILLISECOND, Time};
use crate::host::{ServicesFault, ServicesState, StateDisk};
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::settings::Profile;
use crate::world::{NODES, World};
use tandem_core::{CheckerAction, Event, MirrorFault, NodeId, ServiceFailure};

/// A fault. Each has an end, at the latest when everything is healed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// What these senders send on one network does not arrive.
    Cut(u8, [bool; 2]),
    /// The same on all networks.
    CutAll([bool; 2]),
    /// The control link only.
    CutControl,
    /// The data stream only.
    CutStream([bool; 2]),
    /// Datagrams are lost, doubled and reordered; connections are slow.
    Loss(u8),
    /// A daemon is killed, and restarted at the end.
    KillDaemon(NodeId),
    /// A mirror is killed.
    KillMirror(NodeId),
    /// Power off, and on at the end.
    PowerCut(NodeId),
    /// Both at once.
    PowerCutBoth,
    /// Power off; the volume comes back in an older state.
    RollBack(NodeId),
    /// Power off; the whole machine comes back in an older state and does not know it.
    SetBack(NodeId),
    /// The machine shuts down in order.
    Shutdown(NodeId),
    /// A virtual machine stands still, with its clock.
    PauseMachine(NodeId),
    /// Processes are stopped by a signal; the machine's clock and kernel go on.
    PauseProcesses {
        /// Where.
        node: NodeId,
        /// The daemon.
        daemon: bool,
        /// The mirror.
        mirror: bool,
    },
    /// The state's disk misbehaves.
    State(NodeId, StateDisk),
    /// The next local sync fails.
    LocalDisk(NodeId),
    /// The next operation at the follower fails.
    Apply(NodeId),
    /// The application dies.
    ServiceCrash(NodeId),
    /// The application does not start.
    Services(NodeId, ServicesFault),
    /// The configurations differ.
    Configuration(NodeId),
    /// A machine that is no node answers for the virtual address.
    Stranger,
    /// None of a node's own links has a carrier.
    Carrier(NodeId),
    /// A node's gateway does not answer it.
    Gateway(NodeId),
    /// A checker is down on a node.
    Checker(NodeId, CheckerAction),
}

/// The name of the checker that faults let go down.
const CHECKER: &str = "probe";

/// The kinds of faults, with a weight for each profile in the order of [`Profile::ALL`].
const WEIGHTS: [(Kind, [u32; 6]); 24] = [
    (Kind::Cut, [0, 8, 0, 0, 0, 4]),
    (Kind::OneWay, [0, 6, 0, 0, 0, 3]),
    (Kind::CutAll, [0, 5, 1, 0, 0, 3]),
    (Kind::CutControl, [0, 2, 0, 0, 0, 1]),
    (Kind::CutStream, [0, 5, 0, 1, 0, 2]),
    (Kind::Loss, [0, 6, 1, 2, 0, 3]),
    (Kind::KillDaemon, [0, 0, 8, 1, 2, 4]),
    (Kind::KillMirror, [0, 0, 8, 1, 0, 4]),
    (Kind::PowerCut, [0, 0, 8, 1, 0, 4]),
    (Kind::PowerCutBoth, [0, 0, 2, 0, 0, 1]),
    (Kind::RollBack, [0, 0, 1, 0, 0, 1]),
    (Kind::SetBack, [0, 0, 2, 0, 0, 1]),
    (Kind::Shutdown, [0, 0, 3, 0, 2, 2]),
    (Kind::PauseMachine, [0, 0, 0, 8, 0, 4]),
    (Kind::PauseProcesses, [0, 0, 0, 10, 0, 5]),
    (Kind::State, [0, 0, 4, 1, 0, 3]),
    (Kind::Disk, [0, 0, 3, 0, 0, 2]),
    (Kind::ServiceCrash, [0, 0, 1, 0, 6, 2]),
    (Kind::Services, [0, 0, 0, 0, 6, 2]),
    (Kind::Configuration, [0, 0, 0, 0, 2, 1]),
    (Kind::Stranger, [0, 2, 1, 0, 1, 1]),
    (Kind::Carrier, [0, 3, 0, 0, 0, 1]),
    (Kind::Gateway, [0, 3, 0, 0, 0, 1]),
    (Kind::Checker, [0, 0, 0, 0, 4, 2]),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Cut,
    OneWay,
    CutAll,
    CutControl,
    CutStream,
    Loss,
    KillDaemon,
    KillMirror,
    PowerCut,
    PowerCutBoth,
    RollBack,
    SetBack,
    Shutdown,
    PauseMachine,
    PauseProcesses,
    State,
    Disk,
    ServiceCrash,
    Services,
    Configuration,
    Stranger,
    Carrier,
    Gateway,
    Checker,
}

impl World {
    /// A random fault begins; another one follows.
    pub(crate) fn chaos(&mut self) {
        if self.healed || self.settings.profile == Profile::Calm {
            return;
        }
        let fault = self.draw_fault();
        let unit = self.settings.unit();
        let duration = match self.random.below(4) {
            0 => self.random.between(unit / 50, unit / 2),
            1 | 2 => self.random.between(unit / 2, unit * 3),
            _ => self.random.between(unit * 2, unit * 8),
        };
        self.fault_begins(fault, duration);
        let pause = if self.random.chance(250) {
            self.random.between(0, unit)
        } else {
            self.random.between(unit / 2, unit * 6)
        };
        self.after(pause, Scope::World, Happening::Chaos);
    }

    fn draw_fault(&mut self) -> Fault {
        let column = Profile::ALL
            .iter()
            .position(|p| *p == self.settings.profile)
            .unwrap_or(0);
        let weights: Vec<u32> = WEIGHTS.iter().map(|(_, w)| w[column]).collect();
        let kind = WEIGHTS[self.random.weighted(&weights)].0;
        // Faults like to hit the one that serves.
        let serving = NODES.into_iter().find(|n| self.serving_mirror(*n));
        let node = match serving {
            Some(node) if self.random.chance(600) => node,
            Some(_) | None => self.random.pick(&NODES),
        };
        let network = self.random.below(u64::from(self.settings.networks)) as u8;
        let one_way = self.random.pick(&[[true, false], [false, true]]);
        let (daemon, mirror) = self
            .random
            .pick(&[(true, false), (false, true), (true, true)]);
        let state = self
            .random
            .pick(&[StateDisk::Slow, StateDisk::Failing, StateDisk::Hanging]);
        let services = self.random.pick(&[
            ServicesFault::Failing,
            ServicesFault::Failing,
            ServicesFault::Masked,
            ServicesFault::Hanging,
        ]);
        let local = self.random.chance(500);
        let action = self.random.pick(&[
            CheckerAction::StopStart,
            CheckerAction::Swap,
            CheckerAction::Wait,
            CheckerAction::Stop,
        ]);
        match kind {
            Kind::Cut => Fault::Cut(network, [true; 2]),
            Kind::OneWay => Fault::Cut(network, one_way),
            Kind::CutAll => {
                let both = self.random.chance(600);
                Fault::CutAll(if both { [true; 2] } else { one_way })
            }
            Kind::CutControl => Fault::CutControl,
            Kind::CutStream => {
                let both = self.random.chance(600);
                Fault::CutStream(if both { [true; 2] } else { one_way })
            }
            Kind::Loss => Fault::Loss(network),
            Kind::KillDaemon => Fault::KillDaemon(node),
            Kind::KillMirror => Fault::KillMirror(node),
            Kind::PowerCut => Fault::PowerCut(node),
            Kind::PowerCutBoth => Fault::PowerCutBoth,
            Kind::RollBack => Fault::RollBack(node),
            Kind::SetBack => Fault::SetBack(node),
            Kind::Shutdown => Fault::Shutdown(node),
            Kind::PauseMachine => Fault::PauseMachine(node),
            Kind::PauseProcesses => Fault::PauseProcesses {
                node,
                daemon,
                mirror,
            },
            Kind::State => Fault::State(node, state),
            Kind::Disk if local => Fault::LocalDisk(node),
            Kind::Disk => Fault::Apply(node),
            Kind::ServiceCrash => Fault::ServiceCrash(node),
            Kind::Services => Fault::Services(node, services),
            Kind::Configuration => Fault::Configuration(node),
            Kind::Stranger => Fault::Stranger,
            Kind::Carrier => Fault::Carrier(node),
            Kind::Gateway => Fault::Gateway(node),
            Kind::Checker => Fault::Checker(node, action),
        }
    }

    /// A fault begins, and ends after `duration`.
    pub(crate) fn fault_begins(&mut self, fault: Fault, duration: Time) {
        self.statistics.faults += 1;
        let seconds = duration as f64 / 1e9;
        self.note(NodeId::One, || {
            format!("======== {fault:?} for {seconds:.3} s")
        });
        let shutdown = matches!(fault, Fault::Shutdown(_));
        let shortest = if shutdown {
            self.settings.unit() * 3
        } else {
            0
        };
        self.fault_takes_hold(fault);
        self.after(
            duration.max(shortest),
            Scope::World,
            Happening::FaultEnds(fault),
        );
    }

    /// A fault begins, and somebody else ends it.
    pub(crate) fn fault_takes_hold(&mut self, fault: Fault) {
        match fault {
            Fault::Cut(network, from) => self.cut(usize::from(network), from),
            Fault::CutAll(from) => {
                for network in 0..self.wires.networks.len() {
                    self.cut(network, from);
                }
            }
            Fault::CutControl => self.wires.control_cut = [true; 2],
            Fault::CutStream(from) => {
                for (cut, new) in self.wires.stream_cut.iter_mut().zip(from) {
                    *cut |= new;
                }
            }
            Fault::Loss(network) => {
                let unit = self.settings.unit();
                let loss = self.random.between(50, 700);
                let slow = self.random.between(MILLISECOND, unit / 2);
                let network = &mut self.wires.networks[usize::from(network)];
                network.loss = loss;
                network.duplication = 200;
                network.delay = (MILLISECOND / 10, slow);
            }
            Fault::KillDaemon(node) => self.end_daemon(node),
            Fault::KillMirror(node) => self.end_mirror(node),
            Fault::PowerCut(node) => self.cut_power(node),
            Fault::PowerCutBoth => {
                for node in NODES {
                    self.cut_power(node);
                }
            }
            Fault::RollBack(node) => {
                self.cut_power(node);
                self.hosts[place(node)].volume.roll_back();
            }
            Fault::SetBack(node) => {
                self.cut_power(node);
                self.put_back_machine(node);
            }
            Fault::Shutdown(node) => {
                self.hosts[place(node)].shutting_down = true;
                if self.runs(node) {
                    self.feed(node, Event::ShuttingDown);
                }
            }
            Fault::PauseMachine(node) => self.pause_machine(node),
            Fault::PauseProcesses {
                node,
                daemon,
                mirror,
            } => {
                if daemon {
                    self.pause_daemon(node, true);
                }
                if mirror {
                    self.pause_mirror(node, true);
                }
            }
            Fault::State(node, disk) => self.hosts[place(node)].state_disk = disk,
            Fault::LocalDisk(node) => self.hosts[place(node)].local_fault = true,
            Fault::Apply(node) => self.hosts[place(node)].apply_fault = true,
            Fault::ServiceCrash(node) => self.services_die(node),
            Fault::Services(node, services) => {
                self.hosts[place(node)].services.fault = services;
                if self.random.chance(600) {
                    self.services_die(node);
                }
            }
            Fault::Stranger => self.stranger = true,
            Fault::Carrier(node) => {
                for network in 0..self.wires.networks.len() {
                    self.cut(network, [true; 2]);
                }
                self.wires.control_cut = [true; 2];
                self.wires.stream_cut = [true; 2];
                self.hosts[place(node)].carrier = false;
                self.tell_surroundings(node);
            }
            Fault::Gateway(node) => {
                self.hosts[place(node)].gateway = false;
                self.tell_surroundings(node);
            }
            Fault::Checker(node, action) => self.checker_goes_down(node, action),
            Fault::Configuration(node) => {
                self.hosts[place(node)].digest = 2;
                self.end_daemon(node);
                self.after(
                    20 * MILLISECOND,
                    self.hosts[place(node)].scope(),
                    Happening::StartDaemon,
                );
            }
        }
        self.updated_joined();
    }

    fn cut(&mut self, network: usize, from: [bool; 2]) {
        for (cut, new) in self.wires.networks[network].cut.iter_mut().zip(from) {
            *cut |= new;
        }
    }

    /// Whether the node's daemon can be spoken to.
    pub(crate) fn runs(&self, node: NodeId) -> bool {
        let host = &self.hosts[place(node)];
        host.up && !host.paused && host.daemon.as_ref().is_some_and(|d| !d.paused)
    }

    /// A fault ends.
    pub(crate) fn fault_ends(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        self.note(NodeId::One, || format!("-------- {fault:?} ends"));
        match fault {
            Fault::Cut(network, _) => self.wires.networks[usize::from(network)].cut = [false; 2],
            Fault::CutAll(_) => {
                for network in &mut self.wires.networks {
                    network.cut = [false; 2];
                }
            }
            Fault::CutControl => self.wires.control_cut = [false; 2],
            Fault::CutStream(_) => self.wires.stream_cut = [false; 2],
            Fault::Loss(network) => {
                let network = &mut self.wires.networks[usize::from(network)];
                network.loss = 0;
                network.duplication = 0;
                network.delay = (MILLISECOND / 10, MILLISECOND);
            }
            Fault::KillDaemon(node) => self.start_daemon(node),
            Fault::KillMirror(_) | Fault::ServiceCrash(_) => {}
            Fault::PowerCut(node) | Fault::RollBack(node) | Fault::SetBack(node) => {
                self.boot(node);
            }
            Fault::PowerCutBoth => {
                // One is sometimes much later than the other.
                let (first, second) = self
                    .random
                    .pick(&[(NodeId::One, NodeId::Two), (NodeId::Two, NodeId::One)]);
                self.boot(first);
                if self.random.chance(400) {
                    let delay = self.random.between(0, self.settings.unit() * 5);
                    let fault = Fault::PowerCut(second);
                    self.after(delay, Scope::World, Happening::FaultEnds(fault));
                } else {
                    self.boot(second);
                }
            }
            Fault::Shutdown(node) => {
                self.cut_power(node);
                let delay = self.random.between(0, self.settings.unit() * 3);
                let fault = Fault::PowerCut(node);
                self.after(delay, Scope::World, Happening::FaultEnds(fault));
            }
            Fault::PauseMachine(node) => {
                self.resume_machine(node);
                self.tell_surroundings(node);
            }
            Fault::PauseProcesses { node, .. } => {
                self.pause_daemon(node, false);
                self.pause_mirror(node, false);
                self.tell_surroundings(node);
            }
            Fault::State(node, _) => self.state_disk_recovers(node),
            Fault::LocalDisk(node) | Fault::Apply(node) => self.disk_repaired(node),
            Fault::Services(node, _) => {
                self.hosts[place(node)].services.fault = ServicesFault::None;
            }
            Fault::Configuration(node) => self.configuration_repaired(node),
            Fault::Stranger => self.stranger = false,
            Fault::Carrier(node) => {
                for network in &mut self.wires.networks {
                    network.cut = [false; 2];
                }
                self.wires.control_cut = [false; 2];
                self.wires.stream_cut = [false; 2];
                self.hosts[place(node)].carrier = true;
                self.tell_surroundings(node);
            }
            Fault::Gateway(node) => {
                self.hosts[place(node)].gateway = true;
                self.tell_surroundings(node);
            }
            Fault::Checker(node, _) => self.checker_comes_up(node),
        }
        self.updated_joined();
    }

    /// A daemon looks at its links and its gateway when it starts, and hears of each change.
    pub(crate) fn tell_surroundings(&mut self, node: NodeId) {
        let host = &self.hosts[place(node)];
        let (carrier, reachable) = (host.carrier, host.gateway);
        if self.runs(node) {
            self.feed(node, Event::LinksChanged { carrier });
            self.feed(node, Event::GatewayChanged { reachable });
        }
    }

    /// The checker of the fault goes down.
    pub(crate) fn checker_goes_down(&mut self, node: NodeId, action: CheckerAction) {
        if !self.runs(node) {
            return;
        }
        let failure = ServiceFailure {
            name: CHECKER.into(),
            reason: "no answer".into(),
            hopeless: false,
            requested: false,
        };
        self.feed(node, Event::CheckerDown { failure, action });
    }

    fn checker_comes_up(&mut self, node: NodeId) {
        if self.runs(node) {
            let name = CHECKER.into();
            self.feed(node, Event::CheckerUp { name });
        }
    }

    /// Somebody repaired a volume: the mirror that saw the fault is restarted.
    fn disk_repaired(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        host.local_fault = false;
        host.apply_fault = false;
        let broken = host.mirror.as_ref().is_some_and(|m| {
            matches!(
                m.fault,
                Some(MirrorFault::LocalDisk(_) | MirrorFault::Apply(_))
            )
        });
        if broken {
            self.end_mirror(node);
        }
    }

    fn configuration_repaired(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        if host.digest != 1 {
            host.digest = 1;
            if host.daemon.is_some() {
                self.end_daemon(node);
                self.start_daemon(node);
            }
        }
    }

    /// Everything that is broken is repaired; the random part is over.
    pub(crate) fn heal(&mut self) {
        self.note(NodeId::One, || "======== everything is repaired".into());
        self.healed = true;
        self.healed_at = self.now;
        self.settling.restart(self.now);
        self.wires.heal();
        self.stranger = false;
        for node in NODES {
            self.resume_machine(node);
            self.hosts[place(node)].carrier = true;
            self.hosts[place(node)].gateway = true;
            if self.hosts[place(node)].shutting_down {
                self.cut_power(node);
            }
            self.boot(node);
            self.pause_daemon(node, false);
            self.pause_mirror(node, false);
            self.state_disk_recovers(node);
            self.hosts[place(node)].services.fault = ServicesFault::None;
            if self.hosts[place(node)].services.state == ServicesState::Starting {
                // A hanging start sees its file appear.
                let job = self.hosts[place(node)].services.job;
                let scope = self.hosts[place(node)].scope();
                self.after(MILLISECOND, scope, Happening::ServicesEnd(job));
            }
            self.disk_repaired(node);
            self.configuration_repaired(node);
            let scope = self.hosts[place(node)].scope();
            self.after(MILLISECOND, scope, Happening::StartDaemon);
            self.tell_surroundings(node);
            self.checker_comes_up(node);
        }
        self.updated_joined();
        self.after(MILLISECOND, Scope::World, Happening::Settle);
    }
}
