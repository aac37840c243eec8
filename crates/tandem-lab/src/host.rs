//! One test host: a real server, as far as anything inside it can tell.
//!
//! systemd-nspawn gives it systemd as first process, its own disks and network cards. Two disks: one
//! for the system (an overlay over the shared root), one plain ext4 for data, because on an overlay
//! renaming directories fails and inodes change. On the data disk lie `/var/lib/postgresql` and
//! `/srv` (so that a volume below them is no mount point itself). Both disks are mounted in the
//! host's own mount namespace, so that they go with the host and nobody else holds them.
//!
//! The console's log and the database's log are kept outside, so that they survive a power cut.

use crate::lab::Lab;
use crate::linux;
use crate::shell::{Outcome, outcome, run};
use crate::switch::Cable;
use crate::wait::wait_for;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The size of the data disk in MiB; sparse.
const DATA_MIB: u32 = 6 * 1024;
/// The size of the system disk in MiB; sparse.
const SYSTEM_MIB: u32 = 2 * 1024;
/// A boot took 11 s at worst on a loaded machine.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// How long a command inside a host may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// How long killed processes may take to leave their cgroup, and disks to be let go.
const END_LIMIT: Duration = Duration::from_secs(20);
/// What lies on the data disk, and under which name there.
const ON_DATA_DISK: [(&str, &str); 2] = [("postgresql", "/var/lib/postgresql"), ("srv", "/srv")];
/// What lies on the system disk beside the overlay.
const ON_SYSTEM_DISK: [(&str, &str); 2] = [
    ("tandem-state", "/var/lib/tandem"),
    ("tandem-etc", "/etc/tandem"),
];
/// Units that a test host has no use for.
const MASKED: [&str; 14] = [
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "dpkg-db-backup.timer",
    "console-getty.service",
];

/// What a real server has and systemd-nspawn takes away: device settings that can be written.
const WRITABLE_DEVICES: &str = "\
[Unit]
Description=Test host: writable device settings
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'mkdir -p /run/sysfs; mount -t sysfs sysfs /run/sysfs; \
  mount -o remount,rw /run/sysfs; \
  for d in class devices; do mount --bind /run/sysfs/$$d /sys/$$d; done'
[Install]
WantedBy=sysinit.target
";

/// A host of the lab, running or not.
#[derive(Clone, Debug)]
pub struct Host<'a> {
    lab: &'a Lab,
    /// 1 or 2.
    pub number: u8,
}

impl<'a> Host<'a> {
    /// Host `number` of `lab`.
    #[must_use]
    pub fn new(lab: &'a Lab, number: u8) -> Self {
        Self { lab, number }
    }

    fn directory(&self) -> PathBuf {
        self.lab.directory.join(format!("h{}", self.number))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// What the host's console printed, over all its boots.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.file("console.log")
    }

    /// The directory with the database's own log.
    #[must_use]
    pub fn database_log(&self) -> PathBuf {
        self.file("database-log")
    }

    // ---- disks ----

