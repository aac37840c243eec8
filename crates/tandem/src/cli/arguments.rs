//! The command line as it is typed.

use crate::demo;
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tandem_daemon::config::parse_duration;
use tandem_daemon::daemon::Settings;
use tandem_daemon::setup::Transport;

/// Keeps one application alive on two servers.
#[derive(Parser)]
#[command(name = "tandem", version, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub places: Places,
    #[command(subcommand)]
    pub command: Top,
}

/// The product's own commands, and the show's.
#[derive(Subcommand)]
pub enum Top {
    #[command(flatten)]
    Verb(Verb),
    /// Shows on one machine what happens when a server loses power (as root)
    Demo(demo::DemoOptions),
    #[command(flatten)]
    Part(demo::DemoPart),
}

/// Where files are.
#[derive(Args, Clone, Debug)]
pub struct Places {
    /// The configuration, the same on both nodes
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/tandem/tandem.toml"
    )]
    pub config: PathBuf,
    /// Identity, token and state of this node
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/var/lib/tandem"
    )]
    pub state_dir: PathBuf,
    /// Sockets of this node
    #[arg(long, global = true, value_name = "DIR", default_value = "/run/tandem")]
    pub runtime_dir: PathBuf,
}

impl Places {
    /// As the daemon takes them.
    pub fn settings(&self) -> Settings {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Settings {
            config: absolute(&self.config),
            state_dir: absolute(&self.state_dir),
            runtime_dir: absolute(&self.runtime_dir),
        }
    }
}

