//! Services that are command lines, from start to force. Needs no root; as root, processes that
//! leave their group and session are found too.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tandem_core::{ServiceFailure, ServiceStop};
use tandem_host::service::{Ready, ServiceConfig, ServiceKind, Services, ServicesConfig};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);

/// A directory with services in it. The line `{dir}` in a command stands for the directory.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn service(&self, name: &str, start: &str, stop: &str) -> ServiceConfig {
        let dir = self.dir.path().to_str().expect("UTF-8");
        ServiceConfig {
            name: name.to_owned(),
            kind: ServiceKind::Commands {
                start: start.replace("{dir}", dir),
                stop: stop.replace("{dir}", dir),
                check: None,
            },
            ready: None,
            start_limit: LIMIT,
            stop_limit: LIMIT,
        }
    }

    fn checked(&self, service: ServiceConfig, line: &str) -> ServiceConfig {
        let ServiceKind::Commands { start, stop, .. } = service.kind else {
            panic!("only commands have a check");
        };
        let dir = self.dir.path().to_str().expect("UTF-8");
        let check = Some(line.replace("{dir}", dir));
        ServiceConfig {
            kind: ServiceKind::Commands { start, stop, check },
            ..service
        }
    }

    fn services(&self, services: Vec<ServiceConfig>) -> (Services, mpsc::Receiver<ServiceFailure>) {
        Services::new(ServicesConfig {
            module: "bench".to_owned(),
            services,
            volumes: Vec::new(),
            runtime_dir: self.path("run"),
        })
    }

    fn flag(&self) -> PathBuf {
        self.path("run").join("bench.serving")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn process(&self, name: &str) -> u32 {
        self.read(name)
            .trim()
            .parse()
            .expect("a process wrote its number")
    }
}

/// Writes its number and stays. A shell of its own per process, so that it can ignore signals.
const DAEMON: &str = "(echo $$ > {dir}/leader; sleep 1000 & echo $! > {dir}/daemon; exit 0)";

const STOP_DAEMON: &str = "kill $(cat {dir}/daemon)";

