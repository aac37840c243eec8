//! What people and the other node are shown: both nodes' status, the history, and the events by
//! number, so that a client that was away can go on where it was.
//!
//! A short lock, never held across an await; the reactor does not know of it.

use crate::config::{Configuration, Module, Place, digest_words};
use crate::license::Unlicensed;
use crate::snapshot::{Decision, Face, Snapshot};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_console::unix_ms;
use tandem_core::{
    DivergenceView, InSync, Instant, MirrorFault, MirrorRole, MirrorStatus, NodeId, PeerCopy,
    PeerView, Record, SideView, State, Tone,
};
use tandem_host::clock;
use tandem_wire::api::{
    AddressStatus, ApiEvent, CertificateStatus, ChannelStatus, ClusterStatus, DivergenceStatus,
    EVENTS_KEPT_MAX, HISTORY_SHOWN_MAX, HistoryEntry, LicenseStatus, MirrorSummary, ModuleStatus,
    NodeStatus, RecordStatus, ResourceStatus, SideStatus, SwitchesStatus, VerificationStatus,
    VolumeStatus, colour_word, data_words, tone_word,
};
use tandem_wire::local::{Verification, VerificationEnd};
use tokio::sync::watch;

/// The longest reason that a status carries: the other node's daemon takes 64 KiB in all.
const TEXT_BYTES_MAX: usize = 600;
/// What the other node said last is shown as its state for so long: it says something every second,
/// on each network and on the control link. Shown for longer, a dead node would look ready beside
/// one that goes on alone already.
const PEER_FRESH: Duration = Duration::from_millis(2500);

/// The shared picture of the cluster. Clones show the same.
#[derive(Clone)]
pub(crate) struct Hub {
    inner: Arc<Mutex<Inner>>,
    /// Counts the changes; whoever waits for one sees the number grow.
    news: watch::Sender<u64>,
    /// Makes the numbers of another process's events other numbers.
    incarnation: u64,
}

/// What one module shows of itself.
#[derive(Clone)]
pub(crate) struct ModuleHub {
    hub: Hub,
    place: Place,
}

struct Inner {
    configuration: Arc<Configuration>,
    /// Of the configuration, in words.
    digest: String,
    node: NodeId,
    /// In the order of the configuration.
    modules: Vec<ModuleInner>,
    peer: Option<NodeStatus>,
    peer_heard: Option<Instant>,
    /// The newest connection from the peer.
    link: Option<u64>,
    speaking: bool,
    difference: Option<String>,
    refused: Option<String>,
    certificate: Option<CertificateStatus>,
    events: VecDeque<(u64, ApiEvent)>,
    next_event: u64,
}

/// One module on this node.
struct ModuleInner {
    snapshot: Option<Snapshot>,
    history: VecDeque<HistoryEntry>,
    services: Vec<ResourceStatus>,
    checkers: Vec<ResourceStatus>,
    address_held: bool,
    pace: Pace,
    volumes: Vec<VolumeStatus>,
    license: LicenseStatus,
    unlicensed: Option<Arc<Unlicensed>>,
}

/// What the other node says of its licence.
#[derive(Clone, Debug)]
pub(crate) struct PeerLicense {
    /// For which module.
    pub module: String,
    /// Whether there is a valid one.
    pub valid: bool,
    /// The running time without one that it has counted of a module that runs there.
    pub unlicensed: Option<Duration>,
}

/// How fast comparisons are.
#[derive(Clone, Copy, Default)]
struct Pace {
    /// When the present one began, and what was done by then.
    began: Option<(Instant, u64)>,
    bytes_per_second: Option<u64>,
}

impl Pace {
    /// Too short to say anything.
    const MEASURED_MIN: Duration = Duration::from_millis(500);

    fn take(&mut self, mirror: Option<&MirrorStatus>) {
        let done = match mirror.map(|mirror| mirror.peer) {
            Some(PeerCopy::Comparing { done_bytes, .. }) => done_bytes,
            Some(PeerCopy::Absent | PeerCopy::Level) | None => {
                self.began = None;
                return;
            }
        };
        let now = clock::now();
        match self.began {
            Some((began, first)) if done >= first => {
                let took = now.since(began);
                if took >= Self::MEASURED_MIN && done > first {
                    let milliseconds = took.as_millis().max(1) as u64;
                    self.bytes_per_second =
                        Some((done - first).saturating_mul(1000) / milliseconds);
                }
            }
            Some(_) | None => self.began = Some((now, done)),
        }
    }
}

