//! `tandem config plan` and `tandem config apply`: another configuration for both nodes.
//!
//! Both nodes look at the file before either takes it. What the file of before started is stopped
//! with it. Interrupted at any point, each node has one of the two files whole, nothing has been
//! lost, and the same command again brings it to its end.
//!
//! A module is stopped last, and started first, where it served: the record says all the time that
//! only this copy is uptodate. So it needs nobody to serve again, should the other node die meanwhile;
//! and nobody serves a volume that is new from the node that has nothing in it.

use super::arguments::{CommandOptions, Places};
use super::{Exit, command};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::Duration;
use tandem_daemon::client::Client;
use tandem_daemon::config::{self, Change, Configuration, Directory, Fate};
use tandem_daemon::report;
use tandem_wire::api::{
    ClusterStatus, CommandName, CommandRequest, ModuleStatus, NewFile, NodeStatus,
};
use tokio::time::{Instant, sleep};

/// A request has a bound of 64 KiB on its way to the other node, and is JSON.
const FILE_BYTES_MAX: usize = 32 << 10;
/// How long one node may look at a file, or put it in place: it asks its service manager, and
/// whether the addresses are free.
const NODE_MAX: Duration = Duration::from_secs(60);
/// How long both daemons may take to start anew. They are back in a second, on an idle machine.
const BACK_MAX: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a node may take to stop or start a module: three services that need all of their time.
const MODULE_MAX: Duration = Duration::from_secs(900);

/// What is to be done.
struct Plan {
    text: String,
    /// The digest of the configuration now, and of the new one.
    before: String,
    after: String,
    changes: Vec<Change>,
    directories: Vec<Directory>,
    status: ClusterStatus,
}

/// A module that has to stand still, and runs.
struct Running {
    module: String,
    /// Where, first who serves.
    nodes: Vec<u8>,
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
    for running in &stopped {
        let exit = stop(places, running).await;
        if exit != Exit::Done {
            eprintln!("tandem: the configuration is the one of before");
            return exit;
        }
    }
    let exit = put(places, &plan).await;
    let mut started = Exit::Done;
    for running in &stopped {
        match start(places, running).await {
            Exit::Done => {}
            other => started = other,
        }
    }
    match exit {
        Exit::Done => {
            println!("Both nodes have the new configuration.");
            started
        }
        other => other,
    }
}

/// Stops a module, last where it serves.
async fn stop(places: &Places, running: &Running) -> Exit {
    for node in running.nodes.iter().rev() {
        let exit = command::stop(places, &running.on(*node)).await;
        if exit != Exit::Done {
            return running.hint(exit);
        }
    }
    Exit::Done
}

/// Starts it again, first where it served.
async fn start(places: &Places, running: &Running) -> Exit {
    for node in &running.nodes {
        let exit = command::start(places, &running.on(*node)).await;
        if exit != Exit::Done {
            return running.hint(exit);
        }
    }
    Exit::Done
}

impl Running {
    fn on(&self, node: u8) -> CommandOptions {
        CommandOptions {
            node: Some(node),
            module: Some(self.module.clone()),
            no_wait: false,
            timeout: Some(MODULE_MAX),
            all: false,
        }
    }

    fn hint(&self, exit: Exit) -> Exit {
        let module = &self.module;
        eprintln!("hint: tandem start --all --module {module} starts what was stopped");
        exit
    }
}

/// Looks at the file, here and on the other node. Changes nothing.
async fn look(places: &Places, file: &Path) -> Result<Plan, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    if text.len() > FILE_BYTES_MAX {
        let most = FILE_BYTES_MAX >> 10;
        return Err(format!("the file is larger than {most} KiB"));
    }
    let after = Configuration::parse(file, &text).map_err(|error| report(&error))?;
    let client = Client::new(&places.runtime_dir);
    let status = client.status().await.map_err(|error| report(&error))?;
    let before = before(places, &status, &after)?;
    if let Some(module) = config::removed(&before, &after).first() {
        return Err(format!(
            "the new file has no module {module}: a module keeps its name, and goes with tandem \
             cluster leave only"
        ));
    }
    let plan = Plan {
        text,
        before: config::digest_words(&before),
        after: config::digest_words(&after),
        changes: config::changes(&before, &after),
        directories: config::directories(&before, &after),
        status,
    };
    for node in [1, 2] {
        plan.order(&client, node, false).await?;
    }
    Ok(plan)
}