/// What is to be done.
#[derive(Subcommand)]
pub enum Verb {
    /// Runs the daemon of this node
    Daemon,
    /// Runs the mirror of one module on this node (started by the daemon)
    Mirror {
        /// The module
        #[arg(long)]
        module: String,
    },
    /// Makes the directories of all volumes read-only until a node serves (at boot)
    Guard,
    /// Shows both nodes
    Status(StatusOptions),
    /// Shows both nodes in the terminal, live
    Top,
    /// Looks at this machine, the other node and what is between them, before set-up and at any
    /// time; exit status 1: something failed, 6: the other node could not be asked
    Doctor(DoctorOptions),
    /// Starts a node; it picks its role by itself
    Start(CommandOptions),
    /// Stops a node; the other one takes over if it can
    Stop(CommandOptions),
    /// Restarts the services in place, without a failover
    Restart(CommandOptions),
    /// Stops a node and starts it again; on the primary this is a failover
    Stopstart(CommandOptions),
    /// Exchanges the roles of the nodes
    Swap(CommandOptions),
    /// Lets a node serve: the answer to the first start, or to a WAIT
    Prim {
        /// Serve whatever is there, even where the other node may have newer data. The other node
        /// must be off
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Starts a node as standby; gives up its side of a divergence
    Second {
        /// Believe nothing of its copy, also of a standby's: compare all of it with the primary's
        /// by hash. Until that is done the node cannot take over
        #[arg(long)]
        full_sync: bool,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Lets the service move between the nodes by itself, or not; both nodes, unless one is named
    Failover(SwitchOptions),
    /// Lets what checkers and services report have consequences, or not; both nodes, unless one is
    /// named
    Checkers(SwitchOptions),
    /// Lets a node start the module by itself after a boot, or not; both nodes, unless one is named
    Boot(SwitchOptions),
    /// Compares both copies while the application works, and repairs the standby's where it is not
    /// the same; exit status 0: they are equal, 1: they were not, or it did not get to its end
    Verify(VerifyOptions),
    /// Says how much a synchronisation has to compare, and how long that took last time
    Estimate {
        /// The module; default: all
        #[arg(long)]
        module: Option<String>,
    },
    /// Writes what a person who helps needs to see, without secrets, into one file
    Support {
        /// Numbers instead of names and addresses
        #[arg(long)]
        anonymise: bool,
        /// What this node knows, for the other node's bundle
        #[arg(long, hide = true, conflicts_with = "anonymise")]
        half: bool,
        /// The file; `-` for the output; default: tandem-support-NODE-TIME.tar.gz here
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Writes reference, manual pages and completions below the root of the repository
    #[command(hide = true)]
    Generate {
        /// The root
        root: PathBuf,
    },
    /// Who may use the console
    User {
        #[command(subcommand)]
        verb: UserVerb,
    },
    /// How browsers reach the console of this node
    Console {
        #[command(subcommand)]
        verb: ConsoleVerb,
    },
    /// Says in one line how a module is, for Nagios, Icinga and Zabbix; exit status 0: good, 1:
    /// warning, 2: critical, 3: unknown
    Check {
        /// The module; default: all
        #[arg(long)]
        module: Option<String>,
    },
    /// Says from both nodes' state files what each node knows, and the safe next step; `explain
    /// emergency`: how to run the application without Tandem
    Explain {
        /// `emergency`
        #[arg(value_parser = ["emergency"])]
        topic: Option<String>,
        /// The state directory of the other node, copied here, when its daemon does not answer
        #[arg(long, value_name = "DIR")]
        other: Option<PathBuf>,
    },
    /// The licence
    License {
        #[command(subcommand)]
        verb: LicenseVerb,
    },
    /// The configuration file
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Makes a protected pair of two servers: on the second server first, then on the first one,
    /// then `complete` on the second. Asks; or takes flags or a file with answers
    Setup {
        #[command(subcommand)]
        verb: Option<SetupVerb>,
    },
    /// The keys of the two nodes
    Cluster {
        #[command(subcommand)]
        verb: ClusterVerb,
    },
}

/// What is to be done with the users of the console. The password is read from the input.
#[derive(Subcommand)]
pub enum UserVerb {
    /// Lists them
    List,
    /// Adds one
    Add {
        /// Its name
        name: String,
        /// What it may do
        #[arg(long, value_parser = ["monitor", "control", "admin"])]
        role: String,
    },
    /// Gives one a new password, and ends its sessions
    Reset {
        /// Its name
        name: String,
    },
    /// Removes one
    Remove {
        /// Its name
        name: String,
    },
}

/// What is to be done with the console. It counts from the next start of the daemon.
#[derive(Subcommand)]
pub enum ConsoleVerb {
    /// Encrypted; makes a certificate if there is none in STATE_DIR/https
    Https {
        /// Your own one, as PEM, with those that it is signed with
        #[arg(long, value_name = "FILE", requires = "key")]
        certificate: Option<PathBuf>,
        /// The key of your own one, as PEM
        #[arg(long, value_name = "FILE", requires = "certificate")]
        key: Option<PathBuf>,
        /// Makes a new one, whatever there is
        #[arg(long, conflicts_with = "certificate")]
        renew: bool,
    },
    /// Not encrypted: passwords can be read on the network
    Http,
}

/// What is to be done with the configuration.
#[derive(Subcommand)]
pub enum ConfigVerb {
    /// Checks the file, and whether this machine is as the file says; changes nothing
    Check,
    /// Writes the configuration, this node's keys, its licence and the console's certificate into a
    /// new file, which is a secret
    Backup {
        /// The file
        file: PathBuf,
    },
    /// Makes this machine the node of a backup, in place of a lost one
    Restore {
        /// The file
        file: PathBuf,
    },
    /// Says what another file would change, and what would be stopped for it; changes nothing
    Plan {
        /// The new file
        file: PathBuf,
    },
    /// Puts another file in place on both nodes: says what changes, stops what has to be stopped,
    /// and starts it again
    Apply {
        /// The new file
        file: PathBuf,
        /// Asks nothing
        #[arg(long)]
        yes: bool,
    },
}

/// What is to be done with the licence.
#[derive(Subcommand)]
pub enum LicenseVerb {
    /// Puts a licence in place on this node, if it is valid here; the other node needs the same one
    Add {
        /// The licence
        file: PathBuf,
    },
    /// Says whether this node is licensed, and how long each module runs without
    Status,
    /// Prints what whoever issues licences has to know
    Request,
    /// For whoever holds the signing key: prints a licence
    Issue(IssueOptions),
}

/// For `license issue`.
#[derive(Args)]
pub struct IssueOptions {
    /// The seed of an Ed25519 key, 64 hexadecimal digits (`openssl rand -hex 32`)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Prints the public half instead, which a build takes as TANDEM_LICENSE_KEY
    #[arg(long)]
    pub public: bool,
    /// The cluster's identifier, as `license request` prints it
    #[arg(long, required_unless_present = "public")]
    pub cluster: Option<String>,
    /// Whose licence it is
    #[arg(long, required_unless_present = "public")]
    pub licensee: Option<String>,
    /// The last day on which it counts, as 2027-12-31, or never
    #[arg(long, value_name = "DAY", required_unless_present = "public")]
    pub expires: Option<String>,
}

/// What is to be done with the keys.
#[derive(Subcommand)]
pub enum ClusterVerb {
    /// On node1: makes the keys of a new cluster and says how node2 joins
    Init {
        /// For tests and images: writes the keys of both nodes into two state directories at once
        #[arg(long, num_args = 2, value_names = ["STATE_DIR1", "STATE_DIR2"])]
        offline: Option<Vec<PathBuf>>,
        /// Waits here until node2 has joined, instead of in the background
        #[arg(long)]
        wait: bool,
    },
    /// On node1: says again how node2 joins (the first word lasts for 15 minutes)
    Invite {
        /// Waits here until node2 has joined, instead of in the background
        #[arg(long)]
        wait: bool,
    },
    /// On node2: joins the cluster, as `cluster init` on node1 says
    Join {
        /// node1's address and port
        address: String,
        /// What `cluster init` printed
        token: String,
    },
    /// Takes this node out of its cluster: keys and state are removed, the units start at boot as
    /// before, the data stays as a plain directory
    Leave {
        /// Leaves the `.tandem` directories in the volumes, which say where the copies stand
        #[arg(long)]
        keep: bool,
        /// Stops this node and its daemon first; refused while it serves
        #[arg(long)]
        stop: bool,
    },
    #[command(hide = true)]
    ServeInvitation,
}

/// Which step of a set-up.
#[derive(Subcommand)]
pub enum SetupVerb {
    /// Configure the secondary computer: waits for the primary one, for 15 minutes
    Secondary(SecondaryOptions),
    /// Configure the primary computer: its data is kept, and mirrored to the secondary one
    Primary(Box<PrimaryOptions>),
    /// On the secondary computer, when the primary one is configured: becomes the standby
    Complete,
    /// The same in a browser: prints where, and a code that lets one in
    Browser,
    /// Takes back a set-up that was interrupted; done by itself at boot, and by the next set-up
    Undo,
}

/// The password of a set-up, the same on both computers.
#[derive(Args, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecretOptions {
    /// Has the password in its first line, instead of a person who types it
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

impl SecretOptions {
    /// What is typed counts more than what a file says.
    pub fn or(self, file: Self) -> Self {
        Self {
            password_file: self.password_file.or(file.password_file),
        }
    }
}

/// For `setup secondary`; also the keys of a file with answers.
#[derive(Args, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SecondaryOptions {
    /// What browsers speak to the console; default: https, with a certificate that the node signs
    #[arg(long, value_name = "http|https", value_parser = transport)]
    pub console: Option<Transport>,
    /// A TOML file with these options as keys; what is typed counts more
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub answers: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub secret: SecretOptions,
}

/// For `setup primary`; also the keys of a file with answers.
#[derive(Args, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PrimaryOptions {
    /// The secondary computer: FQDN (recommended), host name or IPv4 address
    #[arg(long, value_name = "HOST")]
    pub peer: Option<String>,
    /// What browsers speak to the console, as chosen on the secondary computer; default: https
    #[arg(long, value_name = "http|https", value_parser = transport)]
    pub console: Option<Transport>,
    /// A virtual address with its prefix, as in 192.0.2.100/24; may be repeated
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub virtual_address: Vec<String>,
    /// What is to be protected: a preset's name, or the path of your own
    #[arg(long)]
    pub preset: Option<String>,
    /// An answer to a question of the preset; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A further network for heartbeats: this computer's address and the secondary's; may be
    /// repeated
    #[arg(long, value_name = "ADDRESS1,ADDRESS2")]
    pub network: Vec<String>,
    /// The cluster's name; default: cluster1
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The module's name; default: videeos
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// Silence of the primary after which the standby takes over; default: the preset's, or 5s
    #[arg(long, value_name = "DURATION")]
    pub takeover_after: Option<String>,
    /// A TOML file with these options as keys; what is typed counts more
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub answers: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub secret: SecretOptions,
}

/// For `status`.
#[derive(Args)]
pub struct StatusOptions {
    /// In JSON, for scripts
    #[arg(long)]
    pub json: bool,
    /// Shows it again whenever it changes
    #[arg(long)]
    pub watch: bool,
}

/// For `doctor`.
#[derive(Args)]
pub struct DoctorOptions {
    /// In JSON, for scripts: result and findings, each ok, unknown, warning or failed
    #[arg(long)]
    pub json: bool,
    /// Also shows what is as it should be
    #[arg(long)]
    pub all: bool,
    /// Repairs what can be repaired on this node, and looks again
    #[arg(long)]
    pub fix: bool,
    /// Before set-up: where the other node will be
    #[arg(long, value_name = "ADDRESS")]
    pub peer: Option<IpAddr>,
}

/// For commands.
#[derive(Args, Clone)]
pub struct CommandOptions {
    /// The node, 1 or 2; default: this one
    #[arg(long, value_name = "N", value_parser = node_number)]
    pub node: Option<u8>,
    /// The module; default: the only one
    #[arg(long)]
    pub module: Option<String>,
    /// Only begins, and says the job's name
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for the end; default: no limit
    #[arg(long, value_name = "DURATION", value_parser = limit)]
    pub timeout: Option<Duration>,
    /// Both nodes (start, stop): a stop brings both copies level first
    #[arg(long, conflicts_with = "node")]
    pub all: bool,
}

/// For `verify`.
#[derive(Args, Clone)]
pub struct VerifyOptions {
    /// The node that serves, 1 or 2; default: whichever does
    #[arg(long, value_name = "N", value_parser = node_number)]
    pub node: Option<u8>,
    /// The module; default: the only one
    #[arg(long)]
    pub module: Option<String>,
    /// Only begins, and says the job's name; `tandem status` says what it comes to
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for the end; default: no limit
    #[arg(long, value_name = "DURATION", value_parser = limit)]
    pub timeout: Option<Duration>,
}

impl VerifyOptions {
    /// As those of other commands.
    pub fn options(&self) -> CommandOptions {
        CommandOptions {
            node: self.node,
            module: self.module.clone(),
            no_wait: self.no_wait,
            timeout: self.timeout,
            all: false,
        }
    }
}

/// For switches.
#[derive(Args, Clone)]
pub struct SwitchOptions {
    /// The position
    #[arg(value_name = "on|off", action = clap::ArgAction::Set, value_parser = position)]
    pub on: bool,
    #[command(flatten)]
    pub options: CommandOptions,
}

fn position(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}

fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "http" => Ok(Transport::Http),
        "https" => Ok(Transport::Https),
        _ => Err("http or https".to_owned()),
    }
}

fn node_number(text: &str) -> Result<u8, String> {
    match text.trim_start_matches("node") {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err("the nodes are 1 and 2".to_owned()),
    }
}

fn limit(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