impl ModuleInner {
    fn new(module: &Module) -> Self {
        let resource = |name: &String, state: &str| ResourceStatus {
            name: name.clone(),
            state: state.to_owned(),
            reason: None,
        };
        let (services, checkers) = (module.services.iter(), module.checkers.iter());
        Self {
            snapshot: None,
            history: VecDeque::new(),
            services: services.map(|s| resource(&s.name, "stopped")).collect(),
            checkers: checkers.map(|c| resource(&c.name, "paused")).collect(),
            address_held: false,
            pace: Pace::default(),
            volumes: Vec::new(),
            license: LicenseStatus::default(),
            unlicensed: None,
        }
    }
}

/// A place in the sequence of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EventId {
    incarnation: u64,
    number: u64,
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{}", self.incarnation, self.number)
    }
}

impl std::str::FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (incarnation, number) = text.split_once('-').ok_or(())?;
        Ok(Self {
            incarnation: u64::from_str_radix(incarnation, 16).map_err(|_| ())?,
            number: number.parse().map_err(|_| ())?,
        })
    }
}

impl Hub {
    /// Nothing is known yet.
    pub(crate) fn new(configuration: Arc<Configuration>, node: NodeId, incarnation: u64) -> Self {
        let modules = configuration.modules.iter().map(ModuleInner::new);
        let modules = modules.collect();
        Self {
            inner: Arc::new(Mutex::new(Inner {
                digest: digest_words(&configuration),
                configuration,
                node,
                modules,
                peer: None,
                peer_heard: None,
                link: None,
                speaking: false,
                difference: None,
                refused: None,
                certificate: None,
                events: VecDeque::new(),
                next_event: 1,
            })),
            news: watch::Sender::new(0),
            incarnation,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves a picture that is still the newest one there is.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.lock());
        self.news.send_modify(|count| *count += 1);
        result
    }

    /// Sees each change.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// What one module shows.
    pub(crate) fn of(&self, place: Place) -> ModuleHub {
        let hub = self.clone();
        ModuleHub { hub, place }
    }

    /// What this node's modules are at a glance, in the order of the configuration.
    pub(crate) fn faces(&self) -> Vec<Option<Face>> {
        let inner = self.lock();
        let modules = inner.modules.iter();
        modules
            .map(|module| module.snapshot.as_ref().map(Snapshot::face))
            .collect()
    }

    /// Whether nobody has chosen yet whose data counts, as far as this node knows.
    pub(crate) fn before_first_start(&self, place: Place) -> bool {
        let inner = self.lock();
        let snapshot = inner.modules[place.0].snapshot.as_ref();
        snapshot.is_some_and(|snapshot| snapshot.record.is_none())
    }

    /// Keeps an event for clients.
    pub(crate) fn event(&self, event: ApiEvent) {
        self.change(|inner| inner.keep(event));
    }

    /// The peer's daemon said how it is: each time with one of its modules.
    pub(crate) fn peer(&self, mut status: NodeStatus) {
        self.change(|inner| {
            let mut modules = inner.peer.take().map_or(Vec::new(), |peer| peer.modules);
            for module in std::mem::take(&mut status.modules) {
                match modules.iter_mut().find(|known| known.name == module.name) {
                    Some(known) => *known = module,
                    None => modules.push(module),
                }
            }
            // In the order of this node, and none that it does not have.
            let configured = inner.configuration.modules.iter();
            status.modules = configured
                .filter_map(|m| modules.iter().find(|known| known.name == m.name).cloned())
                .collect();
            inner.peer = Some(status);
            inner.peer_heard = Some(clock::now());
        });
    }

    /// The control link from the peer came; a newer connection has a higher number.
    pub(crate) fn link_begun(&self, number: u64) {
        self.change(|inner| inner.link = inner.link.max(Some(number)));
    }

    /// That connection of it ended; a newer one may stand.
    pub(crate) fn link_ended(&self, number: u64) {
        self.change(|inner| inner.link = inner.link.filter(|newest| *newest != number));
    }

    /// The control link to the peer came or went.
    pub(crate) fn speaking(&self, up: bool) {
        self.change(|inner| inner.speaking = up);
    }

    /// Whether the peer can be told something, and can answer.
    pub(crate) fn link_is_up(&self) -> bool {
        let inner = self.lock();
        inner.link.is_some() && inner.speaking
    }

