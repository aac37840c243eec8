//! What applications do with files that is out of the ordinary, on a mirrored directory with a live
//! standby: afterwards both trees are equal, byte for byte, with attributes, lists and holes.
//!
//! Ordinary work at random is in `mirroring` and `mirrored`; names of any bytes, saving by a rename
//! and files without a name are in `mirroring`.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/equal.rs"]
mod equal;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command as Process;

use disk::root_or_skip;
use node::{Node, is_level, own_mounts, pair};
use tandem_wire::local::Command;

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

/// Two nodes that are level; `None` where that cannot be.
fn level(test: &str) -> Option<(Node, Node)> {
    if !root_or_skip(test) {
        return None;
    }
    own_mounts();
    let (mut one, mut two) = pair();
    for node in [&mut one, &mut two] {
        // Nobody plays the daemon here that would release a peer on a busy machine.
        node.set(node::STALL_SETTING, "60000");
        node.start();
    }
    one.serve(1, 7, false);
    two.follow(1, 7);
    one.await_status("level", is_level);
    Some((one, two))
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let output = Process::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether a program of another package is there. With `CI=true` it has to be.
fn is_installed(program: &str) -> bool {
    let found = Process::new(program).arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{program} is needed"
    );
    if !found {
        println!("SKIPPED: {program} is not installed");
    }
    found
}

fn assert_mirrored(one: &Node, two: &Node) {
    let position = one.daemon().fresh_status().position;
    two.await_status("everything applied", |status| status.position >= position);
    // Times are set when the copy is sealed.
    two.command(Command::Seal).expect("seal");
    equal::assert_equal(&one.plain("db"), &two.plain("db"));
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn direct_asynchronous_and_mapped_writes_are_mirrored() {
    let name = "direct_asynchronous_and_mapped_writes_are_mirrored";
    let Some((one, two)) = level(name) else {
        return;
    };
    if !is_installed("fio") {
        return;
    }
    // Each reads back what it wrote. The first two are what MariaDB does with its files.
    for (engine, more) in [
        (
            "libaio",
            &["--direct=1", "--iodepth=16", "--fdatasync=8"][..],
        ),
        ("io_uring", &["--direct=1", "--iodepth=16", "--fdatasync=8"]),
        ("io_uring", &["--direct=0", "--iodepth=8", "--fsync=4"]),
        ("mmap", &["--fdatasync=8"]),
        ("pvsync2", &["--direct=1", "--sync=dsync"]),
    ] {
        let label = format!("--name={engine}-{}", more[0].trim_start_matches("--"));
        let ioengine = format!("--ioengine={engine}");
        let mut arguments = vec![
            label.as_str(),
            &ioengine,
            "--rw=randrw",
            "--bssplit=4k/60:16k/30:64k/10",
            "--size=6m",
            "--io_size=3m",
            "--verify=crc32c",
            "--do_verify=1",
            "--verify_fatal=1",
            "--randseed=7",
        ];
        arguments.extend(more);
        run("fio", &arguments, one.path());
    }
    assert_mirrored(&one, &two);
}

#[test]
fn holes_and_allocations_are_mirrored() {
    let Some((one, two)) = level("holes_and_allocations_are_mirrored") else {
        return;
    };
    let top = one.path();
    for script in [
        // Sparse from the beginning, with islands of data.
        "truncate -s 40G sparse; printf island | dd of=sparse bs=1 seek=30000000000 conv=notrunc",
        "head -c 1M /dev/urandom >punched; fallocate --punch-hole -o 65536 -l 262144 punched",
        "head -c 1M /dev/urandom >zeroed; fallocate --zero-range -o 4096 -l 500000 zeroed",
        "fallocate -l 3M allocated; fallocate --keep-size -l 8M allocated",
        "head -c 1M /dev/urandom >cut; truncate -s 300000 cut; truncate -s 900000 cut",
        "cp --sparse=always punched copied; cp --reflink=auto punched again",
        // What the kernel does not hand on is refused, and changes nothing.
        "head -c 1M /dev/zero >kept; ! fallocate --collapse-range -o 0 -l 4096 kept 2>&1",
        "! fallocate --insert-range -o 0 -l 4096 kept 2>&1; test $(stat -c %s kept) = 1048576",
    ] {
        run("sh", &["-ec", script], top);
    }
    assert_mirrored_with_holes(&one, &two, &["sparse", "punched", "allocated", "copied"]);
}

/// As [`assert_mirrored`]; and what takes no room here takes none there.
fn assert_mirrored_with_holes(one: &Node, two: &Node, files: &[&str]) {
    let blocks = |node: &Node, name: &str| {
        let found = std::fs::metadata(node.plain("db").join(name)).expect("look");
        (found.size(), found.blocks())
    };
    let position = one.daemon().fresh_status().position;
    two.await_status("everything applied", |status| status.position >= position);
    for file in files {
        let (here, there) = (blocks(one, file), blocks(two, file));
        assert_eq!(here.0, there.0, "size of {file}");
        let more = there.1.abs_diff(here.1);
        assert!(more <= 64, "{file}: {here:?} blocks, {there:?} there");
    }
    // Its content is its size in zeros, which takes long to read.
    std::fs::remove_file(one.path().join("sparse")).expect("remove");
    assert_mirrored(one, two);
}

#[test]
fn attributes_lists_and_objects_of_every_kind_are_mirrored() {
    let name = "attributes_lists_and_objects_of_every_kind_are_mirrored";
    let Some((one, two)) = level(name) else {
        return;
    };
    let script = r#"
import os, socket, stat, struct
def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER, NONE = 1, 2, 4, 16, 32, 0xffffffff
rules = acl((USER_OBJ, 7, NONE), (USER, 6, 65534), (GROUP_OBJ, 5, NONE), (MASK, 7, NONE), (OTHER, 0, NONE))
os.mkdir("shared", 0o700)
os.setxattr("shared", "system.posix_acl_default", rules)
os.setxattr("shared", "system.posix_acl_access", rules)
open("shared/inherits", "w").write("a list")
os.mkdir("shared/sub")
open("shared/sub/inherits", "w").write("a list")
os.chmod("shared/inherits", 0o640)
os.mknod("shared/fifo", stat.S_IFIFO | 0o666)
os.removexattr("shared/sub", "system.posix_acl_default")
open("shared/sub/plain", "w").close()

f = open("attributes", "w"); f.write("x"); f.close()
os.setxattr("attributes", "user.any", bytes(range(256)))
os.setxattr("attributes", "user.empty", b"")
os.setxattr("attributes", "user.large", b"v" * 300)
os.setxattr("attributes", "trusted.overlay", b"t")
# cap_net_bind_service, as setcap writes it; a write takes it away.
capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
os.setxattr("attributes", "security.capability", capability)
open("runs", "w").close()
os.setxattr("runs", "security.capability", capability)
open("runs", "a").write("written")
try:
    os.getxattr("runs", "security.capability")
    raise AssertionError("a write must take the capability")
except OSError:
    pass
os.setxattr("attributes", "user.gone", b"g"); os.removexattr("attributes", "user.gone")
os.symlink("attributes", "link")
os.setxattr("link", "trusted.of_link", b"l", follow_symlinks=False)

# Set-user-id is dropped by a write of another user, and by a change of owner.
for name in ["suid", "suid2"]:
    open(name, "w").close(); os.chmod(name, 0o6777)
os.chown("suid2", 1000, 1000)
if os.fork() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    open("suid", "a").write("x"); os._exit(0)
assert os.wait()[1] == 0
assert stat.S_IMODE(os.stat("suid").st_mode) == 0o777, oct(os.stat("suid").st_mode)

# Objects that are no files.
os.mkfifo("fifo", 0o620)
os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(259, 1048575))
s = socket.socket(socket.AF_UNIX); s.bind("socket"); s.listen()
c = socket.socket(socket.AF_UNIX); c.connect("socket"); c.send(b"through"); c.close()
assert s.accept()[0].recv(9) == b"through"
fifo = os.open("fifo", os.O_RDWR); os.write(fifo, b"pipe"); assert os.read(fifo, 4) == b"pipe"
assert open("null", "wb").write(b"nothing") == 7

# Several names of one object.
for number in range(200):
    os.link("attributes", "name%d" % number)
os.unlink("attributes")
os.rename("name0", "name1")
os.link("fifo", "fifo2"); os.link("link", "link2", follow_symlinks=False)
assert os.stat("name7").st_nlink == 200, os.stat("name7").st_nlink
os.utime("name7", ns=(1, 2000000003))

# Written while the last name is gone, and through several descriptors.
for number in range(50):
    fd = os.open("t%d" % number, os.O_RDWR | os.O_CREAT, 0o600)
    os.unlink("t%d" % number)
    os.pwrite(fd, b"x" * 5000, number * 1000); os.fsync(fd)
    assert os.fstat(fd).st_nlink == 0 and os.pread(fd, 1, 5) in (b"x", b"\0")
"#;
    run("python3", &["-c", script], one.path());
    assert_mirrored(&one, &two);
}

