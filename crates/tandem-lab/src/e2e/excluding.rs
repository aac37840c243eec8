//! What is excluded of a volume stays on the node that made it: it is neither copied nor removed,
//! whoever serves, and whatever is compared.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told, promises};
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::wait::wait_for;
use anyhow::{Result, ensure};
use std::fs;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "what is excluded is neither copied nor removed, in swaps and in a comparison",
    run: excluded,
}];

/// By a directory, and by a name.
const EXCLUDED: [&str; 2] = ["cache/picture", "table.scratch"];

/// What a node has on its own disk under this name of the volume.
fn on_disk(node: &Node<'_>, name: &str) -> Result<Option<String>> {
    let path = node.host.plain(postgres::DATA)?.join(name);
    Ok(fs::read_to_string(path).ok())
}

/// The node that serves writes what is excluded, and after it something that is not, which arrives.
fn write(serving: &Node<'_>, other: &Node<'_>, text: &str) -> Result<()> {
    let files = EXCLUDED.join(" ");
    serving.host.must(&format!(
        "cd {} && mkdir -p cache && for file in {files} table; do printf {text} >$file && \
           sync $file; done",
        postgres::DATA
    ))?;
    wait_for("what is not excluded", TAKEOVER_LIMIT, || {
        let arrived = on_disk(other, "table")?;
        Ok((arrived.as_deref() == Some(text)).then_some(()))
    })
}

/// What this node has of what is excluded: all of it with this text, or nothing.
fn has(node: &Node<'_>, expected: Option<&str>) -> Result<()> {
    for name in EXCLUDED {
        let found = on_disk(node, name)?;
        ensure!(
            found.as_deref() == expected,
            "{name} is {found:?} on h{}, not {expected:?}",
            node.number()
        );
    }
    Ok(())
}

fn swap(from: &Node<'_>, to: &Node<'_>) -> Result<()> {
    from.order("swap --timeout 40s")?;
    to.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    from.wait_for_face(["SECOND", "green", "uptodate"], TAKEOVER_LIMIT)
        .map(drop)
}

fn excluded(stage: &mut Stage) -> Result<Told> {
    stage.want(promises::SETTING);
    let trial = Trial::begin(stage)?;
    let (one, two) = (trial.primary.clone(), trial.standby.clone());
    write(&one, &two, "first")?;
    has(&one, Some("first"))?;
    has(&two, None)?;
    let there = fs::metadata(two.host.plain(postgres::DATA)?.join("cache"));
    ensure!(there.is_ok_and(|m| m.is_dir()), "the directory is mirrored");

    swap(&one, &two)?;
    write(&two, &one, "second")?;
    has(&one, Some("first"))?;
    has(&two, Some("second"))?;

    // Everything is compared.
    one.host.power_off()?;
    trial.rows_flow()?;
    super::failures::bring_back(&one)?;
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    has(&one, Some("first"))?;

    // Nothing changes sides; `mv` copies.
    let said = two
        .host
        .sh(&format!("cd {} && ln table cache/link", postgres::DATA))?;
    ensure!(
        said.said().contains("cross-device"),
        "a link across the border: {}",
        said.said()
    );
    two.host.must(&format!(
        "cd {} && mv table.scratch table && sync table && rm cache/picture",
        postgres::DATA
    ))?;
    has(&two, None)?;

    swap(&two, &one)?;
    has(&one, Some("first"))?;
    one.host.must(&format!(
        "cd {} && test $(cat table) = second && rm -r cache table table.scratch",
        postgres::DATA
    ))?;
    trial.finish()
}
