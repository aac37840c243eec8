//! An application that does anything: operations drawn from a seed, most of them sensible.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs as raw;

/// A small generator of numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// Works below a directory. Several may work in the same one: whatever fails is passed over.
pub struct Worker {
    random: Random,
    top: PathBuf,
    open: Vec<File>,
    /// How many operations succeeded.
    pub done: u64,
}

impl Worker {
    pub fn new(top: &Path, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            top: top.to_owned(),
            open: Vec::new(),
            done: 0,
        }
    }

    pub fn work(&mut self, operations: u64) {
        for _ in 0..operations {
            if self.step().is_ok() {
                self.done += 1;
            }
        }
    }

    fn directory(&mut self) -> PathBuf {
        let mut path = self.top.clone();
        for _ in 0..self.random.below(4) {
            path.push(format!("d{}", self.random.below(4)));
        }
        path
    }

    fn name(&mut self) -> PathBuf {
        let name = format!("f{}", self.random.below(12));
        self.directory().join(name)
    }

    fn file(&mut self) -> std::io::Result<File> {
        let path = self.name();
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
    }

    fn step(&mut self) -> std::io::Result<()> {
        match self.random.below(100) {
            0..=11 => {
                let path = self.name();
                let length = self.random.below(20_000) as usize;
                let bytes = self.random.bytes(length);
                // Not waiting for the other end of a pipe.
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(path)?;
                std::io::Write::write_all(&mut file, &bytes)
            }
            12..=31 => {
                let file = self.file()?;
                let offset = self.random.below(600_000);
                let length = self.random.below(30_000) as usize;
                let bytes = self.random.bytes(length);
                file.write_all_at(&bytes, offset)
            }
            32..=36 => {
                let path = self.name();
                let file = OpenOptions::new()
                    .append(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(path)?;
                let bytes = self.random.bytes(512);
                std::io::Write::write_all(&mut &file, &bytes)
            }
            37..=41 => {
                let size = self.random.below(700_000);
                self.file()?.set_len(size)
            }
            42..=48 => {
                let (from, to) = (self.name(), self.name());
                fs::rename(from, to)
            }
            49..=51 => {
                let (from, to) = (self.directory(), self.directory());
                fs::rename(from, to)
            }
            52..=53 => {
                let (from, to) = (self.name(), self.name());
                let flags = raw::RenameFlags::EXCHANGE;
                Ok(raw::renameat_with(raw::CWD, from, raw::CWD, to, flags)?)
            }
            54..=58 => {
                let (from, to) = (self.name(), self.name());
                fs::hard_link(from, to)
            }
            59..=65 => fs::remove_file(self.name()),
            66..=71 => fs::create_dir(self.directory()),
            72..=73 => fs::remove_dir(self.directory()),
            74..=76 => {
                let target = format!("../f{}", self.random.below(12));
                symlink(target, self.name())
            }
            77..=79 => {
                let mode = raw::Mode::from_raw_mode(self.random.below(0o1000) as u32 | 0o600);
                let path = if self.random.below(3) == 0 {
                    self.directory()
                } else {
                    self.name()
                };
                if path == self.top {
                    return Ok(());
                }
                Ok(raw::chmod(path, mode | raw::Mode::XUSR)?)
            }
            80..=81 => {
                let (uid, gid) = (self.random.below(5) as u32, self.random.below(5) as u32);
                std::os::unix::fs::lchown(self.name(), Some(uid), Some(gid))
            }
            82..=83 => {
                let time = |random: &mut Random| raw::Timespec {
                    tv_sec: random.below(2_000_000_000).cast_signed(),
                    tv_nsec: random.below(1_000_000_000).cast_signed(),
                };
                let times = raw::Timestamps {
                    last_access: time(&mut self.random),
                    last_modification: time(&mut self.random),
                };
                let flags = raw::AtFlags::SYMLINK_NOFOLLOW;
                Ok(raw::utimensat(raw::CWD, self.name(), &times, flags)?)
            }
            84..=86 => {
                let name = format!("user.x{}", self.random.below(3));
                let length = self.random.below(200) as usize;
                let value = self.random.bytes(length);
                let path = self.name();
                Ok(raw::setxattr(path, name, &value, raw::XattrFlags::empty())?)
            }
            87 if self.random.below(2) == 0 => {
                // Inherited by what is created below.
                let entry = |tag: u16, allowed: u16, id: u32| {
                    let mut bytes = tag.to_le_bytes().to_vec();
                    bytes.extend(allowed.to_le_bytes());
                    bytes.extend(id.to_le_bytes());
                    bytes
                };
                let nobody = u32::MAX;
                let user = self.random.below(5) as u32;
                let mut list = 2u32.to_le_bytes().to_vec();
                for (tag, allowed, id) in [
                    (1, 7, nobody),
                    (2, 6, user),
                    (4, 5, nobody),
                    (16, 7, nobody),
                    (32, 1, nobody),
                ] {
                    list.extend(entry(tag, allowed, id));
                }
                let path = self.directory();
                if path == self.top {
                    return Ok(());
                }
                let name = match self.random.below(2) {
                    0 => "system.posix_acl_default",
                    _ => "system.posix_acl_access",
                };
                Ok(raw::setxattr(path, name, &list, raw::XattrFlags::empty())?)
            }
            87 => {
                let name = format!("user.x{}", self.random.below(3));
                Ok(raw::removexattr(self.name(), name)?)
            }
            88..=90 => {
                let file = self.file()?;
                let punch = raw::FallocateFlags::PUNCH_HOLE | raw::FallocateFlags::KEEP_SIZE;
                let flags = match self.random.below(3) {
                    0 => raw::FallocateFlags::empty(),
                    1 => raw::FallocateFlags::ZERO_RANGE,
                    _ => punch,
                };
                let offset = self.random.below(500_000);
                let length = self.random.below(300_000) + 1;
                Ok(raw::fallocate(file, flags, offset, length)?)
            }
            91..=93 => self.file()?.sync_data(),
            94..=95 => {
                // Held open over whatever happens to its name.
                let file = self.file()?;
                if self.open.len() > 8 {
                    self.open.clear();
                }
                self.open.push(file);
                Ok(())
            }
            96..=97 => {
                let number = self.random.below(self.open.len().max(1) as u64) as usize;
                let bytes = self.random.bytes(3000);
                match self.open.get(number) {
                    Some(file) => file.write_all_at(&bytes, 1000),
                    None => Ok(()),
                }
            }
            98 => {
                let kind = raw::FileType::Fifo;
                let mode = raw::Mode::from_raw_mode(0o600);
                Ok(raw::mknodat(raw::CWD, self.name(), kind, mode, 0)?)
            }
            _ => {
                let directory = self.directory();
                File::open(directory)?.sync_all()
            }
        }
    }
}
