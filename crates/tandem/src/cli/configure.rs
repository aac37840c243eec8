//! `tandem config plan` and `tandem config apply`: another configuration for both nodes.
//!
//! Both nodes look at the file before either takes it. What the file of before started is stopped
//! with it. Interrupted at any point, each node has one of the two files whole, nothing has been
//! lost, and the same command again brings it to its end.

use super::arguments::{CommandOptions, Places};
use super::{Exit, command};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::Duration;
use tandem_daemon::client::Client;
use tandem_daemon::config::{self, Change, Configuration};
use tandem_daemon::report;
use tandem_wire::api::{ClusterStatus, CommandName, CommandRequest, ModuleStatus, NewFile};
use tokio::time::{Instant, sleep};

/// A request has a bound of 64 KiB on its way to the other node, and is JSON.
const FILE_BYTES_MAX: usize = 32 << 10;
/// How long one node may look at a file, or put it in place: it asks its service manager, and
/// whether the addresses are free.
const NODE_MAX: Duration = Duration::from_secs(60);
/// How long both daemons may take to start anew. They are back in a second.
const BACK_MAX: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What is to be done.
struct Plan {
    text: String,
    /// The digest of the configuration now, and of the new one.
    before: String,
    after: String,
    changes: Vec<Change>,
    status: ClusterStatus,
}

/// `config plan`
pub async fn plan(places: &Places, file: &Path) -> Exit {
    match look(places, file).await {
        Ok(plan) => {
            print!("{}", plan.words());
            Exit::Done
        }
        Err(reason) => refused(&reason),
    }
}

/// `config apply`
pub async fn apply(places: &Places, file: &Path, yes: bool) -> Exit {
    let plan = match look(places, file).await {
        Ok(plan) => plan,
        Err(reason) => return refused(&reason),
    };
    print!("{}", plan.words());
    if !yes && !agreed() {
        return refused("nothing was changed; --yes asks nothing");
    }
    let stopped = plan.running();
    for module in &stopped {
        let exit = command::stop(places, &all_of(module)).await;
        if exit != Exit::Done {
            eprintln!("tandem: the configuration is the one of before");
            eprintln!("hint: tandem start --all --module {module} starts what was stopped");
            return exit;
        }
    }
    let mut exit = put(places, &plan).await;
    for module in &stopped {
        let started = command::start(places, &all_of(module)).await;
        if exit == Exit::Done {
            exit = started;
        }
    }
    if exit == Exit::Done {
        println!("Both nodes have the new configuration.");
    }
    exit
}

/// Looks at the file, here and on the other node. Changes nothing.
async fn look(places: &Places, file: &Path) -> Result<Plan, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    if text.len() > FILE_BYTES_MAX {
        let most = FILE_BYTES_MAX >> 10;
        return Err(format!("the file is larger than {most} KiB"));
    }
    let after = Configuration::parse(file, &text).map_err(|error| report(&error))?;
    let before = Configuration::read(&places.config).map_err(|error| report(&error))?;
    if let Some(module) = config::removed(&before, &after).first() {
        return Err(format!(
            "the new file has no module {module}: a module is removed by tandem cluster leave only"
        ));
    }
    let client = Client::new(&places.runtime_dir);
    let status = client.status().await.map_err(|error| report(&error))?;
    let plan = Plan {
        text,
        before: config::digest_words(&before),
        after: config::digest_words(&after),
        changes: config::changes(&before, &after),
        status,
    };
    for node in [1, 2] {
        plan.order(&client, node, false).await?;
    }
    Ok(plan)
}

/// Both nodes put the file in place, the other one first, and their daemons start anew.
async fn put(places: &Places, plan: &Plan) -> Exit {
    let client = Client::new(&places.runtime_dir);
    let own = plan.status.answered_by;
    if let Err(reason) = plan.order(&client, 3 - own, true).await {
        eprintln!("tandem: the configuration is the one of before: {reason}");
        return Exit::Failed;
    }
    if let Err(reason) = plan.order(&client, own, true).await {
        eprintln!(
            "tandem: only node{} has the new configuration: {reason}",
            3 - own
        );
        eprintln!("hint: the same command again");
        return Exit::Failed;
    }
    let end = Instant::now() + BACK_MAX;
    while Instant::now() < end {
        if let Ok(status) = client.status().await
            && status.configuration_differs.is_none()
            && (status.nodes.iter()).all(|n| n.answers && n.configuration == plan.after)
        {
            return Exit::Done;
        }
        sleep(LOOK).await;
    }
    eprintln!("tandem: both nodes have the new file, and one of their daemons is not back yet");
    eprintln!("hint: tandem status, and journalctl -u tandem on both");
    Exit::TimedOut
}

impl Plan {
    /// One node looks at the file, or puts it in place.
    async fn order(&self, client: &Client, node: u8, put: bool) -> Result<(), String> {
        let first = self
            .status
            .nodes
            .iter()
            .flat_map(|node| &node.modules)
            .next();
        let request = CommandRequest {
            node: Some(node),
            module: first.map(|module| module.name.clone()),
            file: Some(Box::new(NewFile {
                text: self.text.clone(),
                instead_of: self.before.clone(),
                put,
            })),
            ..CommandRequest::new(CommandName::Configure)
        };
        let done = command::carried_out(client, &request, NODE_MAX).await;
        done.map(drop)
            .map_err(|reason| format!("node{node}: {reason}"))
    }

    /// The modules that have to be stopped for it.
    fn stops(&self) -> BTreeSet<&str> {
        let names = self.changes.iter().flat_map(|change| &change.stops);
        names.map(String::as_str).collect()
    }

    /// Those of them that do not stand still already.
    fn running(&self) -> Vec<String> {
        let runs = |name: &str| {
            let named = |module: &&ModuleStatus| module.name == name && module.state != "STOP";
            let mut nodes = self.status.nodes.iter();
            nodes.any(|node| node.modules.iter().any(|module| named(&module)))
        };
        let stops = self.stops().into_iter().filter(|name| runs(name));
        stops.map(str::to_owned).collect()
    }

    fn words(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let value = |value: &Option<String>| value.clone().unwrap_or("nothing".to_owned());
            let (before, after) = (value(&change.before), value(&change.after));
            text += &format!("{}: {before} -> {after}\n", change.field);
        }
        if self.changes.is_empty() {
            text += "No field changes.\n";
        }
        let running = self.running();
        for module in &running {
            text += &format!(
                "This stops module {module} on both nodes and starts it again: its service is away \
                 meanwhile.\n"
            );
        }
        if running.is_empty() {
            text += "Nothing is stopped: the daemons of both nodes start anew, mirrors and \
                     applications go on.\n";
        }
        text
    }
}

/// The whole module.
fn all_of(module: &str) -> CommandOptions {
    CommandOptions {
        node: None,
        module: Some(module.to_owned()),
        no_wait: false,
        timeout: None,
        all: true,
    }
}

fn agreed() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print!("Go on? [y/N] ");
    let mut answer = String::new();
    let _ = std::io::stdout().flush();
    // An end of the input is no.
    let _ = std::io::stdin().read_line(&mut answer);
    matches!(answer.trim(), "y" | "yes")
}

fn refused(reason: &str) -> Exit {
    eprintln!("tandem: {reason}");
    Exit::Refused
}
