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
//! | `script` | the show, step by step |
//! | `stage` | namespaces, cables, disks, and how all of it goes away |
//! | `node`, `init` | a machine from outside, and its first process inside |
//! | `recorder`, `client` | the application, and the one who uses it |
//! | `status`, `picture` | what the nodes say, and how it is shown |
//! | `count` | the client's list against the database |
//!
//! It contains nothing of the product: it starts the product's processes and speaks to them as an
//! operator does.

mod client;
mod count;
mod equipment;
mod error;
mod format;
mod init;
mod linux;
mod node;
mod picture;
mod recorder;
mod script;
mod stage;
mod status;
mod wait;

use std::process::ExitCode;

/// `tandem demo`
#[derive(Debug, Clone, clap::Args)]
pub struct DemoOptions {
    /// Removes what a demonstration left running (`KEEP=1`), and the logs of one that failed.
    #[arg(long)]
    pub clean: bool,
    /// Shortens the quiet parts of the show.
    #[arg(long)]
    pub fast: bool,
    /// Without Tandem: one node, its power cut, its return. Shows what the equipment does alone.
    #[arg(long, hide = true)]
    pub plain: bool,
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
}

/// Gives the show.
pub fn run(options: DemoOptions) -> ExitCode {
    script::run(&options)
}

/// Runs one of its processes.
pub fn run_part(part: &DemoPart) -> ExitCode {
    match part {
        DemoPart::Recorder(command) => recorder::run(command),
        DemoPart::Node(options) => init::run(options),
    }
}