    /// Makes empty disks.
    ///
    /// # Errors
    /// No room, or the file system cannot be made.
    pub fn make_disks(&self) -> Result<()> {
        let directory = self.directory();
        for name in ["system", "data", "root"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let log = self.database_log();
        // What lies there may belong to the user of another root.
        let _ = fs::remove_dir_all(&log);
        fs::create_dir_all(&log)?;
        run(&format!("chmod 1777 {}", log.display()))?;
        for (name, mib) in [("system", SYSTEM_MIB), ("data", DATA_MIB)] {
            let image = self.file(&format!("{name}.img"));
            let image = image.display();
            run(&format!("rm -f {image}"))?;
            run(&format!("truncate -s {mib}M {image}"))?;
            run(&format!(
                "mkfs.ext4 -q -m 0 -E lazy_itable_init=1,lazy_journal_init=1 -L {name}{} {image}",
                self.number
            ))?;
        }
        Ok(())
    }

    fn mount_disks(&self) -> Result<()> {
        let (system, data, root) = (self.file("system"), self.file("data"), self.file("root"));
        for (name, at) in [("system", &system), ("data", &data)] {
            let image = self.file(&format!("{name}.img"));
            run(&format!(
                "mount -o loop,commit=5 {} {}",
                image.display(),
                at.display()
            ))?;
        }
        for (name, _) in ON_SYSTEM_DISK {
            fs::create_dir_all(system.join(name))?;
        }
        for name in ["upper", "work"] {
            fs::create_dir_all(system.join(name))?;
        }
        for (name, path) in ON_DATA_DISK {
            if !data.join(name).exists() {
                let original = format!("{}{path}", self.lab.root.display());
                run(&format!("cp -a {original} {}", data.join(name).display()))?;
                run(&format!("sync -f {}", data.display()))?;
            }
        }
        run(&format!(
            "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {}",
            self.lab.root.display(),
            system.join("upper").display(),
            system.join("work").display(),
            root.display()
        ))?;
        Ok(())
    }

    fn configure(&self) -> Result<()> {
        let root = self.file("root");
        let n = self.number;
        fs::write(root.join("etc/hostname"), format!("h{n}\n"))?;
        fs::write(
            root.join("etc/hosts"),
            "127.0.0.1 localhost\n10.99.0.1 h1\n10.99.0.2 h2\n",
        )?;
        fs::write(
            root.join("etc/machine-id"),
            format!("{:032x}\n", 0xabc0 + u32::from(n)),
        )?;
        let units = root.join("etc/systemd/system");
        for unit in MASKED {
            let link = units.join(unit);
            if !link.exists() {
                std::os::unix::fs::symlink("/dev/null", link)?;
            }
        }
        fs::write(units.join("lab-devices.service"), WRITABLE_DEVICES)?;
        let wanted = units.join("sysinit.target.wants");
        fs::create_dir_all(&wanted)?;
        std::os::unix::fs::symlink("../lab-devices.service", wanted.join("lab-devices.service"))?;
        let journal = root.join("etc/systemd/journald.conf.d");
        fs::create_dir_all(&journal)?;
        fs::write(
            journal.join("lab.conf"),
            "[Journal]\nStorage=volatile\nForwardToConsole=yes\nMaxLevelConsole=info\n\
             RateLimitIntervalSec=0\n",
        )?;
        // The binary under test is a directory of the machine, bound here, in which it can be
        // replaced as a package manager would do it.
        let binary = root.join("usr/bin/tandem");
        if !binary.exists() {
            let _ = fs::remove_file(&binary);
            std::os::unix::fs::symlink("/opt/tandem/tandem", binary)?;
        }
        crate::postgres::configure(&root)
    }

    // ---- power ----

    /// The first half of a boot, in the host's own cgroup and mount namespace; becomes
    /// systemd-nspawn.
    ///
    /// # Errors
    /// A disk cannot be mounted, or systemd-nspawn is missing.
    pub fn supervise(&self) -> Result<()> {
        self.mount_disks()?;
        let done = self.file("root").join("etc/lab.done");
        if !done.exists() {
            self.configure()?;
            fs::write(done, "")?;
            run(&format!("sync -f {}", self.file("system").display()))?;
        }
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .env("SYSTEMD_NSPAWN_LOCK", "0")
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
            .args(["-q", "--boot", "--register=no", "--keep-unit"])
            .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no"])
            .args([
                "--capability=all",
                "--bind=/dev/fuse",
                "--console=read-only",
            ])
            // A real server has no filter over its system calls.
            .arg("--system-call-filter=open_by_handle_at fanotify_init fanotify_mark @mount")
            .arg(format!("--directory={}", self.file("root").display()))
            .arg(format!("--machine=h{}", self.number))
            .arg(format!(
                "--network-namespace-path=/run/netns/{}",
                self.lab.switch.stack(self.number)
            ));
        for (disk, places) in [("data", ON_DATA_DISK), ("system", ON_SYSTEM_DISK)] {
            for (name, path) in places {
                let source = self.file(disk).join(name);
                nspawn.arg(format!("--bind={}:{path}", source.display()));
            }
        }
        nspawn
            .arg(format!(
                "--bind={}:/var/log/postgresql",
                self.database_log().display()
            ))
            .arg(format!(
                "--bind-ro={}:/opt/tandem",
                self.lab.binaries().display()
            ));
        Err(nspawn.exec()).context("run systemd-nspawn")
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let name = self.lab.switch.stack(self.number);
        cgroup_roots().iter().map(|root| root.join(&name)).collect()
    }

    /// Boots the host and waits until its systemd is up.
    ///
    /// # Errors
    /// It did not come up; the end of its console's log is told.
    pub fn boot(&self) -> Result<()> {
        if !self.lab.switch.attached(self.number) {
            self.lab.switch.attach(self.number)?;
        }
        for name in ["leader.pid", "nspawn.pid"] {
            let _ = fs::remove_file(self.file(name));
        }
        let mut script = String::new();
        for cgroup in self.cgroups() {
            fs::create_dir_all(&cgroup)?;
            script += &format!("echo $$ >{}/cgroup.procs; ", cgroup.display());
        }
        script += &format!("echo $$ >{}; ", self.file("nspawn.pid").display());
        script += &format!(
            "exec unshare -m --propagation private {} supervise {}",
            Lab::tool()?.display(),
            self.number
        );
        let console = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.console())?;
        let mut child = Command::new("setsid")
            .args(["sh", "-c", &script])
            .envs(self.lab.environment())
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()
            .context("start the host")?;
        let up = wait_for(
            &format!("host {} to be up", self.number),
            BOOT_LIMIT,
            || {
                if let Some(status) = child.try_wait()? {
                    bail!("systemd-nspawn ended: {status}");
                }
                Ok(self.looks_up().then_some(()))
            },
        );
        // The child is reaped by whoever outlives it; it is never waited for.
        up.with_context(|| {
            let console = fs::read_to_string(self.console()).unwrap_or_default();
            let lines = console.lines().collect::<Vec<_>>();
            lines[lines.len().saturating_sub(20)..].join("\n")
        })
    }

