//! What a person who helps needs to see of this node: put together here, packed by
//! [`tandem_console::support`].

use crate::client::Client;
use crate::config::{self, Configuration, Module, Probe, Ready, ServiceKind};
use crate::daemon::Settings;
use crate::identity::{self, Identity};
use crate::license;
use tandem_console::Secret;
use tandem_console::support::{Half, Material};

/// What this node can say. No daemon needs to run, and no configuration to be valid.
pub async fn material(settings: &Settings) -> Material {
    let node = Identity::read(&settings.state_dir)
        .ok()
        .map(|identity| identity.node);
    let token = identity::read_token(&settings.state_dir)
        .ok()
        .map(Secret::new);
    let status = match Client::new(&settings.runtime_dir).status().await {
        Ok(status) => serde_json::to_string_pretty(&status).unwrap_or_default(),
        Err(error) => format!("{}\n", crate::report(&error)),
    };
    let mut material = Material {
        version: crate::RELEASE.to_owned(),
        node: node.map(tandem_core::NodeId::number),
        status,
        state_dir: settings.state_dir.clone(),
        secrets: token.into_iter().collect(),
        ..Material::default()
    };
    match Configuration::read(&settings.config) {
        Ok(configuration) => {
            material.configuration = config::shown(&configuration);
            material.units = units(&configuration);
            material.secrets.extend(secrets(&configuration));
            let modules = configuration.modules.iter();
            let volumes = modules.flat_map(|module| &module.volumes);
            material.volumes = volumes.map(|volume| volume.path.clone()).collect();
            material.names = names(&configuration);
            let licensee = license::licensee(&settings.state_dir);
            (material.names).extend(licensee.map(|name| ("licensee", name)));
        }
        // What is wrong quotes the line, in which anything may stand: its place is enough.
        Err(config::ConfigError::Invalid { problems, .. }) => {
            let places = problems
                .iter()
                .map(|problem| format!("line {}", problem.line));
            material.configuration_problem = Some(places.collect::<Vec<_>>().join(", "));
        }
        Err(error) => material.configuration_problem = Some(crate::report(&error)),
    }
    material
}

/// What the other node can say; or why it cannot, as a sentence.
///
/// # Errors
/// Why there is nothing.
pub async fn other_half(settings: &Settings) -> Result<Half, String> {
    let client = Client::new(&settings.runtime_dir);
    let half = client.other_half().await;
    let half = half.map_err(|error| crate::report(&error))?;
    Half::decode(&half).map_err(|error| format!("its half cannot be read: {error}"))
}

/// The units that a module names.
pub(crate) fn units_of(module: &Module) -> Vec<String> {
    let services = module
        .services
        .iter()
        .filter_map(|service| match &service.kind {
            ServiceKind::Unit(unit) => Some(unit.clone()),
            ServiceKind::Commands { .. } => None,
        });
    let checkers = module
        .checkers
        .iter()
        .filter_map(|checker| match &checker.probe {
            Probe::Unit(unit) => Some(unit.clone()),
            Probe::Tcp(_) | Probe::Script(_) | Probe::Process(_) => None,
        });
    let mut units: Vec<String> = services.chain(checkers).collect();
    units.sort();
    units.dedup();
    units
}

fn units(configuration: &Configuration) -> Vec<String> {
    configuration.modules.iter().flat_map(units_of).collect()
}

/// What must not be shown if a log quotes it. Command lines are looked for as a whole only.
pub(crate) fn secrets(configuration: &Configuration) -> Vec<Secret> {
    let notify = &configuration.notify;
    let mut secrets: Vec<Secret> = notify.command.iter().cloned().collect();
    secrets.extend(notify.webhook.as_ref().map(|webhook| webhook.url().clone()));
    let modules = configuration.modules.iter();
    for service in modules.flat_map(|module| &module.services) {
        if let ServiceKind::Commands { start, stop, check } = &service.kind {
            secrets.extend([start, stop].map(Clone::clone));
            secrets.extend(check.clone());
        }
        if let Some(Ready::Command(command)) = &service.ready {
            secrets.push(command.clone());
        }
    }
    secrets
}

/// What says whose it is.
fn names(configuration: &Configuration) -> Vec<(&'static str, String)> {
    let mut names = vec![("cluster", configuration.cluster.clone())];
    for node in &configuration.nodes {
        names.push(("node", node.name.clone()));
    }
    for module in &configuration.modules {
        names.push(("module", module.name.clone()));
        for volume in &module.volumes {
            names.push(("path", volume.path.display().to_string()));
            names.push(("volume", volume.name.clone()));
        }
        for service in &module.services {
            names.push(("service", service.name.clone()));
        }
        for checker in &module.checkers {
            names.push(("checker", checker.name.clone()));
            if let Probe::Script(path) = &checker.probe {
                names.push(("path", path.display().to_string()));
            }
        }
    }
    for unit in units(configuration) {
        names.push(("unit", unit.trim_end_matches(".service").to_owned()));
    }
    names
}
