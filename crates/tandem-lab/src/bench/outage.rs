//! P11: the outage that a client sees through the virtual address, with a probe every 10 ms.
//!
//! Each fault is measured in turns with what the database itself costs without a mirror: its stop
//! and start for a planned swap, its recovery for a killed service and for a lost host.

use super::{Measured, Options, median};
use crate::host::Host;
use crate::lab::Lab;
use crate::postgres;
use crate::probe::Prober;
use crate::product::{self, Node, RESYNCHRONISATION_LIMIT, Setting, TAKEOVER_LIMIT};
use crate::shell::run;
use crate::wait::wait_for;
use anyhow::{Context, Result};
use std::time::Duration;

/// The port of the database without a mirror, on the same host.
const PLAIN_PORT: u16 = 5433;

/// A kind of outage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Swap,
    ServiceKilled,
    PowerOff,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Swap, Self::ServiceKilled, Self::PowerOff];

    const fn name(self) -> &'static str {
        match self {
            Self::Swap => "swap",
            Self::ServiceKilled => "service killed",
            Self::PowerOff => "power off",
        }
    }

    /// How many seconds the product may add.
    const fn reach(self) -> f64 {
        match self {
            Self::Swap => 0.7,
            Self::ServiceKilled => 1.5,
            Self::PowerOff => 2.0,
        }
    }
}

/// Measures P11.
///
/// # Errors
/// The hosts or the product do not work.
pub fn measure(lab: &Lab, options: Options) -> Result<Vec<Measured>> {
    lab.up()?;
    product::install(lab, &Setting::USUAL)?;
    lab.boot_both()?;
    let setting = Setting {
        takeover_after: Duration::from_secs(1),
        ..Setting::USUAL
    };
    product::set_up(lab, &setting)?;
    for number in [1, 2] {
        plain_database(&lab.host(number))?;
    }
    let mut results = Vec::new();
    for fault in Fault::ALL {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            let primary = primary(lab)?;
            theirs.push(plain_outage(lab, &primary, fault)?.as_secs_f64());
            ours.push(product_outage(lab, &primary, fault)?.as_secs_f64());
            println!(
                "{} round {round}: tandem {:.3} s, database alone {:.3} s",
                fault.name(),
                ours[round],
                theirs[round]
            );
        }
        let (tandem, peer) = (median(ours), median(theirs));
        results.push(Measured {
            id: "P11".to_owned(),
            case: fault.name().to_owned(),
            tandem,
            peer,
            unit: "s".to_owned(),
            ratio: tandem / peer,
            rounds: options.rounds,
            reach: format!("≤ + {:.1} s", fault.reach()),
            reached: tandem - peer <= fault.reach(),
        });
    }
    Ok(results)
}

fn plain_database(host: &Host<'_>) -> Result<()> {
    host.must(&format!(
        "pg_createcluster -p {PLAIN_PORT} --start-conf=manual 15 plain && \
         cp /etc/postgresql/15/main/conf.d/lab.conf /etc/postgresql/15/plain/conf.d/ && \
         cp /etc/postgresql/15/main/pg_hba.conf /etc/postgresql/15/plain/"
    ))?;
    host.must("systemctl start postgresql@15-plain")?;
    let statement = postgres::CREATE_TABLE;
    host.must(&format!(
        "runuser -u postgres -- psql -qX -p {PLAIN_PORT} -c '{statement}'"
    ))?;
    host.must("systemctl stop postgresql@15-plain").map(drop)
}

fn primary(lab: &Lab) -> Result<Node<'_>> {
    let nodes = [Node::new(lab, 1), Node::new(lab, 2)];
    let is_ready = |n: &Node<'_>, state: &str| {
        n.face()
            .is_ok_and(|(s, colour, data)| s == state && colour == "green" && data == "uptodate")
    };
    wait_for(
        "both copies to be uptodate",
        RESYNCHRONISATION_LIMIT,
        || {
            let [one, two] = &nodes;
            Ok(match () {
                () if is_ready(one, "PRIM") && is_ready(two, "SECOND") => Some(one.clone()),
                () if is_ready(two, "PRIM") && is_ready(one, "SECOND") => Some(two.clone()),
                () => None,
            })
        },
    )
}

fn product_outage(lab: &Lab, primary: &Node<'_>, fault: Fault) -> Result<Duration> {
    let standby = Node::new(lab, primary.other());
    let prober = Prober::start(lab, product::VIRTUAL)?;
    prober.wait_until_it_works(TAKEOVER_LIMIT)?;
    match fault {
        Fault::Swap => {
            primary.command("swap")?;
            standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
        }
        Fault::ServiceKilled => kill_main_process(&primary.host, postgres::UNIT)?,
        Fault::PowerOff => {
            primary.host.power_off()?;
            standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
        }
    }
    prober.wait_until_it_works(TAKEOVER_LIMIT)?;
    let outage = prober.stop()?;
    if fault == Fault::PowerOff {
        primary.host.boot()?;
        wait_for("the daemon to answer", TAKEOVER_LIMIT, || {
            Ok(primary.module().ok())
        })?;
        primary.command("start --no-wait")?;
    }
    if fault == Fault::ServiceKilled {
        // An operator's command gives the whole budget of restarts back: without it the fourth
        // round would measure a failover.
        let serving = self::primary(lab)?;
        serving.command("restart")?;
    }
    Ok(outage)
}

fn plain_outage(lab: &Lab, primary: &Node<'_>, fault: Fault) -> Result<Duration> {
    const PLAIN_UNIT: &str = "postgresql@15-plain.service";
    let host = &primary.host;
    host.must(&format!("systemctl start {PLAIN_UNIT}"))?;
    let target = format!("10.99.0.{}:{PLAIN_PORT}", primary.number());
    let prober = Prober::start(lab, &target)?;
    prober.wait_until_it_works(TAKEOVER_LIMIT)?;
    match fault {
        Fault::Swap => host.must(&format!("systemctl restart {PLAIN_UNIT}"))?,
        Fault::ServiceKilled | Fault::PowerOff => {
            kill_main_process(host, PLAIN_UNIT)?;
            host.must(&format!(
                "while systemctl -q is-active {PLAIN_UNIT}; do :; done; \
                 systemctl start {PLAIN_UNIT}"
            ))?
        }
    };
    prober.wait_until_it_works(TAKEOVER_LIMIT)?;
    let outage = prober.stop()?;
    host.must(&format!("systemctl stop {PLAIN_UNIT}"))?;
    Ok(outage)
}

fn kill_main_process(host: &Host<'_>, unit: &str) -> Result<()> {
    let pid = host.main_process(unit)?.context("it runs")?;
    run(&format!("kill -KILL {pid}")).map(drop)
}
