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
    _directory: tempfile::TempDir,
    mounted: Mounted,
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
}

fn run(command: &mut Command) {
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
