//! The show without Tandem: one node, its power cut, its return.
//!
//! It shows that the equipment is honest: what the recorder acknowledged on a plain ext4 is there
//! after the power cut, so a loss in the real show is not the recorder's, the disk's or the count's.

use super::client::{self, Client};
use super::error::{Attempt, Result};
use super::node::Node;
use super::operator;
use super::picture::Screen;
use super::report::{Outage, Report};
use super::script::Plan;
use super::stage::{self, VIRTUAL_ADDRESS};
use super::survivor;
use super::wait;
use std::time::Instant;

/// Gives it.
pub fn show(screen: &Screen, plan: &Plan) -> Result<Report> {
    let begin = Instant::now();
    screen.begin("one node without Tandem");
    stage::build()?;
    let node = boot()?;
    let mut client = Client::start(
        &stage::client_namespace_file(),
        VIRTUAL_ADDRESS,
        client::Shared::default(),
    )
    .attempt(|| "start the client".to_owned())?;
    client.served_after(Instant::now(), "the first start")?;
    wait::pause(plan.quiet)?;
    screen.begin("the power of node1 is cut");
    let cut = node.cut_power()?;
    let node = boot()?;
    client.served_after(cut, "the power cut")?;
    wait::pause(plan.quiet)?;
    client.stop().attempt(|| "run the client".to_owned())?;
    node.shut_down()?;
    let journal = client.journal();
    Ok(Report {
        copies: vec![survivor::count(1, &journal)?],
        outages: vec![Outage {
            event: "power cut",
            length: journal.outage(cut),
        }],
        total: begin.elapsed(),
    })
}

fn boot() -> Result<Node> {
    let shell = format!(
        "mkdir -p {} && exec {}",
        operator::volume_directory().display(),
        operator::recorder_command("serve"),
    );
    let node = Node::boot(1, &["sh".into(), "-c".into(), shell])?;
    let take = format!("ip addr add {VIRTUAL_ADDRESS}/24 dev eth0");
    node.command(
        "take the virtual address",
        &["sh".into(), "-c".into(), take],
    )
    .run()?;
    Ok(node)
}
