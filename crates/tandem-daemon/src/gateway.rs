//! Whether the machine that the configuration calls `gateway` answers. A standby that cannot reach
//! it may be the one that is cut off: it can only forbid to take over, and never ends a service.

use crate::config::Place;
use crate::reactor::Inputs;
use std::net::IpAddr;
use std::time::Duration;
use tandem_core::Event;
use tandem_host::ping::Pinger;
use tokio::time::{Instant, sleep_until};

/// Questions in a row without an answer: one may get lost.
const MISSED_MAX: u32 = 3;
/// Questions within `takeover-after`: so that the silence of a gateway is known before that of a
/// primary counts.
const QUESTIONS_PER_TAKEOVER: u32 = 6;
/// No gateway is asked more often than people would.
const PERIOD_MAX: Duration = Duration::from_secs(1);

/// Asks it for ever, and tells every module's core of each change.
pub(crate) async fn watch(
    gateway: IpAddr,
    takeover_after: Duration,
    inputs: Inputs,
    modules: usize,
) {
    let period = (takeover_after / QUESTIONS_PER_TAKEOVER).min(PERIOD_MAX);
    let mut pinger = None;
    let mut told_error = false;
    let mut missed = 0;
    // What the core takes for granted until it is told.
    let mut told = true;
    loop {
        let next = Instant::now() + period;
        let answered = match ask(&mut pinger, gateway, period).await {
            Ok(answered) => answered,
            Err(error) => {
                if !std::mem::replace(&mut told_error, true) {
                    tracing::error!("the gateway {gateway} cannot be asked: {error}");
                }
                pinger = None;
                false
            }
        };
        missed = if answered {
            0
        } else {
            MISSED_MAX.min(missed + 1)
        };
        let reachable = missed < MISSED_MAX;
        if reachable != told {
            told = reachable;
            match reachable {
                true => tracing::info!("the gateway {gateway} answers again"),
                false => tracing::warn!("the gateway {gateway} does not answer"),
            }
            for place in 0..modules {
                let event = Event::GatewayChanged { reachable };
                inputs.of(Place(place)).send(event);
            }
        }
        sleep_until(next).await;
    }
}

async fn ask(
    pinger: &mut Option<Pinger>,
    gateway: IpAddr,
    limit: Duration,
) -> std::io::Result<bool> {
    let pinger = match pinger {
        Some(pinger) => pinger,
        None => pinger.insert(Pinger::open(gateway)?),
    };
    pinger.ask(limit).await
}
