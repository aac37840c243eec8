//! Tries this crate on a real host with systemd, by hand or from a script: one command, one result,
//! printed with the time that it took.
//!
//! ```text
//! host-probe [--volume DIR]... [--runtime-dir DIR] [--ready TCP] [--limit SECONDS] ACTION SERVICE...
//! SERVICE: the name of a unit, or START@@STOP, which are command lines
//! ACTION: start | stop | force | restart | running | watch | observe | check | install | remove |
//!         raise | lower | stopping
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tandem_core::{ServiceFailure, ServiceStop};
use tandem_host::checker::{CheckerAction, CheckerConfig, Checkers, Probe, Verdict};
use tandem_host::service::{Ready, ServiceConfig, ServiceKind, Services, ServicesConfig};
use tandem_host::setup::{Place, SetUp};
use tandem_host::systemd::Systemd;
use tokio::sync::mpsc;

struct Call {
    action: String,
    config: ServicesConfig,
}

fn call() -> anyhow::Result<Call> {
    let mut arguments = std::env::args().skip(1);
    let mut volumes = Vec::new();
    let mut runtime_dir = PathBuf::from("/run/tandem");
    let mut ready = None;
    let mut limit = Duration::from_secs(300);
    let action = loop {
        let argument = arguments.next().context("an action is needed")?;
        let mut value = || arguments.next().context("an option without its value");
        match argument.as_str() {
            "--volume" => volumes.push(PathBuf::from(value()?)),
            "--runtime-dir" => runtime_dir = PathBuf::from(value()?),
            "--ready" => ready = Some(Ready::Tcp(value()?.parse::<SocketAddr>()?)),
            "--limit" => limit = Duration::from_secs_f32(value()?.parse()?),
            _ => break argument,
        }
    };
    let services = arguments.map(|text| ServiceConfig {
        name: text.chars().filter(char::is_ascii_alphanumeric).collect(),
        kind: kind(text),
        ready: ready.clone(),
        start_limit: limit,
        stop_limit: limit,
    });
    Ok(Call {
        action,
        config: ServicesConfig {
            module: "probe".to_owned(),
            services: services.collect(),
            volumes,
            runtime_dir,
        },
    })
}

fn kind(text: String) -> ServiceKind {
    match text.split_once("@@") {
        None => ServiceKind::Unit(text),
        Some((start, stop)) => ServiceKind::Commands {
            start: start.to_owned(),
            stop: stop.to_owned(),
            check: None,
        },
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let call = call()?;
    let began = Instant::now();
    let outcome = act(&call).await?;
    let seconds = began.elapsed().as_secs_f32();
    println!("{}: {} ({seconds:.3} s)", call.action, outcome.0);
    Ok(outcome.1)
}

async fn act(call: &Call) -> anyhow::Result<(String, ExitCode)> {
    let setup = SetUp::new(call.config.clone());
    let (services, failures) = Services::new(call.config.clone());
    Ok(match call.action.as_str() {
        "start" => told(services.start().await),
        "stop" => told(services.stop(ServiceStop::Orderly).await),
        "force" => told(services.stop(ServiceStop::Force).await),
        "restart" => told(services.restart().await),
        "running" => match services.is_running().await {
            Ok(running) => done(format!("running={running}")),
            Err(failure) => told(Err(failure)),
        },
        "watch" => watch(&services, failures).await?,
        "observe" => observe(&call.config).await?,
        "check" => {
            let findings = setup.check().await?;
            let lines: Vec<String> = findings
                .iter()
                .map(|finding| format!("{} -> {}", finding.what, finding.remedy))
                .collect();
            done(format!("{} findings\n{}", findings.len(), lines.join("\n")))
        }
        "install" => done(format!(
            "{:?}",
            setup.install_dropins(Place::Persistent).await?
        )),
        "remove" => done(format!("{:?}", setup.remove_dropins().await?)),
        "raise" => done(format!("{:?}", call.config.raise_serving_flag()?)),
        "lower" => done(format!("{:?}", call.config.lower_serving_flag()?)),
        "stopping" => done(format!(
            "{}",
            Systemd::connect().await?.is_stopping().await?
        )),
        other => bail!("unknown action {other}"),
    })
}

/// Adopts what runs and prints the first failure.
async fn watch(
    services: &Services,
    mut failures: mpsc::Receiver<ServiceFailure>,
) -> anyhow::Result<(String, ExitCode)> {
    if let Err(failure) = services.adopt().await {
        return Ok(told(Err(failure)));
    }
    println!("watching");
    let failure = failures.recv().await.context("the watching ended")?;
    Ok(told(Err(failure)))
}

/// Prints every change of a checker of each unit, until the first goes down.
async fn observe(config: &ServicesConfig) -> anyhow::Result<(String, ExitCode)> {
    let units = config.services.iter().filter_map(|s| match &s.kind {
        ServiceKind::Unit(unit) => Some(unit.clone()),
        ServiceKind::Commands { .. } => None,
    });
    let checkers = units.map(|unit| CheckerConfig {
        name: unit.clone(),
        probe: Probe::Unit(unit),
        period: Duration::from_millis(200),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 2,
        action: CheckerAction::None,
    });
    let (checkers, mut changes) = Checkers::start(checkers.collect());
    loop {
        let change = changes.recv().await.context("the checkers ended")?;
        println!("{} {:?}: {}", change.name, change.verdict, change.reason);
        if change.verdict == Verdict::Down {
            checkers.shutdown().await;
            return Ok(done("seen".to_owned()));
        }
    }
}

fn done(text: String) -> (String, ExitCode) {
    (text, ExitCode::SUCCESS)
}

fn told(outcome: Result<(), ServiceFailure>) -> (String, ExitCode) {
    match outcome {
        Ok(()) => done("done".to_owned()),
        Err(failure) => {
            let hopeless = if failure.hopeless { " (hopeless)" } else { "" };
            let text = format!("FAILED {}: {}{hopeless}", failure.name, failure.reason);
            (text, ExitCode::FAILURE)
        }
    }
}
