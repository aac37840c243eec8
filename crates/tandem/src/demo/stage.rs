//! The stage: what the show builds on this machine, and how all of it goes away.
//!
//! Four network namespaces (a switch with two bridges, two nodes, a client) and one directory with
//! the disks of the nodes and their logs. Everything is found again by its name, so that the
//! remains of a demonstration that was killed are removed by the next one. Processes are found by
//! the namespace that they are in, never by their name.

use super::borrowed;
use super::error::{Attempt, DemoError, Result};
use super::linux;
use super::wait::{self, Program};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory of the demonstration: disks and logs.
pub const DIRECTORY: &str = "/var/lib/tandem-demo";
/// The virtual address.
pub const VIRTUAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// The namespace with the bridges.
const SWITCH: &str = "tandem-demo-switch";
/// The namespace of the client.
const CLIENT: &str = "tandem-demo-client";
/// How many networks join the nodes.
pub const NETWORKS: u8 = 2;
/// How long the kernel may take to end processes and to release disks.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);
/// The size of a node's disk. The file is sparse.
const DISK_BYTES: u64 = 256 << 20;

/// What is needed of the base system, and the Debian package that has it.
const TOOLS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("losetup", "mount"),
    ("nsenter", "util-linux"),
    ("sqlite3", "sqlite3"),
    ("tail", "coreutils"),
];

/// The name of a node's network namespace.
pub fn node_namespace(number: u8) -> String {
    format!("tandem-demo-node{number}")
}

/// The file of a network namespace.
pub fn namespace_file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// The file of the client's network namespace.
pub fn client_namespace_file() -> PathBuf {
    namespace_file(CLIENT)
}

/// The address of a node in a network, both counted from 0 and 1 as their names are.
pub fn node_address(number: u8, network: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, network, number)
}

/// The disk of a node, as a file of this machine.
pub fn disk_image(number: u8) -> PathBuf {
    Path::new(DIRECTORY).join(format!("node{number}.img"))
}

/// Where a node mounts its disk, in its own mount namespace. On this machine it stays empty.
pub fn disk_directory() -> PathBuf {
    Path::new(DIRECTORY).join("disk")
}

/// The logs, which do not lie on the disks of the nodes and survive a power cut.
pub fn log_directory() -> PathBuf {
    Path::new(DIRECTORY).join("log")
}

/// Checks that the show can be given here.
pub fn check_machine() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        borrowed::enter()?;
    }
    for (program, package) in TOOLS {
        let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        if !places
            .iter()
            .any(|place| Path::new(place).join(program).exists())
        {
            return Err(DemoError::ToolMissing { program, package });
        }
    }
    let fuse = ("/dev/fuse", "load the module (modprobe fuse)");
    let disks = ("/dev/loop-control", "load the module (modprobe loop)");
    let devices = match borrowed::is_borrowed() {
        true => &[fuse][..],
        false => &[fuse, disks],
    };
    for (device, remedy) in devices {
        if !Path::new(device).exists() {
            return Err(DemoError::DeviceMissing { device, remedy });
        }
    }
    Ok(())
}

/// Builds the switch, the client and the disks.
pub fn build() -> Result<()> {
    for directory in [disk_directory(), log_directory()] {
        fs::create_dir_all(&directory).attempt(|| format!("make {}", directory.display()))?;
    }
    ip("make the switch", &["netns", "add", SWITCH], "")?;
    let bridges: String = (0..NETWORKS)
        .map(|network| {
            format!(
                "link add br{network} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
                 link set br{network} up\n"
            )
        })
        .collect();
    in_namespace(
        "make the bridges",
        SWITCH,
        &format!("link set lo up\n{bridges}"),
    )?;
    ip("make the client", &["netns", "add", CLIENT], "")?;
    in_namespace(
        "plug in the client",
        SWITCH,
        &format!(
            "link add c0 type veth peer name eth0 netns {CLIENT}\nlink set c0 master br0 up\n"
        ),
    )?;
    in_namespace(
        "address the client",
        CLIENT,
        "link set lo up\naddr add 10.99.0.9/24 dev eth0\nlink set eth0 up\n",
    )?;
    for number in [1, 2] {
        make_disk(number)?;
    }
    Ok(())
}