    /// Where the configurations differ, if they do. Gives back whether that is new.
    pub(crate) fn difference(&self, difference: Option<String>) -> bool {
        self.change(|inner| {
            let new = inner.difference != difference;
            inner.difference = difference;
            new
        })
    }

    /// Whether the configurations still differ in this.
    pub(crate) fn differs_in(&self, difference: &str) -> bool {
        self.lock().difference.as_deref() == Some(difference)
    }

    /// Why the daemons do not talk, if so. Gives back whether that is new.
    pub(crate) fn refused(&self, reason: Option<String>) -> bool {
        let news = self.lock().refused != reason;
        if news {
            self.change(|inner| inner.refused = reason);
        }
        news
    }

    /// This node, once for each of its modules: all at once may be more than a frame holds.
    pub(crate) fn own(&self) -> Vec<NodeStatus> {
        let whole = self.lock().own();
        let modules = whole.modules.iter();
        modules
            .map(|module| NodeStatus {
                modules: vec![module.clone()],
                ..whole.clone()
            })
            .collect()
    }

    /// Both nodes.
    pub(crate) fn status(&self) -> ClusterStatus {
        let inner = self.lock();
        let mut nodes = vec![inner.own(), inner.peer()];
        nodes.sort_by_key(|node| node.node);
        ClusterStatus {
            cluster: inner.configuration.cluster.clone(),
            answered_by: inner.node.number(),
            takeover_after_ms: milliseconds(inner.configuration.takeover_after),
            configuration_differs: inner.difference.clone(),
            link_refused: inner.refused.clone(),
            nodes,
        }
    }

    /// The node that serves a module, as far as is known.
    pub(crate) fn serving(&self, module: &str) -> Option<NodeId> {
        let status = self.status();
        let serves = |node: &&NodeStatus| {
            let mut modules = node.modules.iter();
            modules.any(|m| m.name == module && m.serves())
        };
        let node = status.nodes.iter().find(serves)?;
        NodeId::from_number(node.node)
    }

    /// Whether a module runs on this node, serving or not.
    pub(crate) fn runs(&self, place: usize) -> bool {
        let inner = self.lock();
        let snapshot = inner.modules[place].snapshot.as_ref();
        snapshot.is_some_and(|snapshot| snapshot.state != State::Stop)
    }

    /// With which certificate the console answers.
    pub(crate) fn certificate(&self, certificate: Option<CertificateStatus>) {
        self.change(|inner| inner.certificate = certificate);
    }

    /// What the licence is like. Told only where it changes.
    pub(crate) fn license(&self, place: usize, license: LicenseStatus) {
        let news = self.lock().modules[place].license != license;
        if news {
            self.change(|inner| inner.modules[place].license = license);
        }
    }

    /// What the other node says of its licence, module by module; nothing if it does not answer.
    pub(crate) fn peer_licenses(&self) -> Vec<PeerLicense> {
        let peer = self.lock().peer();
        if !peer.answers {
            return Vec::new();
        }
        let of_module = |module: ModuleStatus| {
            let runs = matches!(module.state.as_str(), "WAIT" | "ALONE" | "PRIM" | "SECOND");
            let unlicensed = module.license.unlicensed_ms.filter(|_| runs);
            PeerLicense {
                module: module.name,
                valid: module.license.valid,
                unlicensed: unlicensed.map(Duration::from_millis),
            }
        };
        peer.modules.into_iter().map(of_module).collect()
    }

    /// The newest event's place.
    pub(crate) fn newest(&self) -> EventId {
        EventId {
            incarnation: self.incarnation,
            number: self.lock().next_event - 1,
        }
    }

    /// The events after a place; `None` if some of them are not kept any more.
    pub(crate) fn after(&self, place: EventId) -> Option<Vec<(EventId, ApiEvent)>> {
        let inner = self.lock();
        let oldest = inner.next_event - inner.events.len() as u64;
        if place.incarnation != self.incarnation || place.number + 1 < oldest {
            return None;
        }
        let events = inner.events.iter();
        Some(
            events
                .filter(|(number, _)| *number > place.number)
                .map(|(number, event)| {
                    let id = EventId {
                        incarnation: self.incarnation,
                        number: *number,
                    };
                    (id, event.clone())
                })
                .collect(),
        )
    }
}

impl ModuleHub {
    fn change(&self, change: impl FnOnce(&mut ModuleInner)) {
        let place = self.place;
        self.hub.change(|inner| change(&mut inner.modules[place.0]));
    }

