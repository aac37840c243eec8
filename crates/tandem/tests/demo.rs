//! The demonstration from outside: what it says, how it ends, and that nothing is left of it.
//!
//! It needs root. Without it the tests say that they are skipped, which is a failure where
//! `CI=true`. One demonstration runs at a time on a machine, so the tests follow each other.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The promise to the user is three minutes; more on a machine that does other things besides.
const SHOW_LIMIT: Duration = Duration::from_secs(240);
/// How long a demonstration may take to remove everything.
const CLEAR_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take until it is on stage.
const STAGE_LIMIT: Duration = Duration::from_secs(60);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The right to give a demonstration, or `None` where it cannot be given.
fn stage() -> Option<MutexGuard<'static, ()>> {
    if !rustix::process::geteuid().is_root() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the demonstration needs root, and CI=true allows no skipped test"
        );
        eprintln!("SKIPPED: the demonstration needs root");
        return None;
    }
    // A test that failed has had its say.
    Some(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tandem"))
        .arg("demo")
        .args(arguments)
        .env_remove("KEEP")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the executable was built")
}

/// Waits for its end and gives what it said.
fn finish(mut show: Child, limit: Duration) -> Output {
    let gather = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).expect("a pipe can be read");
            bytes
        })
    };
    let stdout = gather(Box::new(show.stdout.take().expect("it is piped")));
    let stderr = gather(Box::new(show.stderr.take().expect("it is piped")));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = show.try_wait().expect("it is our child") {
            break Some(status);
        }
        if Instant::now() >= end {
            show.kill().expect("it is our child");
            show.wait().expect("it is our child");
            break None;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let output = Output {
        status: status.unwrap_or_default(),
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: stderr.join().expect("the reader does not panic"),
    };
    assert!(
        status.is_some(),
        "it took longer than {limit:?}: {}",
        said(&output)
    );
    output
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn assert_nothing_is_left() {
    assert!(!Path::new("/var/lib/tandem-demo").exists());
    for name in ["switch", "client", "node1", "node2"] {
        let namespace = format!("/run/netns/tandem-demo-{name}");
        assert!(!Path::new(&namespace).exists(), "{namespace} is left");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!mounts.contains("tandem-demo"), "{mounts}");
    for device in fs::read_dir("/sys/block").expect("sysfs").flatten() {
        let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        assert!(!file.contains("tandem-demo"), "{:?} is left", device.path());
    }
    for process in fs::read_dir("/proc").expect("proc").flatten() {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        assert!(
            !words.contains("demo-node"),
            "process {:?} is left",
            process.path()
        );
    }
}

/// The numbers of the rows of this name in the report, one for each copy.
fn row(report: &str, name: &str) -> Vec<u64> {
    report
        .lines()
        .filter_map(|line| line.trim().strip_prefix(name))
        .map(|rest| {
            let number: String = rest
                .trim_start()
                .split("   ")
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            number.parse().expect("a number stands in the row")
        })
        .collect()
}

fn wait_until(what: &str, limit: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "waited {limit:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn acknowledged_events_survive_a_power_cut_on_a_plain_disk() {
    let Some(_stage) = stage() else { return };
    let output = finish(start(&["--plain", "--fast"]), SHOW_LIMIT);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(row(&said, "lost"), [0], "{said}");
    assert_nothing_is_left();
}

#[test]
fn a_pair_loses_no_acknowledged_event_when_the_primary_loses_power() {
    let Some(_stage) = stage() else { return };
    let output = finish(start(&["--fast"]), SHOW_LIMIT);
    let said = said(&output);
    eprintln!("{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(row(&said, "lost"), [0, 0], "both copies: {said}");
    assert_eq!(row(&said, "duplicates"), [0, 0], "{said}");
    assert!(
        row(&said, "found").iter().all(|found| *found > 100),
        "{said}"
    );
    assert_nothing_is_left();
}

#[test]
fn a_mirror_that_answers_too_early_loses_events_and_is_found_out() {
    let Some(_stage) = stage() else { return };
    let output = finish(start(&["--fast", "--sabotage", "early-ack"]), SHOW_LIMIT);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(row(&said, "lost").iter().all(|lost| *lost > 0), "{said}");
    assert_eq!(
        row(&said, "lost").len(),
        2,
        "the show came to its end: {said}"
    );
    assert_nothing_is_left();
}

#[test]
fn a_demonstration_that_is_interrupted_leaves_nothing_behind() {
    let Some(_stage) = stage() else { return };
    let show = start(&["--plain"]);
    wait_until("the recorder's disk", STAGE_LIMIT, on_stage);
    let process = rustix::process::Pid::from_child(&show);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let output = finish(show, CLEAR_LIMIT);
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert_nothing_is_left();
}

#[test]
fn what_a_killed_demonstration_left_is_removed_by_the_next() {
    let Some(_stage) = stage() else { return };
    let mut show = start(&["--plain"]);
    wait_until("the recorder's disk", STAGE_LIMIT, on_stage);
    show.kill().expect("it runs");
    show.wait().expect("it is our child");
    let output = finish(start(&["--clean"]), CLEAR_LIMIT);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_nothing_is_left();
}

/// The demonstration as an ordinary user gets it: of an executable that everybody can reach.
fn start_as_an_ordinary_user(directory: &Path, arguments: &[&str]) -> Child {
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory, everybody).expect("open the directory");
    let executable = directory.join("tandem");
    fs::copy(env!("CARGO_BIN_EXE_tandem"), &executable).expect("copy the executable");
    Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(executable)
        .arg("demo")
        .args(arguments)
        .env_remove("KEEP")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("setpriv is there")
}

#[test]
fn an_ordinary_user_gets_the_show_and_is_told_what_is_not_real() {
    let Some(_stage) = stage() else { return };
    let spaces = fs::read_to_string("/proc/sys/user/max_user_namespaces");
    if spaces.is_ok_and(|spaces| spaces.trim() == "0") {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "this kernel makes no user namespaces, and CI=true allows no skipped test"
        );
        eprintln!("SKIPPED: this kernel makes no user namespaces");
        return;
    }
    let directory = tempfile::tempdir().expect("make a directory");
    let output = finish(
        start_as_an_ordinary_user(directory.path(), &["--fast"]),
        SHOW_LIMIT,
    );
    let said = said(&output);
    eprintln!("{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(row(&said, "lost"), [0, 0], "both copies: {said}");
    assert!(said.contains("the page cache survives"), "{said}");
    assert_nothing_is_left();
}

/// Whether the disk of node 1 is mounted somewhere.
fn on_stage() -> bool {
    fs::read_dir("/sys/block")
        .expect("sysfs")
        .flatten()
        .any(|device| {
            fs::read_to_string(device.path().join("loop/backing_file"))
                .is_ok_and(|file| file.contains("tandem-demo/node1"))
        })
}