    fn looks_up(&self) -> bool {
        if self.leader().is_err() {
            let Some(leader) = self.find_leader() else {
                return false;
            };
            if fs::write(self.file("leader.pid"), leader.to_string()).is_err() {
                return false;
            }
        }
        self.sh("systemctl is-system-running")
            .is_ok_and(|o| matches!(o.stdout.trim(), "running" | "degraded"))
    }

    fn find_leader(&self) -> Option<u32> {
        let nspawn = self.nspawn().ok()?;
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
        children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .find(|pid: &u32| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "systemd")
            })
    }

    fn nspawn(&self) -> Result<u32> {
        read_pid(&self.file("nspawn.pid"))
    }

    fn leader(&self) -> Result<u32> {
        read_pid(&self.file("leader.pid"))
    }

    /// Whether the host runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.leader()
            .is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
    }

    /// Pulls the power cord: first the cables (so that nothing of dying processes gets out), then
    /// the disks (so that no dirty page gets in), then every process at once, then its IP stack.
    ///
    /// # Errors
    /// Something of the host is still there.
    pub fn power_off(&self) -> Result<()> {
        let nspawn = self.nspawn()?;
        for cable in Cable::BOTH {
            self.lab.switch.pull(self.number, cable)?;
        }
        let console = fs::OpenOptions::new().write(true).open(self.console())?;
        let printed = console.metadata()?.len();
        for disk in ["data", "system"] {
            let mounted = format!("/proc/{nspawn}/root{}", self.file(disk).display());
            linux::cut_power_of(Path::new(&mounted)).with_context(|| mounted.clone())?;
        }
        self.end()?;
        // Between the disks and the processes somebody may have noticed that the disks are gone,
        // and said so. A console without power shows nothing.
        console.set_len(printed)?;
        Ok(())
    }

    /// Ends every process of the host, its IP stack and its mounts, however it is.
    ///
    /// # Errors
    /// Something of the host is still there.
    pub fn end(&self) -> Result<()> {
        for cgroup in self.cgroups() {
            let kill = cgroup.join("cgroup.kill");
            if kill.exists() {
                // A frozen host must be thawed to die.
                let _ = fs::write(cgroup.join("cgroup.freeze"), "0");
                fs::write(&kill, "1").with_context(|| kill.display().to_string())?;
            }
        }
        self.lab.switch.detach(self.number);
        wait_for("the host's processes to end", END_LIMIT, || {
            Ok(self.cgroups().iter().all(|c| is_empty(c)).then_some(()))
        })?;
        wait_for("the host's disks to be let go", END_LIMIT, || {
            let loops = run("losetup -n -O BACK-FILE").unwrap_or_default();
            let own = format!("{}/", self.directory().display());
            Ok((!loops.contains(&own)).then_some(()))
        })?;
        for cgroup in self.cgroups() {
            remove_cgroup(&cgroup);
        }
        let _ = fs::remove_file(self.file("leader.pid"));
        Ok(())
    }

    /// Shuts the host down in good order, as an operator does.
    ///
    /// # Errors
    /// It did not end within the limit.
    pub fn shut_down(&self) -> Result<()> {
        let _ = self.sh("systemctl poweroff");
        wait_for("the host to shut down", Duration::from_secs(120), || {
            Ok(self
                .cgroups()
                .iter()
                .all(|c| is_empty(c) || !self.is_up())
                .then_some(()))
        })?;
        self.end()
    }

    /// The host hangs as a whole. Its kernel still answers.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen("1")
    }

    /// The host goes on where it was.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen("0")
    }

    fn set_frozen(&self, value: &str) -> Result<()> {
        let file = cgroup_roots()[0]
            .join(self.lab.switch.stack(self.number))
            .join("cgroup.freeze");
        fs::write(&file, value).with_context(|| file.display().to_string())
    }

    /// Keeps a disk (`data` or `system`) of a host without power, as it is, under `name`.
    ///
    /// # Errors
    /// No room.
    pub fn keep_disk(&self, disk: &str, name: &str) -> Result<()> {
        self.copy_disk(&format!("{disk}.img"), &format!("{disk}-{name}.img"))
    }

    /// Puts the disk that was kept as `name` into a host without power: it went back in time.
    ///
    /// # Errors
    /// There is none.
    pub fn put_disk(&self, disk: &str, name: &str) -> Result<()> {
        self.copy_disk(&format!("{disk}-{name}.img"), &format!("{disk}.img"))
    }

    fn copy_disk(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.file(from), self.file(to));
        run(&format!(
            "cp --sparse=always {} {}",
            from.display(),
            to.display()
        ))
        .map(drop)
    }

    // ---- inside ----

    /// The words that enter the host as root in all its namespaces and its cgroup; a command's
    /// words follow.
    ///
    /// # Errors
    /// The host does not run.
    pub fn enter(&self) -> Result<Vec<String>> {
        let leader = self.leader().context("the host does not run")?;
        let inside = self.cgroup_for_guests()?;
        let script = format!(
            "echo $$ >{}/cgroup.procs; exec nsenter -t {leader} -m -u -i -n -p -C -r -w env -i \
             PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \"$@\"",
            inside.display()
        );
        Ok(["sh", "-c", &script, "sh"].map(str::to_owned).to_vec())
    }

    /// A cgroup of the host for processes that are started from outside, so that they freeze and
    /// die with it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn cgroup_for_guests(&self) -> Result<PathBuf> {
        let inside = cgroup_roots()[0]
            .join(self.lab.switch.stack(self.number))
            .join("sh");
        fs::create_dir_all(&inside)?;
        Ok(inside)
    }

    /// Runs a program inside.
    ///
    /// # Errors
    /// The host does not run.
    pub fn exec(&self, words: &[&str]) -> Result<Outcome> {
        let mut all = self.enter()?;
        all.extend(words.iter().map(|w| (*w).to_owned()));
        outcome(&all, COMMAND_LIMIT)
    }

    /// Runs a line of shell inside.
    ///
    /// # Errors
    /// The host does not run.
    pub fn sh(&self, line: &str) -> Result<Outcome> {
        self.exec(&["sh", "-c", line])
    }

    /// Runs a line of shell inside, which has to succeed.
    ///
    /// # Errors
    /// It did not.
    pub fn must(&self, line: &str) -> Result<String> {
        self.sh(line)?
            .success()
            .with_context(|| format!("h{}: {line}", self.number))
    }

    /// As [`Host::must`], for a line that takes longer.
    ///
    /// # Errors
    /// It did not succeed within the limit.
    pub fn must_within(&self, line: &str, limit: Duration) -> Result<String> {
        let mut all = self.enter()?;
        all.extend(["sh", "-c", line].map(str::to_owned));
        outcome(&all, limit)?
            .success()
            .with_context(|| format!("h{}: {line}", self.number))
    }

    /// The main process of a unit, as the machine numbers it; `None`: there is none.
    ///
    /// # Errors
    /// The host does not run.
    pub fn main_process(&self, unit: &str) -> Result<Option<u32>> {
        let inside = self.must(&format!("systemctl show -P MainPID {unit}"))?;
        let inside = inside.trim();
        if inside == "0" {
            return Ok(None);
        }
        self.outside(inside).map(Some)
    }

    /// The machine's number of the process with the number `inside` in the host.
    ///
    /// # Errors
    /// There is no such process.
    pub fn outside(&self, inside: &str) -> Result<u32> {
        let leader = self.leader()?;
        let namespace = fs::read_link(format!("/proc/{leader}/ns/pid"))?;
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(pid) = name.parse::<u32>() else {
                continue;
            };
            if fs::read_link(entry.path().join("ns/pid")).ok().as_ref() != Some(&namespace) {
                continue;
            }
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let own = status
                .lines()
                .find_map(|l| l.strip_prefix("NSpid:"))
                .and_then(|l| l.split_whitespace().last());
            if own == Some(inside) {
                return Ok(pid);
            }
        }
        bail!("h{}: no process {inside}", self.number)
    }

    /// The plain directory at `path` on the data disk, seen from outside: no mount that was made
    /// inside the host covers it.
    ///
    /// # Errors
    /// The host does not run, or the path is not on the data disk.
    pub fn plain(&self, path: &str) -> Result<PathBuf> {
        let nspawn = self.nspawn()?;
        for (name, prefix) in ON_DATA_DISK {
            if let Some(rest) = path.strip_prefix(prefix) {
                let disk = self.file("data").join(name);
                return Ok(PathBuf::from(format!(
                    "/proc/{nspawn}/root{}{rest}",
                    disk.display()
                )));
            }
        }
        bail!("{path} is not on the data disk")
    }
}

