//! `tandem estimate`: what a synchronisation of the other node has to do. Both copies are read and
//! compared; how fast that is, only a comparison that ran tells.

use super::arguments::Places;
use super::{Exit, complain};
use std::time::Duration;
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
        .filter(|(_, m)| matches!(m.state.as_str(), "PRIM" | "ALONE"))
        .map(|(node, m)| format!("{}: {}", m.name, estimate(node.node, m)))
        .collect()
}

fn estimate(node: u8, module: &ModuleStatus) -> String {
    let mirror = &module.mirror;
    let time = |bytes: u64, rate: u64| Duration::from_secs(bytes / rate.max(1) + 1).as_secs();
    let rate = mirror.resync_bytes_per_second;
    match (mirror.resync_done_bytes, mirror.resync_total_bytes, rate) {
        (Some(done), Some(total), Some(rate)) => format!(
            "{done} of {total} bytes are compared, {rate} bytes/s, about {} s left",
            time(total.saturating_sub(done), rate)
        ),
        (Some(done), Some(total), None) => format!("{done} of {total} bytes are compared"),
        (_, _, Some(rate)) => format!(
            "a comparison reads {} bytes on both nodes; the last one from node{node} ran at \
             {rate} bytes/s: about {} s",
            mirror.data_bytes,
            time(mirror.data_bytes, rate)
        ),
        (_, _, None) => format!(
            "a comparison reads {} bytes on both nodes; none was measured since node{node}'s \
             daemon started",
            mirror.data_bytes
        ),
    }
}