fn make_disk(number: u8) -> Result<()> {
    let image = disk_image(number);
    if borrowed::is_borrowed() {
        return fs::create_dir(&image).attempt(|| format!("make {}", image.display()));
    }
    fs::File::create(&image)
        .and_then(|file| file.set_len(DISK_BYTES))
        .attempt(|| format!("make {}", image.display()))?;
    Program::new(format!("make the file system of node{number}"), "mkfs.ext4")
        .args(["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"])
        .args(["-L", &format!("node{number}")])
        .args([&image])
        .run()?;
    Ok(())
}

/// Mounts a node's disk where this process sees it.
pub fn mount_disk(number: u8) -> Result<()> {
    let (image, directory) = (disk_image(number), disk_directory());
    let how = match borrowed::is_borrowed() {
        true => &["--bind"][..],
        false => &["-t", "ext4", "-o", "loop,noatime"],
    };
    Program::new(format!("mount the disk of node{number}"), "mount")
        .args(how)
        .args([&image, &directory])
        .run()?;
    Ok(())
}

/// Takes the power from a node's disk, seen at this path: what it was not told to keep is lost.
pub fn cut_disk(seen: &Path) -> io::Result<()> {
    if borrowed::is_borrowed() {
        return Ok(());
    }
    linux::shut_down_without_flush(seen)
}

/// Gives a node its network interfaces, and plugs them in.
pub fn build_node_network(number: u8) -> Result<()> {
    let name = node_namespace(number);
    ip("make the node's namespace", &["netns", "add", &name], "")?;
    let mut ports = String::new();
    let mut interfaces = "link set lo up\n".to_owned();
    for network in 0..NETWORKS {
        let port = port(number, network);
        ports.push_str(&format!(
            "link add {port} type veth peer name eth{network} netns {name}\n\
             link set {port} master br{network} up\n"
        ));
        let address = node_address(number, network);
        interfaces.push_str(&format!(
            "link set eth{network} address 02:99:00:00:0{network}:0{number}\n\
             addr add {address}/24 dev eth{network}\n\
             link set eth{network} up\n"
        ));
    }
    in_namespace("plug in the node", SWITCH, &ports)?;
    in_namespace("address the node", &name, &interfaces)
}

/// Pulls a node's cables out. Its own side sees no carrier; nobody hears it any more.
pub fn pull_cables(number: u8) -> Result<()> {
    let lines: String = (0..NETWORKS)
        .map(|network| format!("link set {} down\n", port(number, network)))
        .collect();
    in_namespace("pull the cables", SWITCH, &lines)
}

/// Removes a node's interfaces and its whole network stack, which would go on answering for its
/// addresses after its processes are gone.
pub fn remove_node_network(number: u8) -> Result<()> {
    for network in 0..NETWORKS {
        let line = format!("link del {}\n", port(number, network));
        in_namespace("remove the cables", SWITCH, &line)?;
    }
    remove_namespace(&node_namespace(number))
}

/// The switch's end of a cable.
fn port(number: u8, network: u8) -> String {
    format!("p{number}n{network}")
}

fn ip(attempt: &str, arguments: &[&str], input: &str) -> Result<()> {
    Program::new(attempt, "ip")
        .args(arguments)
        .input(input)
        .run()?;
    Ok(())
}

fn in_namespace(attempt: &str, name: &str, lines: &str) -> Result<()> {
    ip(attempt, &["-n", name, "-batch", "-"], lines)
}

fn remove_namespace(name: &str) -> Result<()> {
    if namespace_file(name).exists() {
        ip("remove a namespace", &["netns", "del", name], "")?;
    }
    Ok(())
}

/// Whether something of a demonstration is on this machine.
pub fn remains() -> bool {
    Path::new(DIRECTORY).exists()
        || namespaces()
            .iter()
            .any(|name| namespace_file(name).exists())
}

fn namespaces() -> [String; 4] {
    [
        node_namespace(1),
        node_namespace(2),
        CLIENT.to_owned(),
        SWITCH.to_owned(),
    ]
}

/// What becomes of the logs when the rest goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Logs {
    /// They are to be read.
    Keep,
    /// Nothing is left behind.
    Remove,
}

