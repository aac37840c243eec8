//! A node that is not known to have closed its session gives nothing away (R8).

mod support;

use core::time::Duration;
use support::message;
use tandem_core::event::Boot;
use tandem_core::record::Wanted;
use tandem_core::{
    ChannelId, Config, Durable, Effect, EffectId, Epoch, Event, GenerationId, InSync, Instant,
    Lineage, MirrorCommand, MirrorStatus, Node, NodeId, Nonce, PeerMessage, Record, Sequence,
    State, Tone, Version,
};

fn record(version: u64, epoch: u64, holder: NodeId) -> Record {
    Record {
        version: Version(version),
        epoch: Epoch(epoch),
        holder,
        insync: InSync::Both,
        lineage: Lineage::first(GenerationId(5)),
        clean: true,
        confirmed: true,
        forced: false,
        level_at: None,
    }
}

/// The other node offers to take over, in answer to the message with `nonce`.
fn proposes(nonce: Nonce) -> Event {
    Event::Received {
        channel: ChannelId::Network(0),
        message: Box::new(PeerMessage {
            state: State::Wait,
            tone: Tone::Transient,
            record: Some(record(13, 8, NodeId::One)),
            proposal: Some(record(14, 9, NodeId::Two)),
            ..*message(nonce.0 + 1, Some(nonce))
        }),
    }
}

/// What the node orders, until it has nothing more to say.
#[derive(Default)]
struct Orders {
    stop: Option<EffectId>,
    close: Option<EffectId>,
    drop: Option<EffectId>,
    nonce: Option<Nonce>,
    votes: bool,
}

fn orders(node: &mut Node) -> Orders {
    let mut orders = Orders::default();
    while let Some(effect) = node.poll_effect() {
        match effect {
            Effect::StopServices { id, .. } => orders.stop = Some(id),
            Effect::Mirror {
                id,
                command: MirrorCommand::Close,
            } => orders.close = Some(id),
            Effect::DropAddress(id) => orders.drop = Some(id),
            Effect::Send { message, .. } => orders.nonce = Some(message.nonce),
            Effect::Persist { durable, .. } => {
                orders.votes |= durable.record.is_some_and(|r| r.version == Version(14));
            }
            _ => {}
        }
    }
    orders
}

#[test]
fn a_daemon_that_started_anew_votes_for_a_successor_only_after_its_mirror_closed() {
    // The daemon before this one may have ordered the mirror to serve: it is idle yet.
    let boot = Boot {
        durable: Durable {
            record: Some(record(13, 8, NodeId::One)),
            highest_epoch: Epoch(8),
            wanted: Wanted::Running,
            ..Durable::default()
        },
        mirror: Some(MirrorStatus::default()),
        machine_booted: false,
        seed: 3,
    };
    let config = Config::new(NodeId::One, Duration::from_secs(5));
    let mut node = Node::new(config, boot, Instant(1_000_000_000));
    let first = orders(&mut node);
    let (stop, nonce) = (first.stop.expect("it stops"), first.nonce.expect("it says"));

    node.handle(Instant(1_001_000_000), proposes(nonce));
    assert!(!orders(&mut node).votes, "services may run");
    node.handle(Instant(1_002_000_000), Event::ServicesStopped(stop));
    let second = orders(&mut node);
    assert!(!second.votes, "the mirror may serve");
    let close = second.close.expect("it closes");
    node.handle(Instant(1_003_000_000), Event::Ticked);
    assert!(!orders(&mut node).votes, "the mirror may serve yet");

    let position = Sequence(0);
    node.handle(
        Instant(1_004_000_000),
        Event::MirrorDone {
            id: close,
            position,
        },
    );
    let third = orders(&mut node);
    assert!(third.votes && third.drop.is_some(), "the session has ended");
}
