//! The show without Tandem: one node, its power cut, its return.
//!
//! It shows that the equipment is honest: what the recorder acknowledged on a plain ext4 is there
//! after the power cut, so a loss in the real show is not the recorder's, the disk's or the count's.

use super::client::Client;
use super::count::Tally;
use super::error::{Attempt, Result};
use super::node::{self, Node};
use super::picture::Screen;
use super::script::{self, Pace};
use super::stage::{self, VIRTUAL_ADDRESS};
use super::wait;
use std::time::Instant;

/// Gives it.
pub fn show(screen: &Screen, pace: Pace) -> Result<Tally> {
    screen.begin("one node without Tandem");
    stage::build()?;
    let node = boot()?;
    let client = Client::start(&stage::client_namespace_file(), VIRTUAL_ADDRESS)
        .attempt(|| "start the client".to_owned())?;
    script::acknowledged_after(&client, Instant::now(), "the first start")?;
    wait::pause(pace.quiet)?;
    screen.begin("the power of node1 is cut");
    let cut = node.cut_power()?;
    let node = boot()?;
    script::acknowledged_after(&client, cut, "the power cut")?;
    wait::pause(pace.quiet)?;
    let journal = script::close_client(client)?;
    node.shut_down()?;
    script::count(1, &journal)
}

fn boot() -> Result<Node> {
    let directory = script::volume_directory();
    let shell = format!(
        "mkdir -p {} && exec {} {}",
        directory.display(),
        node::executable(),
        script::recorder_command("serve"),
    );
    let node = Node::boot(1, &["sh".to_owned(), "-c".to_owned(), shell])?;
    let words = ["ip", "addr", "add"].map(str::to_owned).into_iter();
    let words = words
        .chain([format!("{VIRTUAL_ADDRESS}/24")])
        .chain(["dev", "eth0"].map(str::to_owned))
        .collect::<Vec<_>>();
    node.command("take the virtual address", &words).run()?;
    Ok(node)
}
