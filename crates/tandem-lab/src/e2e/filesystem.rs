//! The mirrored mount as a file system: two test suites of others run on it while the standby
//! follows, and both trees are equal afterwards.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::host::Host;
use crate::lab::workspace;
use crate::postgres;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "pjdfstest finds no more on the mirrored mount than on ext4",
        run: pjdfstest,
    },
    Case {
        name: "fsx reads what it wrote on the mirrored mount",
        run: fsx,
    },
];

/// Tests of pjdfstest that hold on ext4 and need not hold on the mount, each with its reason.
const EXCLUDED: [(&str, &str); 0] = [];
/// Fewer tests than that: they did not run.
const TESTS_MIN: usize = 300;
/// What is asked of pjdfstest beyond what POSIX demands of everybody: all that Linux has.
const CONFIGURATION: &str = "\
[features]
posix_fallocate = {}
rename_ctime = {}
utimensat = {}
utime_now = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"], [\"bin\", \"bin\"]]
";
/// Seeds of fsx, each with so many operations: a minute at most.
const SEEDS: [u32; 3] = [1, 7, 42];
const OPERATIONS: u32 = 4000;
/// Beside the database's own files, so that it lies in the volume.
const MIRRORED: &str = "posix";
/// On ext4, on the same disk.
const PLAIN: &str = "/srv/posix";

fn install(stage: &Stage, name: &str) -> Result<()> {
    let built = workspace().join("target/tools/bin").join(name);
    let to = stage.lab.binaries().join(name);
    fs::copy(&built, to)
        .with_context(|| format!("{}: scripts/posix-tests makes it", built.display()))
        .map(drop)
}

fn pjdfstest(stage: &mut Stage) -> Result<Told> {
    install(stage, "pjdfstest")?;
    let mut trial = Trial::begin(stage)?;
    let host = trial.primary.host.clone();
    let mirrored = format!("{}/{MIRRORED}", postgres::DATA);
    let on_ext4 = verdicts(&host, PLAIN)?;
    // Its users have to get there; the database looks at this mode only when it starts.
    host.must(&format!("chmod 755 {}", postgres::DATA))?;
    let on_mount = verdicts(&host, &mirrored);
    host.must(&format!("chmod 700 {}", postgres::DATA))?;
    let on_mount = on_mount?;
    let worse = on_mount.iter().filter(|(name, verdict)| {
        let excluded = EXCLUDED.iter().any(|(e, _)| e == name);
        !excluded && *verdict != "ok" && on_ext4.get(*name).is_some_and(|v| v == "ok")
    });
    let worse = worse.map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    ensure!(
        worse.is_empty(),
        "{} tests that hold on ext4 do not hold on the mount: {}",
        worse.len(),
        worse.join(", ")
    );
    for (name, reason) in EXCLUDED {
        let holds = on_mount.get(name).is_some_and(|v| v == "ok");
        ensure!(!holds, "{name} holds, and is excluded because {reason}");
        trial.told.push(format!("without {name}: {reason}"));
    }
    let held = on_mount.values().filter(|v| *v == "ok").count();
    ensure!(held >= TESTS_MIN, "only {held} tests held");
    trial.told.push(format!("{held} tests"));
    end(trial, &host, &mirrored)
}

/// What each test says of the file system at `directory`: `ok`, `FAILED` or `skipped`.
fn verdicts(host: &Host<'_>, directory: &str) -> Result<BTreeMap<String, String>> {
    let said = host.sh(&format!(
        "mkdir -p {directory} && cat >/tmp/pjdfstest.toml <<'END'\n{CONFIGURATION}\nEND\n\
         cd {directory} && timeout 110 /opt/tandem/pjdfstest -c /tmp/pjdfstest.toml -p {directory}"
    ))?;
    let verdicts = (said.stdout.lines())
        .filter_map(|line| line.trim_end().rsplit_once(char::is_whitespace))
        .filter(|(_, verdict)| ["ok", "FAILED", "skipped"].contains(verdict))
        .map(|(name, verdict)| (name.trim().to_owned(), verdict.to_owned()))
        .collect::<BTreeMap<_, _>>();
    ensure!(
        verdicts.len() >= TESTS_MIN,
        "pjdfstest did not run: {}",
        said.stderr
    );
    Ok(verdicts)
}

fn fsx(stage: &mut Stage) -> Result<Told> {
    install(stage, "fsx")?;
    let mut trial = Trial::begin(stage)?;
    let host = trial.primary.host.clone();
    let mirrored = format!("{}/{MIRRORED}", postgres::DATA);
    for seed in SEEDS {
        host.must(&format!(
            "mkdir -p {mirrored} && cd {mirrored} && \
             timeout 60 /opt/tandem/fsx -q -S {seed} -N {OPERATIONS} -P /tmp file-{seed} 2>&1"
        ))
        .with_context(|| format!("seed {seed}"))?;
    }
    let seeds = SEEDS.len();
    trial
        .told
        .push(format!("{seeds} seeds of {OPERATIONS} operations"));
    end(trial, &host, &mirrored)
}

/// Both trees are compared with what the tests left there, which then goes.
fn end(trial: Trial<'_>, host: &Host<'_>, mirrored: &str) -> Result<Told> {
    let told = trial.finish()?;
    host.must(&format!(
        "chmod -R u+rwx {mirrored}; rm -rf {mirrored} {PLAIN}"
    ))?;
    Ok(told)
}