    /// Takes a new picture of the module.
    pub(crate) fn picture(&self, snapshot: Snapshot) {
        self.change(|module| {
            module.pace.take(snapshot.mirror.as_ref());
            module.snapshot = Some(snapshot);
        });
    }

    /// Remembers a decision.
    pub(crate) fn decided(&self, decision: &Decision) {
        let place = self.place;
        self.hub.change(|inner| {
            let entry = HistoryEntry {
                at_ms: unix_ms(),
                kind: if decision.alarm { "alarm" } else { "decision" }.to_owned(),
                row: decision.row.map(|row| row.0),
                because: short(&decision.because),
                inputs: short(&decision.inputs),
            };
            let history = &mut inner.modules[place.0].history;
            history.push_back(entry.clone());
            if history.len() > HISTORY_SHOWN_MAX {
                history.pop_front();
            }
            let node = inner.node.number();
            let module = inner.configuration.modules[place.0].name.clone();
            inner.keep(ApiEvent::History {
                node,
                module,
                entry,
            });
        });
    }

    /// All services are in this state; `failed` names the one that is the reason.
    pub(crate) fn services(&self, state: &str, failed: Option<(&str, &str)>) {
        self.change(|module| {
            for service in &mut module.services {
                service.state = state.to_owned();
                service.reason = None;
                if let Some((name, reason)) = failed
                    && service.name == name
                {
                    service.state = "failed".to_owned();
                    service.reason = Some(short(reason));
                }
            }
        });
    }

    /// A checker changed.
    pub(crate) fn checker(&self, name: &str, state: &str, reason: Option<&str>) {
        self.change(|module| {
            for checker in &mut module.checkers {
                if name == checker.name {
                    checker.state = state.to_owned();
                    checker.reason = reason.map(short);
                }
            }
        });
    }

    /// What stands in the volumes, before the first start.
    pub(crate) fn volumes(&self, volumes: Vec<VolumeStatus>) {
        self.change(|module| module.volumes = volumes);
    }

    /// Where the running time without a licence is counted.
    pub(crate) fn count_unlicensed(&self, unlicensed: Arc<Unlicensed>) {
        self.change(|module| module.unlicensed = Some(unlicensed));
    }

    /// The virtual addresses came or went.
    pub(crate) fn address(&self, held: bool) {
        self.change(|module| module.address_held = held);
    }
}

impl Inner {
    fn keep(&mut self, event: ApiEvent) {
        self.events.push_back((self.next_event, event));
        self.next_event += 1;
        if self.events.len() > EVENTS_KEPT_MAX {
            self.events.pop_front();
        }
    }

    fn shell(&self, node: NodeId) -> NodeStatus {
        let configured = self.configuration.node(node);
        NodeStatus {
            node: node.number(),
            name: configured.name.clone(),
            address: configured.address.to_string(),
            ..NodeStatus::default()
        }
    }

    fn own(&self) -> NodeStatus {
        NodeStatus {
            version: crate::RELEASE.to_owned(),
            configuration: self.digest.clone(),
            certificate: self.certificate.clone(),
            answers: true,
            modules: self
                .configuration
                .places()
                .map(|(p, _)| self.own_module(p))
                .collect(),
            ..self.shell(self.node)
        }
    }

    fn own_module(&self, place: Place) -> ModuleStatus {
        let now = clock::now();
        let module = &self.modules[place.0];
        let base = ModuleStatus {
            name: self.configuration.modules[place.0].name.clone(),
            addresses: self.addresses(place),
            services: module.services.clone(),
            checkers: module.checkers.clone(),
            history: module.history.iter().cloned().collect(),
            volumes: module.volumes.clone(),
            ..ModuleStatus::default()
        };
        let Some(snapshot) = &module.snapshot else {
            return unknown(base, "the daemon is starting");
        };
        let (permit, permit_left_ms) = match snapshot.permit_until {
            None => ("none", None),
            Some(Instant::FAR) => ("without end", None),
            Some(until) => ("until", Some(milliseconds(until.since(now)))),
        };
        ModuleStatus {
            state: snapshot.state.word().to_owned(),
            tone: tone_word(snapshot.tone).to_owned(),
            colour: colour_word(snapshot.state, snapshot.tone).to_owned(),
            data: data_words(snapshot.data),
            resync_percent: resync_percent(snapshot),
            reason: short(&snapshot.reason),
            advice: snapshot.advice.clone(),
            warning: warnings(
                snapshot.warning.as_deref(),
                module.license.warning.as_deref(),
            ),
            state_age_ms: milliseconds(now.since(snapshot.since)),
            record: snapshot.record.as_ref().map(record_status),
            permit: permit.to_owned(),
            permit_left_ms,
            switches: Some(SwitchesStatus {
                failover: snapshot.switches.failover,
                checkers: snapshot.switches.checkers,
                boot_start: snapshot.switches.boot_start,
            }),
            license: LicenseStatus {
                // Read last: whoever sees a state that runs sees the count that belongs to it.
                unlicensed_ms: (module.unlicensed.as_ref()).map(|count| milliseconds(count.used())),
                ..module.license.clone()
            },
            restarts_used: snapshot.restarts_used,
            divergence: snapshot.divergence.as_ref().map(divergence_status),
            mirror: MirrorSummary {
                resync_bytes_per_second: module.pace.bytes_per_second,
                verification: snapshot.verification.as_ref().map(verification_status),
                old_program: snapshot.old_program,
                ..mirror_summary(snapshot)
            },
            channels: (snapshot.channels.iter())
                .map(|channel| ChannelStatus {
                    name: channel.id.to_string(),
                    heard_ms: channel.heard.map(|at| milliseconds(now.since(at))),
                    received: channel.received,
                    refused: channel.refused,
                    unsent: channel.unsent,
                })
                .collect(),
            ..base
        }
    }

