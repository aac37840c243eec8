//! What the reactor lets the rest of the daemon see: a copy of the core's view and of the facts
//! beside it. It is a picture, never asked for a decision.

use tandem_core::{
    ChannelId, DataState, DivergenceView, Instant, MirrorStatus, PeerView, Record, Row, State,
    Switches, Tone, View,
};
use tandem_wire::local::{Flow, Resync, Verification};

/// The module on this node at one moment.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Snapshot {
    pub state: State,
    pub tone: Tone,
    pub data: DataState,
    pub reason: String,
    pub advice: Option<String>,
    pub warning: Option<String>,
    pub since: Instant,
    pub switches: Switches,
    pub restarts_used: u8,
    pub divergence: Option<DivergenceView>,
    pub record: Option<Record>,
    pub permit_until: Option<Instant>,
    pub peer: Option<PeerView>,
    pub mirror: Option<MirrorStatus>,
    pub resync: Option<Resync>,
    pub flow: Option<Flow>,
    /// The verification of the peer's copy that runs, or the last one.
    pub verification: Option<Verification>,
    /// Whether the mirror runs the program of before an upgrade.
    pub old_program: bool,
    pub channels: Vec<Channel>,
}

/// One way to the peer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Channel {
    pub id: ChannelId,
    pub heard: Option<Instant>,
    pub received: u64,
    pub refused: u64,
    pub unsent: u64,
}

/// What the core decided, and upon what.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Decision {
    pub row: Option<Row>,
    pub because: String,
    pub inputs: String,
    pub alarm: bool,
}

/// State, colour and data column, without the percentage of a comparison.
pub(crate) type Face = (State, Tone, std::mem::Discriminant<DataState>);

/// What a module looks like at a glance.
pub(crate) const fn face(state: State, tone: Tone, data: DataState) -> Face {
    (state, tone, std::mem::discriminant(&data))
}

impl Snapshot {
    /// At a glance.
    pub(crate) const fn face(&self) -> Face {
        face(self.state, self.tone, self.data)
    }

    /// Copies.
    pub(crate) fn new(
        view: &View<'_>,
        (mirror, resync): (Option<&MirrorStatus>, Option<Resync>),
        channels: Vec<Channel>,
    ) -> Self {
        Self {
            state: view.state,
            tone: view.tone,
            data: view.data,
            reason: view.reason.to_owned(),
            advice: view.advice.map(str::to_owned),
            warning: view.warning.clone(),
            since: view.since,
            switches: view.switches,
            restarts_used: view.restarts_used,
            divergence: view.divergence,
            record: view.record.cloned(),
            permit_until: view.permit_until,
            peer: view.peer,
            mirror: mirror.cloned(),
            resync,
            flow: None,
            verification: None,
            old_program: false,
            channels,
        }
    }

    /// Whether a person would see the difference to `earlier` at once; numbers that run all the
    /// time are left out.
    pub(crate) fn differs(&self, earlier: &Self) -> bool {
        let shown = |snapshot: &Self| {
            let peer = snapshot.peer;
            let mirror = snapshot.mirror.as_ref();
            let verification = snapshot.verification.as_ref();
            (
                snapshot.state,
                snapshot.tone,
                snapshot.data,
                peer.map(|peer| (peer.state, peer.tone, peer.data, peer.silent)),
                mirror.map(|m| (m.incarnation, m.role, m.stalled, m.lapsed, m.fault.clone())),
                verification.map(|v| (v.number, v.differences, v.repaired, v.end.clone())),
            )
        };
        shown(self) != shown(earlier)
            || self.reason != earlier.reason
            || self.advice != earlier.advice
            || self.record != earlier.record
            || self.switches != earlier.switches
            || self.divergence != earlier.divergence
            || self.old_program != earlier.old_program
            || self.warning.is_some() != earlier.warning.is_some()
    }
}
