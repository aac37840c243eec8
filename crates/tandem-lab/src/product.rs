//! The product on the two hosts, used as an operator does: configuration file, units, command line.

use crate::host::Host;
use crate::lab::{Lab, workspace};
use crate::shell::Outcome;
use crate::wait::wait_for;
use crate::{mariadb, postgres};
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::time::Duration;
use tandem_wire::api::{ClusterStatus, ModuleStatus, NodeStatus};

/// The module of the tests.
pub const MODULE: &str = "videeos";
/// The virtual address, as the client reaches the database.
pub const VIRTUAL: &str = "10.99.0.100:5432";
/// The virtual IPv6 address, as the client reaches the database.
pub const VIRTUAL_IPV6: &str = "[fd99::100]:5432";
const GATEWAY: &str = "gateway = \"10.99.0.9\"\n";
const IPV6_ADDRESS: &str = "
[[module.address]]
address = \"fd99::100/64\"
interface = \"eth0\"
";
/// The configuration file on the hosts.
pub const CONFIGURATION: &str = "/etc/tandem/tandem.toml";
/// `takeover-after` of the tests: the product's default.
pub const TAKEOVER_AFTER: Duration = Duration::from_secs(5);
/// The stall limit that follows from it.
pub const STALL_LIMIT: Duration = Duration::from_secs(2);
/// How long a copy may take to be uptodate again, with a comparison by hash of everything.
pub const RESYNCHRONISATION_LIMIT: Duration = Duration::from_secs(90);
/// How long a takeover may take, with the database's recovery.
pub const TAKEOVER_LIMIT: Duration = Duration::from_secs(60);

/// How a pair differs from the usual one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// `takeover-after`
    pub takeover_after: Duration,
    /// A deliberate defect, in a build that has them.
    pub sabotage: Option<&'static str>,
    /// A second module with MariaDB, whose first primary is node 2.
    pub mariadb: bool,
    /// A second virtual address, of IPv6.
    pub ipv6: bool,
    /// A gateway: the machine of the clients.
    pub gateway: bool,
    /// More keys of the module, a line.
    pub module_keys: &'static str,
    /// More keys of the volume, a line.
    pub volume_keys: &'static str,
}

impl Setting {
    /// The usual pair.
    pub const USUAL: Self = Self {
        takeover_after: TAKEOVER_AFTER,
        sabotage: None,
        mariadb: false,
        ipv6: false,
        gateway: false,
        module_keys: "",
        volume_keys: "",
    };
}

/// The configuration of the tests.
#[must_use]
pub fn configuration(setting: &Setting) -> String {
    let mut text = format!(
        r#"[cluster]
name = "cluster1"
takeover-after = "{takeover}ms"
{gateway}
[node1]
name = "h1"
address = "10.99.0.1"
heartbeat = ["10.99.0.1", "10.99.1.1"]

[node2]
name = "h2"
address = "10.99.0.2"
heartbeat = ["10.99.0.2", "10.99.1.2"]

[[module]]
name = "{MODULE}"
{module_keys}
[[module.volume]]
name = "db"
path = "{data}"
{volume_keys}
[[module.address]]
address = "10.99.0.100/24"
interface = "eth0"
{ipv6}
[[module.service]]
name = "postgresql"
unit = "{unit}"
ready = {{ tcp = "127.0.0.1:5432" }}

[[module.checker]]
name = "sql"
tcp = "127.0.0.1:5432"
action = "restart"
"#,
        takeover = setting.takeover_after.as_millis(),
        gateway = if setting.gateway { GATEWAY } else { "" },
        ipv6 = if setting.ipv6 { IPV6_ADDRESS } else { "" },
        module_keys = setting.module_keys,
        volume_keys = setting.volume_keys,
        data = postgres::DATA,
        unit = postgres::UNIT,
    );
    if setting.mariadb {
        text += mariadb::CONFIGURATION;
    }
    text
}

