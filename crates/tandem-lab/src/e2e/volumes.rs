//! Large volumes: what crosses the network after a clean stop, counted by the switch; and files that
//! are very large or very many.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{MODULE, Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "after a clean stop of the standby only what changed crosses the switch",
        run: only_what_changed,
    },
    Case {
        name: "a very large sparse file and very many small ones are compared in bounded memory",
        run: large_and_many,
    },
];

const MIB: u64 = 1 << 20;
/// The tree: so many files, each of so many MiB.
const FILES: u64 = 20;
const FILE_MIB: u64 = 100;
/// What is changed in each while the standby is away.
const CHANGED_MIB: u64 = 1;
/// What may cross the switch then, in both directions together.
const CROSSING_MIB_MAX: u64 = 30;
/// Two gigabytes through the mount, onto both disks of a loaded machine.
const TREE_LIMIT: Duration = Duration::from_secs(300);

/// Inside the volume, beside the database's own files.
fn inside(name: &str) -> String {
    format!("{}/{name}", postgres::DATA)
}

fn only_what_changed(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let mut trial = Trial::begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    trial.client.pause()?;
    let tree = inside("bulk");
    primary.host.must_within(
        &format!(
            "mkdir {tree} && cd {tree} && for n in $(seq {FILES}); do \
               head -c {FILE_MIB}M /dev/urandom >$n || exit 1; done; sync -f ."
        ),
        TREE_LIMIT,
    )?;
    standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    // What the database would write by itself is written before.
    postgres::query(&primary.host, "checkpoint")?;
    standby.order("stop")?;
    primary.wait_until("the primary to be alone", TAKEOVER_LIMIT, |m| {
        m.state == "ALONE" && m.colour == "green"
    })?;
    primary.host.must(&format!(
        "cd {tree} && for n in $(seq {FILES}); do dd if=/dev/urandom of=$n bs={CHANGED_MIB}M \
           count=1 seek=$((n * 3)) conv=notrunc status=none || exit 1; done; sync -f ."
    ))?;
    let before = lab.switch.crossed(standby.number())?;
    let begin = Instant::now();
    standby.order("start --no-wait")?;
    standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    let took = begin.elapsed();
    let crossed = lab.switch.crossed(standby.number())? - before;
    // Less would say that the counter is not the one of this traffic.
    ensure!(
        (FILES * CHANGED_MIB * MIB..=CROSSING_MIB_MAX * MIB).contains(&crossed),
        "{crossed} bytes crossed the switch for {} MiB that changed",
        FILES * CHANGED_MIB
    );
    trial.told.push(format!(
        "{:.1} MiB crossed for {} MiB of {} in {:.1} s",
        crossed as f64 / MIB as f64,
        FILES * CHANGED_MIB,
        FILES * FILE_MIB,
        took.as_secs_f64()
    ));
    trial.client.go_on()?;
    let told = trial.finish()?;
    primary.host.must(&format!("rm -rf {tree}"))?;
    Ok(told)
}

/// What is made, and what the mirrors may need for it at most.
struct Sizes {
    sparse_gib: u64,
    files: u32,
    limit: Duration,
}

const USUAL: Sizes = Sizes {
    sparse_gib: 5,
    files: 10_000,
    limit: Duration::from_secs(180),
};
const LONG: Sizes = Sizes {
    sparse_gib: 50,
    files: 200_000,
    limit: Duration::from_secs(1200),
};
/// The largest resident memory of a mirror: its queue has 64 MiB, and a file that is known needs
/// less than a KiB.
const MEMORY_MIB_MAX: u64 = 512;
/// What a user would call a time-out. Both disks are the same one, and busy.
const PAUSE_MAX: Duration = Duration::from_secs(10);

fn large_and_many(stage: &mut Stage) -> Result<Told> {
    let sizes = if stage.long { LONG } else { USUAL };
    let mut trial = Trial::begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let tree = inside("many");
    let Sizes {
        sparse_gib,
        files,
        limit,
    } = sizes;
    let begin = Instant::now();
    // A hundred directories; content only at the beginning, in the middle and at the end of the
    // sparse file.
    primary.host.must_within(
        &format!(
            "mkdir {tree} && cd {tree} && truncate -s {sparse_gib}G sparse && \
             for at in 0 $(({sparse_gib} * 512)) $(({sparse_gib} * 1024 - 1)); do \
               dd if=/dev/urandom of=sparse bs=1M count=1 seek=$at conv=notrunc status=none; done; \
             seq -w {files} | awk '{{ d = substr($0, length($0) - 1); \
               if (!(d in seen)) {{ seen[d] = 1; system(\"mkdir \" d) }} \
               f = d \"/\" $0; print $0 >f; close(f) }}'; sync -f ."
        ),
        limit,
    )?;
    let made = begin.elapsed();
    trial.rows_flow().context("with many files")?;
    let pause = trial.client.journal()?.outage();
    ensure!(
        pause <= PAUSE_MAX,
        "the client waited {:.1} s",
        pause.as_secs_f64()
    );
    trial.told.push(format!(
        "made in {:.1} s, while the client waited {:.2} s at most",
        made.as_secs_f64(),
        pause.as_secs_f64()
    ));
    // After a power cut everything is compared.
    standby.host.power_off()?;
    primary.wait_until("the primary to be alone", TAKEOVER_LIMIT, |m| {
        m.state == "ALONE" && m.colour == "green"
    })?;
    super::failures::bring_back(&standby)?;
    let begin = Instant::now();
    standby.wait_for_face(["SECOND", "green", "uptodate"], limit)?;
    let took = begin.elapsed();
    primary.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    for node in [&primary, &standby] {
        let peak = peak_mib(node)?;
        ensure!(
            peak <= MEMORY_MIB_MAX,
            "the mirror of h{} needed {peak} MiB",
            node.number()
        );
        trial.told.push(format!("{peak} MiB"));
    }
    trial.told.push(format!(
        "{files} files and {sparse_gib} GiB compared in {:.1} s",
        took.as_secs_f64()
    ));
    trial.application_untouched()?;
    let told = trial.finish()?;
    // Nobody wants to wait for the removal of all that.
    stage.clear();
    Ok(told)
}

/// The largest resident memory that the mirror of a node ever had, in MiB.
fn peak_mib(node: &Node<'_>) -> Result<u64> {
    let unit = format!("tandem-mirror@{MODULE}.service");
    let pid = node.host.main_process(&unit)?.context("the mirror runs")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let peak = peak.context("a process without VmHWM")?.trim();
    let kib: u64 = peak.trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024)
}
