//! `tandem estimate`: what a synchronisation of the other node has to do. Both copies are read and
//! compared; how fast that is, only a comparison that ran tells.

use super::arguments::Places;
use super::{Exit, amount, complain};
use tandem_daemon::client::Client;
use tandem_wire::api::{ClusterStatus, ModuleStatus};

/// Says it for one module, or for all.
pub async fn run(places: &Places, module: Option<&str>) -> Exit {
    let status = match Client::new(&places.runtime_dir).status().await {
        Ok(status) => status,
        Err(error) => return complain(&error),
    };
    let lines = estimates(&status, module);
    if lines.is_empty() {
        eprintln!("tandem: there is no such module, or no node serves it");
        return Exit::Refused;
    }
    for line in lines {
        println!("{line}");
    }
    Exit::Done
}

fn estimates(status: &ClusterStatus, module: Option<&str>) -> Vec<String> {
    let nodes = status.nodes.iter();
    nodes
        .flat_map(|node| node.modules.iter().map(move |module| (node, module)))
        .filter(|(_, m)| module.is_none_or(|name| m.name == name))
        .filter(|(_, m)| m.serves())
        .map(|(node, m)| format!("{}: {}", m.name, estimate(node.node, m)))
        .collect()
}

fn estimate(node: u8, module: &ModuleStatus) -> String {
    let mirror = &module.mirror;
    let all = amount::bytes(mirror.data_bytes);
    let rate = mirror.resync_bytes_per_second;
    match (mirror.resync_done_bytes, mirror.resync_total_bytes, rate) {
        (Some(done), Some(total), _) => {
            format!(
                "{} of {} are compared, {} differed and were sent{}",
                amount::bytes(done),
                amount::bytes(total),
                amount::bytes(mirror.resync_sent_bytes.unwrap_or(0)),
                amount::left(mirror.resync_left_seconds)
            )
        }
        (_, _, Some(rate)) => format!(
            "a comparison reads {all} on both nodes; the last one from node{node} ran at {}/s: \
             about {}",
            amount::bytes(rate),
            amount::time(mirror.data_bytes / rate.max(1) + 1)
        ),
        (_, _, None) => format!(
            "a comparison reads {all} on both nodes; none was measured since node{node}'s daemon \
             started"
        ),
    }
}
