//! `tandem demo`: a pair of nodes on this machine loses the power of one, and nothing else.
//!
//! Two nodes live in namespaces of this machine (network, mounts, processes), each with a disk of
//! its own, and run the same executable as any node. A client in a third network namespace writes
//! numbered events through the virtual address and keeps its own list of what was acknowledged. The
//! show cuts the primary's power, lets it come back, swaps the roles, and counts at the end with
//! Debian's own `sqlite3`.
//!
//! | file | noun |
//! |---|---|
//! | `curtain` | before and after the show |
//! | `script` | the show, step by step; `equipment` is the same without Tandem |
//! | `borrowed` | the stage of an ordinary user |
//! | `stage` | namespaces, cables, disks, and how all of it goes away |
//! | `node`, `init` | a machine from outside, and its first process inside |
//! | `recorder`, `client` | the application, and the one who uses it |
//! | `operator` | configuration, pairing, commands |
//! | `status`, `painter`, `picture` | what the nodes say, and how it is shown |
//! | `survivor`, `count`, `report` | the client's list against the database |
//! | `forward` | the pages for this machine's browser |
//!
//! It contains nothing of the product: it starts the product's processes and speaks to them as an
//! operator does.

mod borrowed;
mod client;
mod count;
mod curtain;
mod equipment;
mod error;
mod format;
mod forward;
mod init;
mod linux;
mod node;
mod operator;
mod painter;
mod picture;
mod recorder;
mod report;
mod script;
mod stage;
mod status;
mod survivor;
mod wait;

use std::process::ExitCode;
use std::time::Duration;
use tandem_daemon::config::parse_duration;

/// `tandem demo`
#[derive(Debug, Clone, clap::Args)]
pub struct DemoOptions {
    /// Removes what a demonstration left running (`KEEP=1`), and the logs of one that failed
    #[arg(long)]
    clean: bool,
    /// Shortens the quiet parts of the show
    #[arg(long)]
    fast: bool,
    /// Silence of the primary after which the standby takes over. With less than the default a slow
    /// disk is soon taken for a standby that does not answer
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = duration)]
    takeover_after: Duration,
    /// Without Tandem: one node, its power cut, its return. Shows what the equipment does alone.
    #[arg(long, hide = true)]
    plain: bool,
    /// A deliberate defect of the mirrors
    #[cfg(feature = "sabotage")]
    #[arg(long, hide = true, value_parser = ["early-ack"])]
    sabotage: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

impl DemoOptions {
    /// The deliberate defect, in builds that have any.
    fn sabotage(&self) -> Option<String> {
        #[cfg(feature = "sabotage")]
        return self.sabotage.clone();
        #[cfg(not(feature = "sabotage"))]
        return None;
    }
}

/// Processes of the demonstration that people do not start themselves.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum DemoPart {
    /// The protected application.
    #[command(name = "demo-recorder", subcommand, hide = true)]
    Recorder(recorder::RecorderCommand),
    /// The first process of a node.
    #[command(name = "demo-node", hide = true)]
    Node(init::NodeOptions),
    /// Brings the pages of the nodes to this machine's browser.
    #[command(name = "demo-forward", hide = true)]
    Forward,
}

/// Gives the show.
pub fn run(options: DemoOptions) -> ExitCode {
    curtain::run(&options)
}

/// Runs one of its processes.
pub fn run_part(part: &DemoPart) -> ExitCode {
    match part {
        DemoPart::Recorder(command) => recorder::run(command),
        DemoPart::Node(options) => init::run(options),
        DemoPart::Forward => forward::run(),
    }
}