/// The binary under test: `TANDEM_BIN`, or the one that was built beside this program; for a
/// deliberate defect, the one of `scripts/sabotage-build`.
fn binary(setting: &Setting) -> Result<PathBuf> {
    let binary = match std::env::var_os("TANDEM_BIN") {
        _ if setting.sabotage.is_some() => workspace().join("target/sabotage/tandem"),
        Some(path) => PathBuf::from(path),
        None => Lab::tool()?.with_file_name("tandem"),
    };
    ensure!(binary.exists(), "{} was not built", binary.display());
    Ok(binary)
}

/// The product on one host.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// Where it runs.
    pub host: Host<'a>,
    /// The module that is looked at.
    pub module: &'static str,
}

/// What a node says of itself: state, colour, data.
pub type Face = (String, String, String);

impl<'a> Node<'a> {
    /// The product on host `number`.
    #[must_use]
    pub fn new(lab: &'a Lab, number: u8) -> Self {
        Self {
            host: lab.host(number),
            module: MODULE,
        }
    }

    /// The same node, with an eye on another module.
    #[must_use]
    pub fn of(&self, module: &'static str) -> Self {
        let host = self.host.clone();
        Self { host, module }
    }

    /// 1 or 2.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.host.number
    }

    /// The other node's number.
    #[must_use]
    pub fn other(&self) -> u8 {
        3 - self.host.number
    }

    /// Runs `tandem` with these words.
    ///
    /// # Errors
    /// The host does not run.
    pub fn tandem(&self, words: &str) -> Result<Outcome> {
        self.host.sh(&format!("tandem {words}"))
    }

    /// Runs `tandem` with these words, which has to succeed.
    ///
    /// # Errors
    /// It did not: with all that it said.
    pub fn command(&self, words: &str) -> Result<String> {
        self.tandem(words)?
            .success()
            .with_context(|| format!("h{}: tandem {words}", self.host.number))
    }

    /// Gives a command of the product for this module, which has to succeed.
    ///
    /// # Errors
    /// It did not: with all that it said.
    pub fn order(&self, words: &str) -> Result<String> {
        self.command(&format!("{words} --module {}", self.module))
    }

    /// Writes the configuration file.
    ///
    /// # Errors
    /// The host does not run.
    pub fn configure(&self, text: &str) -> Result<()> {
        self.host
            .must(&format!(
                "mkdir -p /etc/tandem && cat >{CONFIGURATION} <<'END'\n{text}\nEND\nsync"
            ))
            .map(drop)
    }

    /// The status, as this node tells it.
    ///
    /// # Errors
    /// Its daemon does not answer.
    pub fn status(&self) -> Result<ClusterStatus> {
        let text = self.command("status --json")?;
        serde_json::from_str(&text).with_context(|| format!("status of h{}", self.host.number))
    }

    /// What this node says of itself, in this module.
    ///
    /// # Errors
    /// Its daemon does not answer.
    pub fn module(&self) -> Result<ModuleStatus> {
        let status = self.status()?;
        let own = status.nodes.iter().find(|n| n.node == self.host.number);
        let module =
            own.and_then(|n: &NodeStatus| n.modules.iter().find(|m| m.name == self.module));
        module.cloned().context("a status without the own module")
    }

    /// Its state, colour and data.
    ///
    /// # Errors
    /// Its daemon does not answer.
    pub fn face(&self) -> Result<Face> {
        let module = self.module()?;
        Ok((module.state, module.colour, module.data))
    }

    /// Waits until `condition` holds of what the node says of itself.
    ///
    /// # Errors
    /// It did not hold within the limit: what the node said last is told.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&ModuleStatus) -> bool,
    ) -> Result<ModuleStatus> {
        let mut last = String::from("nothing");
        let waited = wait_for(what, limit, || {
            match self.module() {
                Ok(module) if condition(&module) => return Ok(Some(module)),
                Ok(m) => {
                    last = format!("{} {} {}: {}", m.state, m.colour, m.data, m.reason);
                    if let Some(advice) = m.advice {
                        last += &format!(" ({advice})");
                    }
                }
                Err(error) => last = format!("{error:#}"),
            }
            Ok(None)
        });
        waited.with_context(|| format!("h{} says: {last}", self.host.number))
    }

    /// Waits until this node serves, with the application up.
    ///
    /// # Errors
    /// It did not, within the limit.
    pub fn wait_until_it_serves(&self, limit: Duration) -> Result<ModuleStatus> {
        let what = format!("h{} to serve", self.host.number);
        self.wait_until(&what, limit, |m| m.serves() && m.colour == "green")
    }

    /// Waits until this node shows exactly this.
    ///
    /// # Errors
    /// It did not, within the limit.
    pub fn wait_for_face(&self, face: [&str; 3], limit: Duration) -> Result<ModuleStatus> {
        let what = format!("h{} to be {}", self.host.number, face.join(" "));
        self.wait_until(&what, limit, |m| {
            [m.state.as_str(), &m.colour, &m.data] == face
        })
    }
}