    fn addresses(&self, place: Place) -> Vec<AddressStatus> {
        let module = &self.configuration.modules[place.0];
        let held = self.modules[place.0].address_held;
        let status = |address: &crate::config::Address| AddressStatus {
            address: format!("{}/{}", address.address, address.prefix),
            interface: address.interface(self.node).to_owned(),
            held,
        };
        module.addresses.iter().map(status).collect()
    }

    /// The peer: as it says itself over the control link; else as its heartbeats say; else unknown.
    fn peer(&self) -> NodeStatus {
        let now = clock::now();
        let node = self.node.peer();
        let fresh = |heard: Instant| now.since(heard) < PEER_FRESH;
        let beats = || (self.modules.iter()).map(|m| m.snapshot.as_ref().and_then(|s| s.peer));
        // With a short `takeover_after` the core gives the peer up before that.
        let given_up = beats().all(|beat| beat.is_some_and(|peer| peer.silent));
        let answers = self.link.is_some() && !given_up && self.peer_heard.is_some_and(fresh);
        let last = self.peer.clone();
        if answers && let Some(status) = last {
            return NodeStatus {
                answers: true,
                silent_ms: None,
                ..status
            };
        }
        let mut status = last.unwrap_or_else(|| self.shell(node));
        let known = std::mem::take(&mut status.modules);
        let mut heard = self.peer_heard;
        for (Place(place), configured) in self.configuration.places() {
            let beat = (self.modules[place].snapshot.as_ref()).and_then(|s| s.peer);
            heard = heard.max(beat.map(|peer| peer.heard));
            let module = known.iter().find(|m| m.name == configured.name).cloned();
            let module = module.unwrap_or_else(|| ModuleStatus {
                name: configured.name.clone(),
                ..ModuleStatus::default()
            });
            let beat = beat.filter(|peer| !peer.silent && fresh(peer.heard));
            status.modules.push(by_heartbeats(module, beat));
        }
        status.answers = false;
        status.silent_ms = heard.map(|heard| milliseconds(now.since(heard)));
        status
    }
}

/// A module on a peer whose control link does not answer; `beat` is what its heartbeats say now.
fn by_heartbeats(module: ModuleStatus, beat: Option<PeerView>) -> ModuleStatus {
    match beat {
        Some(peer) => ModuleStatus {
            state: peer.state.word().to_owned(),
            tone: tone_word(peer.tone).to_owned(),
            colour: colour_word(peer.state, peer.tone).to_owned(),
            data: data_words(peer.data),
            reason: "known by its heartbeats only: its control link does not answer".to_owned(),
            ..module
        },
        None if module.state.is_empty() || module.state == "unknown" => {
            unknown(module, "it does not answer")
        }
        None => {
            let reason = format!("it does not answer; it was {}", module.state);
            unknown(module, &reason)
        }
    }
}

fn unknown(module: ModuleStatus, reason: &str) -> ModuleStatus {
    ModuleStatus {
        state: "unknown".to_owned(),
        tone: tone_word(Tone::NotReady).to_owned(),
        colour: "red".to_owned(),
        data: "unknown".to_owned(),
        reason: reason.to_owned(),
        advice: None,
        resync_percent: None,
        ..module
    }
}

