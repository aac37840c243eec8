//! Messages out and in.

use super::Node;
use super::activity::Activity;
use crate::contact::Receipt;
use crate::effect::Effect;
use crate::event::MirrorRole;
use crate::ids::ChannelId;
use crate::message::{MirrorReport, PeerMessage};
use alloc::boxed::Box;
use core::time::Duration;

impl Node {
    pub(super) fn received(&mut self, channel: ChannelId, message: Box<PeerMessage>) {
        let limit = self.config.stall_limit();
        match self.contact.receive(self.now, limit, message) {
            Receipt::Ignored | Receipt::Counted { answer: false } => {}
            Receipt::Counted { answer: true } => self.send(Some(channel), false),
            Receipt::NotFresh => self.send(Some(channel), true),
        }
    }

    pub(super) fn send_all(&mut self) {
        self.send_now = false;
        self.next_heartbeat = self.now.after(self.config.heartbeat_interval());
        self.send(None, true);
    }

    fn send(&mut self, channel: Option<ChannelId>, answer_wanted: bool) {
        let message = Box::new(self.message(answer_wanted));
        self.effects.push_back(Effect::Send { channel, message });
    }

    fn message(&mut self, answer_wanted: bool) -> PeerMessage {
        let nonce = self.contact.draw_nonce(self.now);
        let shown = if mutated!(self.config, SendBeforePersisted) {
            &self.durable
        } else {
            &self.disk
        };
        let (record, proposal) = (shown.record.clone(), shown.proposal.clone());
        PeerMessage {
            from: self.config.node,
            incarnation: self.contact.incarnation(),
            nonce,
            seen: self.contact.seen(),
            grant: self
                .grant_epoch()
                .and_then(|epoch| self.contact.grant(epoch)),
            answer_wanted,
            state: self.state,
            tone: self.tone(),
            data: self.data(),
            record,
            proposal,
            leaving: self.leaving.is_some(),
            swap_wanted: self.swap_wanted.is_some(),
            mirror: self.mirror_report(),
            configuration: self.config.digest,
            state_write_age: self
                .write_since
                .map_or(Duration::ZERO, |since| self.now.since(since)),
            mirror_age: self.mirror_age(),
            data_bytes: self.mirror.as_ref().map_or(0, |m| m.data_bytes),
            moved_for: self.moved_for(),
            resync_percent: self.resync_percent(),
        }
    }

    /// In which epoch the peer may serve, as far as this node is concerned. Nothing while this
    /// node is about to take over, nor while a write that may change the holder is under way.
    fn grant_epoch(&self) -> Option<crate::ids::Epoch> {
        let peer = self.config.node.peer();
        if let Some(proposal) = &self.disk.proposal
            && proposal.holder == peer
        {
            return Some(proposal.epoch);
        }
        let record = self.disk.record.as_ref()?;
        let pending = self.durable.record.as_ref()?;
        let taking = matches!(self.activity, Activity::Promote(_));
        (record.holder == peer && pending.holder == peer && !taking).then_some(record.epoch)
    }

    fn mirror_report(&self) -> MirrorReport {
        match &self.mirror {
            None => MirrorReport::default(),
            Some(mirror) => MirrorReport {
                usable: mirror.fault.is_none() && !self.is_inconsistent(),
                serving: matches!(mirror.role, MirrorRole::Serving { .. }),
                following: matches!(mirror.role, MirrorRole::Following { .. }),
                position: mirror.position,
            },
        }
    }
}
