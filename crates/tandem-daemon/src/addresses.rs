//! The virtual addresses of the module: probed, held with a kernel lifetime that is renewed while
//! the node's permit lasts, dropped. The newest order ends what an older one was doing.
//!
//! The lifetime is what makes an address vanish from a node whose daemon is dead; so it is renewed
//! only while the reactor turns and the permit is valid.

use crate::hub::ModuleHub;
use crate::reactor::{ModuleInputs, Shared};
use std::sync::Arc;
use std::time::Duration;
use tandem_core::{EffectId, Event, ServiceFailure};
use tandem_host::address::{Address, AddressError, Occupancy};
use tandem_host::clock;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// Orders that may wait; the core gives one at a time.
pub(crate) const ORDERS_MAX: usize = 64;
/// How soon what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long holding may fail before that is told: a link that comes up takes about this long.
const HOLD_PATIENCE: Duration = Duration::from_secs(5);
/// The share of the lifetime after which it is renewed.
const RENEWALS_PER_LIFETIME: u32 = 4;

/// What the core asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Probe(EffectId),
    Hold(EffectId),
    Keep(EffectId),
    Drop(EffectId),
}

/// What the keeper is made from.
pub(crate) struct Keeper {
    pub addresses: Vec<Address>,
    pub takeover_after: Duration,
    pub shared: Arc<Shared>,
    pub inputs: ModuleInputs,
    pub hub: ModuleHub,
}

impl Keeper {
    /// Carries out orders until there are no more.
    pub(crate) async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut next = orders.recv().await;
        while let Some(order) = next {
            next = tokio::select! {
                // A newer order first: fencing must not wait for a probe.
                biased;
                newer = orders.recv() => newer,
                () = self.carry_out(order) => orders.recv().await,
            };
        }
    }

    /// 0.8 × `takeover-after`; the kernel counts whole seconds.
    fn lifetime(&self) -> Duration {
        let exact = self.takeover_after * 4 / 5;
        let seconds = exact.as_secs() + u64::from(exact.subsec_nanos() > 0);
        Duration::from_secs(seconds.max(1))
    }

    async fn carry_out(&self, order: Order) {
        match order {
            Order::Probe(id) => self.probe(id).await,
            Order::Hold(id) => self.hold(id).await,
            Order::Keep(id) => self.keep(id).await,
            Order::Drop(id) => self.remove(id).await,
        }
    }

    /// Asks the network. What cannot be asked is reported: the core says so, and asks again.
    async fn probe(&self, id: EffectId) {
        let probes = self.addresses.iter().map(Address::probe);
        let found = futures_util::future::join_all(probes).await;
        let event = match found.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(found) => {
                let taken = found.into_iter().find_map(|occupancy| match occupancy {
                    Occupancy::Taken(by) => Some(by.to_string()),
                    Occupancy::Free => None,
                });
                match taken {
                    Some(by) => Event::AddressTaken { id, by },
                    None => Event::AddressFree(id),
                }
            }
            Err(error) => Event::ServicesFailed {
                id,
                failure: failure(&error),
            },
        };
        self.inputs.send(event);
    }

    /// Goes on holding what an earlier run of the daemon left here.
    async fn keep(&self, id: EffectId) {
        for address in &self.addresses {
            let here = address.is_here().await.unwrap_or_else(|error| {
                tracing::error!("look for the virtual address: {}", crate::report(&error));
                false
            });
            if !here {
                self.inputs.send(Event::AddressGone(id));
                return;
            }
        }
        self.hold(id).await;
    }

    async fn hold(&self, id: EffectId) {
        let lifetime = self.lifetime();
        let begun = Instant::now();
        let (mut told, mut reported) = (false, false);
        while let Err(error) = self.each(|address| address.hold(lifetime)).await {
            tell(&mut told, "hold the virtual address", &error);
            if !reported && begun.elapsed() >= HOLD_PATIENCE {
                reported = true;
                let event = Event::ServicesFailed {
                    id,
                    failure: failure(&error),
                };
                self.inputs.send(event);
            }
            sleep(RETRY_AFTER).await;
        }
        if !self.addresses.is_empty() {
            tracing::info!("the virtual address is on this node");
        }
        self.hub.address(true);
        self.inputs.send(Event::AddressHeld(id));
        self.renew(lifetime).await;
    }

    /// Renews until a newer order comes.
    async fn renew(&self, lifetime: Duration) {
        let interval = lifetime / RENEWALS_PER_LIFETIME;
        let mut next = Instant::now() + interval;
        let mut told = false;
        loop {
            sleep_until(next).await;
            next = Instant::now() + interval;
            if !self.may_serve() {
                self.hub.address(false);
                continue;
            }
            match self.each(|address| address.refresh(lifetime)).await {
                Ok(()) => {
                    told = false;
                    self.hub.address(true);
                }
                Err(error) => {
                    tell(&mut told, "renew the virtual address", &error);
                    self.hub.address(false);
                }
            }
        }
    }

    fn may_serve(&self) -> bool {
        let now = clock::now();
        let turning = now.since(self.shared.last_turn()) < self.takeover_after;
        turning && now < self.shared.permit_until() && self.shared.serves()
    }

    /// Takes the addresses away. What cannot be taken away goes by itself when its lifetime ends.
    async fn remove(&self, id: EffectId) {
        let end = Instant::now() + self.lifetime() + Duration::from_secs(1);
        let mut told = false;
        while let Err(error) = self.each(Address::remove).await {
            tell(&mut told, "take the virtual address away", &error);
            if Instant::now() >= end {
                break;
            }
            sleep(RETRY_AFTER).await;
        }
        self.hub.address(false);
        self.inputs.send(Event::AddressDropped(id));
    }

    async fn each<'a, F>(&'a self, act: impl Fn(&'a Address) -> F) -> Result<(), AddressError>
    where
        F: Future<Output = Result<(), AddressError>>,
    {
        let results = futures_util::future::join_all(self.addresses.iter().map(act)).await;
        results.into_iter().collect()
    }
}

fn failure(error: &AddressError) -> ServiceFailure {
    ServiceFailure {
        name: "address".to_owned(),
        reason: crate::report(error),
        hopeless: false,
        requested: false,
    }
}

/// Says what goes wrong once, not twice a second.
fn tell(told: &mut bool, act: &str, error: &AddressError) {
    if !std::mem::replace(told, true) {
        tracing::error!("{act}: {}", crate::report(error));
    }
}
