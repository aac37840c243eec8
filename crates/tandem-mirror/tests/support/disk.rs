//! Directories to mirror, for tests: on the machine's own file system, on a small ext4 of their
//! own, and with something mounted over them. Everything is undone when it is dropped.

// Each test that includes this uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// True when the test can go on; false after saying that it was skipped. With `CI=true` a skip is
/// a failure.
pub fn root_or_skip(test: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{test} needs root");
    println!("SKIPPED {test}: needs root");
    false
}

/// An ext4 file system of its own.
pub struct Image {
    // First: the directory that it is in can be removed only then.
    mounted: Mounted,
    _directory: tempfile::TempDir,
}

impl Image {
    pub fn new(megabytes: u64) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let file = directory.path().join("image");
        let point = directory.path().join("disk");
        std::fs::create_dir(&point).expect("make a mount point");
        std::fs::File::create(&file)
            .and_then(|image| image.set_len(megabytes << 20))
            .expect("make an image");
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0"])
            .arg(&file));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&file)
            .arg(&point));
        Self {
            _directory: directory,
            mounted: Mounted(point),
        }
    }

    pub fn path(&self) -> &Path {
        &self.mounted.0
    }

    /// Ends the file system without writing anything more, as a power cut does: what is only in
    /// memory is lost.
    pub fn cut_power(&mut self) {
        use std::os::fd::AsRawFd;
        let top = std::fs::File::open(self.path()).expect("open the top");
        let no_log_flush = 2;
        // SAFETY: the ioctl reads the number behind the pointer, which lives for the call.
        unsafe { shutdown(top.as_raw_fd(), &raw const no_log_flush) }.expect("shut down");
    }

    /// Mounts it again, after everything that held it was dropped.
    pub fn restore_power(&mut self) {
        let point = self.mounted.0.clone();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let file = self._directory.path().join("image");
        umount2(&point, MntFlags::empty()).expect("unmount");
        // As long as anything holds the old mount, its loop device and dead file system stay.
        let is_held = || {
            let listed = Command::new("losetup").arg("-j").arg(&file).output();
            !listed.expect("list loop devices").stdout.is_empty()
        };
        while is_held() {
            assert!(
                std::time::Instant::now() < deadline,
                "the disk is still held"
            );
        }
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&file)
            .arg(&point));
    }
}

// `EXT4_IOC_SHUTDOWN`: declared as one that writes to us, though it reads.
nix::ioctl_write_ptr_bad!(shutdown, nix::request_code_read!(b'X', 125, 4), u32);

pub fn run(command: &mut Command) {
    let output = command.output().expect("run a command");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

/// Something mounted, unmounted when dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn bind(from: &Path, to: &Path) -> Self {
        mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind mount");
        Self(to.to_owned())
    }

    pub fn bind_read_only(path: &Path) -> Self {
        let mounted = Self::bind(path, path);
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, path, None::<&str>, flags, None::<&str>).expect("remount read-only");
        mounted
    }

    pub fn tmpfs(path: &Path) -> Self {
        let kind = Some("tmpfs");
        mount(kind, path, kind, MsFlags::empty(), None::<&str>).expect("mount tmpfs");
        Self(path.to_owned())
    }

    pub fn overlay(point: &Path, lower: &Path, upper: &Path, work: &Path) -> Self {
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let kind = Some("overlay");
        let none = MsFlags::empty();
        mount(kind, point, kind, none, Some(options.as_str())).expect("mount overlay");
        Self(point.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            eprintln!("unmount {}: {error}", self.0.display());
        }
    }
}