/// Installs the binary for both hosts.
///
/// # Errors
/// It was not built.
pub fn install(lab: &Lab, setting: &Setting) -> Result<()> {
    lab.install(&binary(setting)?)
}

/// Installs the units on a running host and starts the daemon, without a configuration of its own.
///
/// # Errors
/// A unit is missing or the daemon does not start.
pub fn install_units(node: &Node<'_>, sabotage: Option<&str>) -> Result<()> {
    let packaging = workspace().join("packaging");
    for name in [
        "tandem.service",
        "tandem-mirror@.service",
        "tandem-guard.service",
    ] {
        let file = packaging.join(name);
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        node.host.must(&format!(
            "cat >/etc/systemd/system/{name} <<'END'\n{text}\nEND"
        ))?;
    }
    if let Some(defect) = sabotage {
        node.host.must(&format!(
            "mkdir -p /etc/systemd/system/tandem-mirror@.service.d && \
             printf '[Service]\\nEnvironment=TANDEM_SABOTAGE={defect}\\n' \
               >/etc/systemd/system/tandem-mirror@.service.d/sabotage.conf"
        ))?;
    }
    node.host
        .must("systemctl daemon-reload && systemctl enable tandem.service && sync")
        .map(drop)
}

/// Makes the pair: configuration, keys, daemons; and the first start with node 1's data.
///
/// # Errors
/// A step did not work.
pub fn set_up(lab: &Lab, setting: &Setting) -> Result<()> {
    let [one, two] = &set_up_stopped(lab, setting)?;
    first_start(one, two)?;
    postgres::query(&one.host, postgres::CREATE_TABLE)?;
    if setting.mariadb {
        first_start(&two.of(mariadb::MODULE), &one.of(mariadb::MODULE))?;
        mariadb::query(&two.host, mariadb::CREATE)?;
    }
    Ok(())
}

/// Makes the pair: configuration, keys, daemons; nothing was ever started on it.
///
/// # Errors
/// A step did not work.
pub fn set_up_stopped<'a>(lab: &'a Lab, setting: &Setting) -> Result<[Node<'a>; 2]> {
    let nodes = [Node::new(lab, 1), Node::new(lab, 2)];
    for node in &nodes {
        if setting.mariadb {
            mariadb::prepare(&node.host)?;
        }
        install_units(node, setting.sabotage)?;
        node.configure(&configuration(setting))?;
        node.command("config check")?;
    }
    pair(&nodes)?;
    for node in &nodes {
        node.host.must("systemctl start tandem.service")?;
    }
    Ok(nodes)
}

/// The program under test, without a deliberate defect.
///
/// # Errors
/// It was not built.
pub fn program() -> Result<PathBuf> {
    binary(&Setting::USUAL)
}

/// Exchanges the keys, as an operator does.
fn pair(nodes: &[Node<'_>; 2]) -> Result<()> {
    let said = nodes[0].command("cluster init")?;
    let Some(line) = said.lines().find(|l| l.contains("cluster join")) else {
        bail!("`cluster init` does not say how to join: {said}");
    };
    let words = line.trim().split_once("cluster join").map_or("", |s| s.1);
    nodes[1].command(&format!("cluster join {words}")).map(drop)
}

fn first_start(primary: &Node<'_>, standby: &Node<'_>) -> Result<()> {
    primary.order("prim")?;
    standby.order("second")?;
    standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    primary
        .wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)
        .map(drop)
}