/// The roots of the cgroup trees: first the unified one, then systemd's own where the machine still
/// has the old layout beside it.
fn cgroup_roots() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let mut roots = vec![root.join("unified")];
    if root.join("systemd").exists() {
        roots.push(root.join("systemd"));
    }
    roots
}

fn is_empty(cgroup: &Path) -> bool {
    match fs::read_to_string(cgroup.join("cgroup.events")) {
        Ok(events) => events.contains("populated 0"),
        // The old layout has no such file, and a cgroup that is gone is empty.
        Err(_) => true,
    }
}

fn remove_cgroup(cgroup: &Path) {
    if let Ok(entries) = fs::read_dir(cgroup) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                remove_cgroup(&entry.path());
            }
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// Ends whatever runs under names that begin with `prefix`, of this run or an earlier one.
pub fn end_all(prefix: &str) {
    let own = format!("{prefix}-");
    for root in cgroup_roots() {
        let Ok(entries) = fs::read_dir(root) else {
            continue;
        };
        for entry in entries.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(&own) {
                continue;
            }
            let cgroup = entry.path();
            let _ = fs::write(cgroup.join("cgroup.freeze"), "0");
            let _ = fs::write(cgroup.join("cgroup.kill"), "1");
            let _ = wait_for("processes to end", END_LIMIT, || {
                Ok(is_empty(&cgroup).then_some(()))
            });
            remove_cgroup(&cgroup);
        }
    }
}

fn read_pid(file: &Path) -> Result<u32> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.trim().parse()?)
}