#[test]
fn a_file_without_a_name_is_had_by_way_of_one() {
    let name = "a_file_without_a_name_is_had_by_way_of_one";
    let Some((one, two)) = level(name) else {
        return;
    };
    // O_TMPFILE is refused as by a file system that does not know it: EOPNOTSUPP. What the C
    // library, Python and SQLite do then.
    let script = r#"
import ctypes, errno, os, tempfile
try:
    os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    raise AssertionError("this can be had now: say so in docs/filesystem.md")
except OSError as error:
    assert error.errno == errno.EOPNOTSUPP, error
libc = ctypes.CDLL(None, use_errno=True)
libc.fdopen.restype = ctypes.c_void_p
template = ctypes.create_string_buffer(b"./unnamedXXXXXX")
fd = libc.mkstemp(template)
assert fd >= 0 and os.unlink(template.value) is None
os.write(fd, b"by mkstemp"); os.fsync(fd)
with tempfile.TemporaryFile(dir=".") as file:
    file.write(b"of Python"); file.flush(); os.fsync(file.fileno())
    file.seek(0); assert file.read() == b"of Python"
assert os.listdir(".") == [] or os.listdir(".") == ["lost+found"], os.listdir(".")
# A document is saved in full or not at all.
with tempfile.NamedTemporaryFile(dir=".", delete=False) as file:
    file.write(b"whole"); file.flush(); os.fsync(file.fileno())
os.link(file.name, "document"); os.unlink(file.name)
"#;
    run("python3", &["-c", script], one.path());
    assert_mirrored(&one, &two);
    assert_eq!(
        std::fs::read(two.plain("db").join("document")).expect("read"),
        b"whole"
    );
}