fn is_alive(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn can_make_control_groups() -> bool {
    let possible = nix::unistd::geteuid().is_root()
        && Path::new("/proc/self/cgroup").exists()
        && fs::read_to_string("/proc/self/mountinfo")
            .is_ok_and(|mounts| mounts.contains(" - cgroup2 "));
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(possible || !must, "this test needs root and cgroup2");
    if !possible {
        eprintln!("skipped: this test needs root and cgroup2");
    }
    possible
}

#[tokio::test]
async fn services_start_in_order_and_stop_in_reverse() {
    let bench = Bench::new();
    let service = |name: &str| {
        bench.service(
            name,
            &format!("echo +{name} >> {{dir}}/log"),
            &format!("test -e {{dir}}/run/bench.serving && echo flag >> {{dir}}/log; echo -{name} >> {{dir}}/log"),
        )
    };
    let (services, _failures) = bench.services(vec![service("a"), service("b"), service("c")]);
    assert!(!bench.flag().exists());
    services.start().await.expect("start");
    assert!(bench.flag().exists());
    services.stop(ServiceStop::Orderly).await.expect("stop");
    assert!(!bench.flag().exists(), "the flag goes with the service");
    assert_eq!(bench.read("log"), "+a\n+b\n+c\n-c\n-b\n-a\n");
}

#[tokio::test]
async fn a_failed_start_names_the_service_and_starts_none_behind_it() {
    let bench = Bench::new();
    let (services, _failures) = bench.services(vec![
        bench.service("a", "echo +a >> {dir}/log", "true"),
        bench.service("b", "exit 7", "true"),
        bench.service("c", "echo +c >> {dir}/log", "true"),
    ]);
    let failure = services.start().await.expect_err("b fails");
    assert_eq!(failure.name, "b");
    assert!(
        failure.reason.contains('7') && !failure.hopeless,
        "{failure:?}"
    );
    assert_eq!(bench.read("log"), "+a\n");
}

#[tokio::test]
async fn a_daemon_that_a_start_leaves_behind_is_watched_and_stopped() {
    let bench = Bench::new();
    let (services, mut failures) = bench.services(vec![bench.service("d", DAEMON, STOP_DAEMON)]);
    services.start().await.expect("start");
    let first = bench.process("daemon");
    assert!(is_alive(first) && services.is_running().await.expect("asked"));

    // It dies by itself: told once.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first.cast_signed()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("kill");
    let failure = timeout(LIMIT, failures.recv())
        .await
        .expect("in time")
        .expect("a failure");
    assert_eq!(failure.name, "d");
    assert!(!services.is_running().await.expect("asked"));

    services.restart().await.expect("restart");
    let second = bench.process("daemon");
    assert!(second != first && is_alive(second));
    services.stop(ServiceStop::Orderly).await.expect("stop");
    assert!(!is_alive(second) && failures.try_recv().is_err());
    let notes = fs::read_dir(bench.path("run")).expect("list").count();
    assert_eq!(notes, 0, "nothing is left in the runtime directory");
}

#[tokio::test]
async fn a_frozen_watch_tells_nothing_until_it_is_thawed() {
    let bench = Bench::new();
    let (services, mut failures) = bench.services(vec![bench.service("d", DAEMON, STOP_DAEMON)]);
    services.start().await.expect("start");
    services.freeze();
    let daemon = bench.process("daemon");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(daemon.cast_signed()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("kill");
    // More than two looks; nothing may come, so there is nothing to wait for.
    assert!(
        timeout(Duration::from_millis(2500), failures.recv())
            .await
            .is_err()
    );
    services.thaw();
    timeout(LIMIT, failures.recv())
        .await
        .expect("in time")
        .expect("a failure");
    services.stop(ServiceStop::Force).await.expect("stop");
}

#[tokio::test]
async fn an_orderly_stop_turns_to_force_after_its_limit() {
    let bench = Bench::new();
    let stubborn = "sh -c 'trap \"\" TERM; echo $$ > {dir}/daemon; while :; do sleep 1; done' &
                    while ! test -s {dir}/daemon; do sleep 0.01; done";
    let mut service = bench.service("s", stubborn, STOP_DAEMON);
    service.stop_limit = Duration::from_secs(1);
    let (services, _failures) = bench.services(vec![service]);
    services.start().await.expect("start");
    let daemon = bench.process("daemon");
    let began = Instant::now();
    services.stop(ServiceStop::Orderly).await.expect("stop");
    assert!(began.elapsed() >= Duration::from_secs(1) && !is_alive(daemon));
}

#[tokio::test]
async fn force_ends_an_orderly_stop_that_hangs() {
    let bench = Bench::new();
    let (services, _failures) = bench.services(vec![bench.service(
        "d",
        DAEMON,
        "touch {dir}/stopping; sleep 1000",
    )]);
    services.start().await.expect("start");
    let daemon = bench.process("daemon");
    let orderly = tokio::spawn({
        let services = services.clone();
        async move { services.stop(ServiceStop::Orderly).await }
    });
    let stopping = bench.path("stopping");
    eventually("the orderly stop is under way", || stopping.exists()).await;
    let began = Instant::now();
    services.stop(ServiceStop::Force).await.expect("force");
    assert!(began.elapsed() < LIMIT / 3 && !is_alive(daemon));
    orderly
        .await
        .expect("joined")
        .expect("it has the outcome of the force");
}

#[tokio::test]
async fn a_stop_ends_a_start_that_is_under_way() {
    let bench = Bench::new();
    let (services, _failures) = bench.services(vec![
        bench.service("slow", "echo $$ > {dir}/daemon; sleep 1000", "true"),
        bench.service("never", "touch {dir}/never", "true"),
    ]);
    let start = tokio::spawn({
        let services = services.clone();
        async move { services.start().await }
    });
    let number = bench.path("daemon");
    eventually("the start is under way", || {
        fs::read_to_string(&number).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let restart = tokio::spawn({
        let services = services.clone();
        async move { services.restart().await }
    });
    services.stop(ServiceStop::Force).await.expect("force");
    let failure = start
        .await
        .expect("joined")
        .expect_err("the start was ended");
    assert!(failure.reason.contains("a stop was ordered"), "{failure:?}");
    // It came before the stop and was cancelled, or after it and begins anew, which is ended too.
    services.stop(ServiceStop::Force).await.expect("force");
    restart
        .await
        .expect("joined")
        .expect_err("the restart was ended");
    assert!(!is_alive(bench.process("daemon")));
    assert!(!bench.path("never").exists());
    assert!(!services.is_running().await.expect("asked"));
}

#[tokio::test]
async fn a_start_command_that_is_the_service_itself_is_started_when_it_is_ready() {
    let bench = Bench::new();
    let mut service = bench.service(
        "f",
        "sleep 0.3; touch {dir}/up; exec sleep 1000",
        "rm {dir}/up",
    );
    service.ready = Some(Ready::Command(format!(
        "test -e {}",
        bench.path("up").display()
    )));
    service.stop_limit = Duration::from_millis(200);
    let (services, mut failures) = bench.services(vec![service]);
    services.start().await.expect("start");
    assert!(bench.path("up").exists());
    assert!(failures.try_recv().is_err());
    services.stop(ServiceStop::Orderly).await.expect("stop");
    assert!(!services.is_running().await.expect("asked"));
}

#[tokio::test]
async fn a_service_that_is_never_ready_fails_with_the_reason() {
    let bench = Bench::new();
    let free = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = free.local_addr().expect("address");
    drop(free);
    let mut service = bench.service("t", DAEMON, STOP_DAEMON);
    service.ready = Some(Ready::Tcp(address));
    service.start_limit = Duration::from_millis(700);
    let (services, _failures) = bench.services(vec![service]);
    let failure = services.start().await.expect_err("nobody listens");
    assert!(failure.reason.contains("not ready within"), "{failure:?}");
    assert!(failure.reason.contains("does not accept"), "{failure:?}");
    services.stop(ServiceStop::Force).await.expect("force");
    assert!(!is_alive(bench.process("daemon")));
}

#[tokio::test]
async fn a_check_command_decides_whether_the_service_is_up() {
    let bench = Bench::new();
    let plain = bench.service("c", "touch {dir}/up", "rm -f {dir}/up");
    let service = bench.checked(plain, "test -e {dir}/up");
    let (services, mut failures) = bench.services(vec![service]);
    services.start().await.expect("start");
    assert!(services.is_running().await.expect("asked"));
    fs::remove_file(bench.path("up")).expect("remove");
    let failure = timeout(LIMIT, failures.recv())
        .await
        .expect("in time")
        .expect("a failure");
    assert!(
        failure.reason.contains("check command failed"),
        "{failure:?}"
    );
    services.start().await.expect("start again");
    services
        .stop(ServiceStop::Force)
        .await
        .expect("force runs its stop command");
    assert!(!bench.path("up").exists());
}

#[tokio::test]
async fn a_stop_that_leaves_the_check_succeeding_has_failed() {
    let bench = Bench::new();
    let service = bench.checked(bench.service("c", "true", "true"), "true");
    let (services, _failures) = bench.services(vec![service]);
    services.start().await.expect("start");
    let failure = services
        .stop(ServiceStop::Orderly)
        .await
        .expect_err("it still runs");
    assert!(failure.reason.contains("still succeeds"), "{failure:?}");
}

#[tokio::test]
async fn a_restarted_daemon_adopts_what_runs_and_can_end_it() {
    let bench = Bench::new();
    let config = || vec![bench.service("d", DAEMON, STOP_DAEMON)];
    let (services, failures) = bench.services(config());
    services.start().await.expect("start");
    drop((services, failures));

    let daemon = bench.process("daemon");
    let (services, mut failures) = bench.services(config());
    assert!(is_alive(daemon) && services.is_running().await.expect("asked"));
    services.adopt().await.expect("adopt");
    services
        .start()
        .await
        .expect("what runs is not started again");
    assert_eq!(bench.process("daemon"), daemon);
    services.stop(ServiceStop::Force).await.expect("force");
    assert!(!is_alive(daemon) && failures.try_recv().is_err());
}

#[tokio::test]
async fn force_finds_a_process_that_left_its_group_its_session_and_its_environment() {
    if !can_make_control_groups() {
        return;
    }
    let bench = Bench::new();
    let start = "env -i PATH=$PATH setsid sh -c 'echo $$ > {dir}/daemon; exec sleep 1000' &
                 while ! test -s {dir}/daemon; do sleep 0.01; done";
    let (services, _failures) = bench.services(vec![bench.service("e", start, "true")]);
    services.start().await.expect("start");
    let daemon = bench.process("daemon");
    assert!(is_alive(daemon));
    services.stop(ServiceStop::Force).await.expect("force");
    assert!(!is_alive(daemon));
}

/// An ext4 image on a loop device that can be frozen, which hangs writers in the kernel.
struct FrozenDisk {
    mount: PathBuf,
}

impl FrozenDisk {
    fn new(dir: &Path) -> Self {
        let (image, mount) = (dir.join("image"), dir.join("mount"));
        let file = fs::File::create(&image).expect("create");
        file.set_len(16 << 20).expect("grow");
        fs::create_dir(&mount).expect("create");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        run("mkfs.ext4", &["-q", &text(&image)]);
        run("mount", &["-o", "loop", &text(&image), &text(&mount)]);
        Self { mount }
    }

    fn freeze(&self) {
        run("fsfreeze", &["-f", self.mount.to_str().expect("UTF-8")]);
    }

    fn thaw(&self) {
        run("fsfreeze", &["-u", self.mount.to_str().expect("UTF-8")]);
    }
}

impl Drop for FrozenDisk {
    fn drop(&mut self) {
        // It may be thawed already; then only the unmounting succeeds.
        for command in [["fsfreeze", "-u"], ["umount", "-l"]] {
            let _ = std::process::Command::new(command[0])
                .args([command[1], self.mount.to_str().expect("UTF-8")])
                .output();
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .expect("the base system has it");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {complaint}"
    );
}

#[tokio::test]
async fn a_killed_process_that_hangs_in_the_kernel_does_not_hold_up_a_force() {
    if !can_make_control_groups() {
        return;
    }
    let bench = Bench::new();
    let disk = FrozenDisk::new(bench.dir.path());
    let start = "sh -c 'echo $$ > {dir}/daemon; read go < {dir}/gate; echo x > {dir}/mount/file' &
                 while ! test -s {dir}/daemon; do sleep 0.01; done";
    nix::unistd::mkfifo(&bench.path("gate"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let (services, _failures) = bench.services(vec![bench.service("h", start, "true")]);
    services.start().await.expect("start");
    let daemon = bench.process("daemon");
    disk.freeze();
    fs::write(bench.path("gate"), "go\n").expect("write");
    eventually("the process hangs in the kernel", || {
        fs::read_to_string(format!("/proc/{daemon}/stat")).is_ok_and(|stat| stat.contains(") D "))
    })
    .await;
    let began = Instant::now();
    services.stop(ServiceStop::Force).await.expect("force");
    assert!(began.elapsed() < LIMIT / 3);
    assert!(is_alive(daemon), "it still hangs");
    disk.thaw();
    eventually("the end of what it waited for ends it", || {
        !is_alive(daemon)
    })
    .await;
    assert_eq!(bench.read("mount/file"), "", "it never ran again");
    services
        .stop(ServiceStop::Force)
        .await
        .expect("nothing is left");
}