/// Removes everything: processes, namespaces, mounts, loop devices, files.
///
/// # Errors
/// The kernel does not let go of something. It is named.
pub fn clear(logs: Logs) -> Result<()> {
    end_processes()?;
    for name in namespaces() {
        remove_namespace(&name)?;
    }
    unmount_all()?;
    for number in [1, 2] {
        release_disk(number)?;
    }
    match logs {
        Logs::Keep => {
            for path in [disk_image(1), disk_image(2)] {
                let removed = match path.is_dir() {
                    true => fs::remove_dir_all(&path),
                    false => fs::remove_file(&path),
                };
                remove_if_there(removed, &path)?;
            }
            remove_if_there(fs::remove_dir(disk_directory()), &disk_directory())
        }
        Logs::Remove => remove_if_there(fs::remove_dir_all(DIRECTORY), Path::new(DIRECTORY)),
    }
}

fn remove_if_there(outcome: io::Result<()>, path: &Path) -> Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).attempt(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn end_processes() -> Result<()> {
    settle("ended", Path::new("a process of the demonstration"), || {
        let processes = processes_on_stage();
        for process in &processes {
            // One that ends by itself in this moment is gone, too.
            let _ = kill(*process, Signal::SIGKILL);
        }
        processes.is_empty()
    })
}

/// All processes in one of our network namespaces.
fn processes_on_stage() -> Vec<Pid> {
    let ours: Vec<(u64, u64)> = namespaces()
        .iter()
        .filter_map(|name| identity(&namespace_file(name)))
        .collect();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .filter(|process| *process != nix::unistd::getpid())
        .filter(|process| {
            identity(Path::new(&format!("/proc/{process}/ns/net")))
                .is_some_and(|found| ours.contains(&found))
        })
        .collect()
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    fs::metadata(file).ok().map(|data| (data.dev(), data.ino()))
}

/// Unmounts what is mounted below our directory on this machine (the survivor's disk, for the
/// count).
fn unmount_all() -> Result<()> {
    settle("mounted", &disk_directory(), || {
        let mounts = mounts_below(DIRECTORY);
        for path in &mounts {
            // Looked at again: the list decides, not this answer.
            let _ = umount2(path, MntFlags::empty());
        }
        mounts.is_empty()
    })
}

fn mounts_below(directory: &str) -> Vec<PathBuf> {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else {
        return Vec::new();
    };
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(directory))
        .collect();
    mounts.reverse();
    mounts
}

/// Waits until no loop device holds the disk of a node any more: its mounts end with its processes.
pub fn release_disk(number: u8) -> Result<()> {
    let image = disk_image(number);
    settle("held by a loop device", &image, || !disk_is_held(&image))
}

fn disk_is_held(image: &Path) -> bool {
    let Ok(devices) = fs::read_dir("/sys/block") else {
        return false;
    };
    devices.flatten().any(|device| {
        fs::read_to_string(device.path().join("loop/backing_file"))
            .is_ok_and(|file| Path::new(file.trim_end()) == image)
    })
}

/// As [`wait::until`], but it goes on when the show was interrupted: this *is* the end.
fn settle(state: &'static str, path: &Path, mut condition: impl FnMut() -> bool) -> Result<()> {
    let end = std::time::Instant::now() + RELEASE_LIMIT;
    while !condition() {
        if std::time::Instant::now() >= end {
            return Err(DemoError::Remains {
                path: path.to_owned(),
                state,
                limit: RELEASE_LIMIT,
            });
        }
        std::thread::sleep(wait::POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_fit_into_the_kernel() {
        for number in [1, 2] {
            for network in 0..NETWORKS {
                assert!(port(number, network).len() < 16);
            }
        }
    }

    #[test]
    fn the_virtual_address_is_in_the_first_network_and_belongs_to_no_node() {
        assert_eq!(
            VIRTUAL_ADDRESS.octets()[..3],
            node_address(1, 0).octets()[..3]
        );
        assert_ne!(VIRTUAL_ADDRESS, node_address(1, 0));
        assert_ne!(VIRTUAL_ADDRESS, node_address(2, 0));
    }
}