/// What a person should know, of both kinds.
fn warnings(module: Option<&str>, license: Option<&str>) -> Option<String> {
    let all = [module, license].into_iter().flatten().map(short);
    let all = all.collect::<Vec<_>>().join("; ");
    (!all.is_empty()).then_some(all)
}

fn divergence_status(divergence: &DivergenceView) -> DivergenceStatus {
    let side = |side: &SideView| SideStatus {
        generation: format!("{:016x}", side.generation.0),
        epoch: side.epoch.0,
        data_bytes: side.data_bytes,
        serves: side.serves,
    };
    DivergenceStatus {
        mine: side(&divergence.mine),
        theirs: side(&divergence.theirs),
        common: divergence.common.map(|common| format!("{:016x}", common.0)),
        goes_on: divergence.goes_on.number(),
    }
}

fn record_status(record: &Record) -> RecordStatus {
    RecordStatus {
        version: record.version.0,
        epoch: record.epoch.0,
        holder: record.holder.number(),
        insync: match record.insync {
            InSync::Both => vec![1, 2],
            InSync::Only(one) => vec![one.number()],
        },
        generation: format!("{:016x}", record.lineage.current.0),
        confirmed: record.confirmed,
        clean: record.clean,
        forced: record.forced,
    }
}

fn resync_percent(snapshot: &Snapshot) -> Option<u8> {
    match (&snapshot.mirror, snapshot.data) {
        (_, tandem_core::DataState::Resyncing(percent)) => Some(percent),
        (
            Some(MirrorStatus {
                peer:
                    PeerCopy::Comparing {
                        done_bytes,
                        total_bytes,
                    },
                ..
            }),
            _,
        ) => {
            let percent = done_bytes.saturating_mul(100) / (*total_bytes).max(1);
            Some(u8::try_from(percent.min(99)).unwrap_or(99))
        }
        _ => None,
    }
}

fn mirror_summary(snapshot: &Snapshot) -> MirrorSummary {
    let Some(mirror) = &snapshot.mirror else {
        return MirrorSummary::default();
    };
    let (role, gated) = match mirror.role {
        MirrorRole::Idle => ("idle", false),
        MirrorRole::Following { .. } => ("following", false),
        MirrorRole::Sealed { .. } => ("sealed", false),
        MirrorRole::Serving { gated, .. } => ("serving", gated),
    };
    let (peer, done, total) = match mirror.peer {
        PeerCopy::Absent => ("absent", None, None),
        PeerCopy::Comparing {
            done_bytes,
            total_bytes,
        } => ("comparing", Some(done_bytes), Some(total_bytes)),
        PeerCopy::Level => ("level", None, None),
    };
    let resync = snapshot.resync.filter(|_| done.is_some());
    MirrorSummary {
        running: true,
        role: role.to_owned(),
        peer: peer.to_owned(),
        gated,
        stalled: mirror.stalled,
        parked: mirror.lapsed,
        fault: mirror.fault.as_ref().map(|fault| match fault {
            MirrorFault::LocalDisk(text) | MirrorFault::Apply(text) | MirrorFault::Volume(text) => {
                short(text)
            }
        }),
        inconsistent: mirror.inconsistent.as_deref().map(short),
        position: mirror.position.0,
        acknowledged: mirror.acknowledged.0,
        exposure_bytes: mirror.exposure_bytes,
        exposure_ms: milliseconds(mirror.exposure_age),
        resync_done_bytes: done,
        resync_total_bytes: total,
        resync_sent_bytes: resync.map(|resync| resync.sent_bytes),
        resync_left_seconds: resync.and_then(|resync| resync.left_seconds),
        resync_bytes_per_second: None,
        sent_bytes: snapshot.flow.map_or(0, |flow| flow.sent_bytes),
        answer_us: snapshot.flow.and_then(|flow| flow.answer_us),
        data_bytes: mirror.data_bytes,
        verification: None,
        old_program: false,
    }
}

fn verification_status(verification: &Verification) -> VerificationStatus {
    VerificationStatus {
        running: verification.end.is_none(),
        complete: verification.end == Some(VerificationEnd::Complete),
        percent: verification.percent() as u8,
        compared_bytes: verification.done_bytes,
        differences: verification.differences,
        repaired: verification.repaired,
        sent_bytes: verification.sent_bytes,
        text: verification.to_string(),
    }
}

fn short(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .expect("0 is a boundary");
    format!("{}…", &text[..end])
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