/// The configuration that the new one takes the place of: this node's, or the one that this node had
/// before and the other one still has, where the same was interrupted.
fn before(
    places: &Places,
    status: &ClusterStatus,
    after: &Configuration,
) -> Result<Configuration, String> {
    let own = Configuration::read(&places.config).map_err(|error| report(&error))?;
    let wanted = config::digest_words(after);
    let mut others = status.nodes.iter().filter(|n| n.node != status.answered_by);
    if config::digest_words(&own) == wanted
        && let Some(other) = others.find(|node| node.answers && node.configuration != wanted)
        && let Ok(kept) = Configuration::read(&config::kept(&places.config))
        && config::digest_words(&kept) == other.configuration
    {
        return Ok(kept);
    }
    Ok(own)
}

/// Both nodes put the file in place, the other one first, and their daemons start anew.
async fn put(places: &Places, plan: &Plan) -> Exit {
    let client = Client::new(&places.runtime_dir);
    let own = plan.status.answered_by;
    if let Err(reason) = plan.order(&client, 3 - own, true).await {
        eprintln!("tandem: this node has the configuration of before: {reason}");
        eprintln!("hint: when the other node answers again, the same command again");
        return Exit::Failed;
    }
    if let Err(reason) = plan.order(&client, own, true).await {
        eprintln!(
            "tandem: only node{} has the new configuration: {reason}",
            3 - own
        );
        eprintln!("hint: when this node's daemon answers again, the same command again");
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
    fn running(&self) -> Vec<Running> {
        let running = self.stops().into_iter().map(|name| Running {
            module: name.to_owned(),
            nodes: self.nodes_with(name),
        });
        running
            .filter(|running| !running.nodes.is_empty())
            .collect()
    }

    /// The nodes on which a module runs, first the one that serves.
    fn nodes_with(&self, name: &str) -> Vec<u8> {
        let mut nodes = self.nodes_where(name, |module| module.state != "STOP");
        let serving = self.nodes_where(name, ModuleStatus::serves);
        nodes.sort_by_key(|node| !serving.contains(node));
        nodes
    }

    fn nodes_where(&self, name: &str, of: fn(&ModuleStatus) -> bool) -> Vec<u8> {
        let there = |node: &&NodeStatus| {
            (node.modules.iter()).any(|module| module.name == name && of(module))
        };
        let nodes = self.status.nodes.iter().filter(there);
        nodes.map(|node| node.node).collect()
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
        for directory in &self.directories {
            let serving = self.nodes_where(&directory.module, ModuleStatus::serves);
            text += &becomes(directory, serving.first().copied());
        }
        let stands = |name: &&str| running.iter().all(|running| running.module != **name);
        for module in self.stops().iter().filter(|name| stands(name)) {
            text += &format!("Module {module} stands still already, and is not started.\n");
        }
        for Running { module, .. } in &running {
            text += &format!(
                "This stops module {module} on both nodes and starts it again: its service is away \
                 meanwhile.\n"
            );
        }
        if self.stops().is_empty() {
            text += "Nothing is stopped: a daemon that takes the file starts anew, mirrors and \
                     applications go on.\n";
        }
        text
    }
}

/// What becomes of a directory, and whose content counts: that of the node that is started `first`.
fn becomes(directory: &Directory, first: Option<u8>) -> String {
    let (module, path) = (&directory.module, directory.path.display());
    match (directory.fate, first) {
        (Fate::Mirrored, Some(node)) => format!(
            "{path} is mirrored from then on, as it is on node{node}; what node{} has there is set \
             aside beside it.\n",
            3 - node
        ),
        (Fate::Mirrored, None) => format!(
            "{path} is mirrored from then on, as it is on the node on which module {module} is \
             started first: start it there alone; what the other node has there is set aside \
             beside it.\n"
        ),
        (Fate::LeftAlone, _) => format!(
            "{path} is a plain directory from then on, on both nodes, with everything in it.\n"
        ),
        (Fate::Compared, _) => format!("{path} is compared as a whole.\n"),
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
