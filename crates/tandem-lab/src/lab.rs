//! The lab as a whole: where it lies, its switch, its hosts and its client.

use crate::host::{self, Host};
use crate::shell::run;
use crate::switch::Switch;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The client's number on the networks.
pub const CLIENT: u8 = 9;

/// A lab. All names outside its directory begin with its own prefix, so that several labs on one
/// machine do not meet.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Disks, logs and process numbers.
    pub directory: PathBuf,
    /// The root file system that the hosts share.
    pub root: PathBuf,
    /// The network.
    pub switch: Switch,
}

impl Lab {
    /// The lab of this work tree, or the one that `TANDEM_LAB` names.
    ///
    /// # Errors
    /// Its directory cannot be made.
    pub fn here() -> Result<Self> {
        let target = workspace().join("target");
        let directory = match std::env::var_os("TANDEM_LAB") {
            Some(directory) => PathBuf::from(directory),
            None => target.join("lab"),
        };
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        let directory = directory.canonicalize()?;
        let name = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
        let switch = Switch::new(&format!("lab{}", &name.as_str()[..6]));
        Ok(Self {
            root: target.join("lab-root"),
            directory,
            switch,
        })
    }

    /// The directory that the hosts see as `/opt/tandem`.
    #[must_use]
    pub fn binaries(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// This program, which also plays parts inside the lab.
    ///
    /// # Errors
    /// Linux does not tell it.
    pub fn tool() -> Result<PathBuf> {
        std::env::current_exe().context("find this program")
    }

    /// What this program needs to find the same lab again.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 1] {
        [("TANDEM_LAB", self.directory.clone())]
    }

    /// Host 1 or 2.
    #[must_use]
    pub fn host(&self, number: u8) -> Host<'_> {
        Host::new(self, number)
    }

    /// Makes everything but boots nothing: root, switch, client, empty disks.
    ///
    /// # Errors
    /// Something cannot be made.
    pub fn up(&self) -> Result<()> {
        self.down()?;
        let script = workspace().join("scripts/lab-root");
        // Its own output is the person's to see; it takes a minute, once.
        let status = std::process::Command::new(&script)
            .arg(&self.root)
            .status()
            .with_context(|| script.display().to_string())?;
        anyhow::ensure!(status.success(), "{} failed", script.display());
        fs::create_dir_all(self.binaries())?;
        self.switch.up()?;
        self.switch.attach(CLIENT)?;
        for number in [1, 2] {
            let _ = fs::remove_file(self.host(number).console());
            self.host(number).make_disks()?;
        }
        Ok(())
    }

    /// Boots both hosts at the same time.
    ///
    /// # Errors
    /// One of them did not come up.
    pub fn boot_both(&self) -> Result<()> {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| self.host(2).boot());
            self.host(1).boot()?;
            other.join().expect("a boot does not panic")
        })
    }

    /// Puts `binary` where the hosts run it, whole or not at all.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn install(&self, binary: &Path) -> Result<()> {
        fs::create_dir_all(self.binaries())?;
        let new = self.binaries().join("tandem.new");
        fs::copy(binary, &new).with_context(|| format!("copy {}", binary.display()))?;
        fs::rename(&new, self.binaries().join("tandem"))?;
        Ok(())
    }

    /// The words that run a program on the client.
    #[must_use]
    pub fn on_client(&self) -> Vec<String> {
        self.at(CLIENT)
    }

    /// The words that run a program of the machine in the network of host `stack`.
    #[must_use]
    pub fn at(&self, stack: u8) -> Vec<String> {
        vec![
            "nsenter".to_owned(),
            format!("--net=/run/netns/{}", self.switch.stack(stack)),
        ]
    }

    /// Ends everything that runs, of this run or an earlier one. Logs and disks stay until the
    /// next [`Lab::up`].
    ///
    /// # Errors
    /// Something would not end.
    pub fn down(&self) -> Result<()> {
        for number in [1, 2] {
            if self.switch.attached(number) {
                self.host(number).end()?;
            }
        }
        host::end_all(self.switch.prefix());
        self.switch.down();
        Ok(())
    }

    /// As [`Lab::down`], and the disks go too.
    ///
    /// # Errors
    /// Something would not end, or cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.down()?;
        run(&format!(
            "rm -rf --one-file-system {}",
            self.directory.display()
        ))
        .map(drop)
    }
}

/// The root of the work tree that this program was built from.
#[must_use]
pub fn workspace() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    crates.canonicalize().unwrap_or(crates)
}
