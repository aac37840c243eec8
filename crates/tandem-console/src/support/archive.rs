//! The file that a person who helps gets: a `.tar.gz` of one node's half, or of both.

use super::Half;
use crate::scrub::Scrubber;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// Who appears in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// By name.
    Stay,
    /// By numbers that are the same throughout.
    Go,
}

/// Packs one half, or both. `missing` says why the other one is not there.
///
/// # Errors
/// It cannot be packed.
pub fn pack(mut halves: Vec<Half>, missing: Option<&str>, names: Names) -> io::Result<Vec<u8>> {
    let secrets = halves.iter_mut().flat_map(Half::take_secrets).collect();
    let mut scrubber = Scrubber::new(secrets);
    if names == Names::Go {
        let all: Vec<_> = halves.iter().flat_map(Half::names).collect();
        scrubber = scrubber.without_names(&all);
    }
    let mut bundle = Bundle::new(scrubber);
    let missing = missing.map(|why| format!("The other node's half is missing: {why}.\n\n"));
    bundle.add("README", &(missing.unwrap_or_default() + README))?;
    for half in &halves {
        for (name, text) in half.files() {
            bundle.add(&format!("{}/{name}", half.place()), text)?;
        }
    }
    bundle.finish()
}

const README: &str = "What a person who helps needs to see, of each node in a directory of its own.\n\n\
     version         release and node\n\
     configuration   field by field; commands and addresses that are called are left out\n\
     status.json     both nodes as this one shows them\n\
     history.jsonl   states, decisions, services, checkers of both nodes, newest first\n\
     commands.jsonl  who asked for what\n\
     log             Tandem's units in the journal of this node\n\
     units           states of Tandem's and the application's units\n\
     machine         operating system, load, memory, disks, networks\n\n\
     Passwords, tokens, keys, environments and the paths of addresses are not in it. Names are,\n\
     unless it was made with --anonymise.\n";

/// The archive.
struct Bundle {
    scrubber: Scrubber,
    packed: GzEncoder<Vec<u8>>,
}

impl Bundle {
    fn new(scrubber: Scrubber) -> Self {
        let packed = GzEncoder::new(Vec::new(), Compression::default());
        Self { scrubber, packed }
    }

    fn add(&mut self, name: &str, text: &str) -> io::Result<()> {
        let text = self.scrubber.text(text);
        let bytes = text.as_bytes();
        self.packed
            .write_all(&header(&format!("tandem-support/{name}"), bytes.len()))?;
        self.packed.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        self.packed.write_all(&[0; BLOCK][..rest])
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        self.packed.write_all(&[0; 2 * BLOCK])?;
        self.packed.finish()
    }
}

/// The unit of a tar archive.
const BLOCK: usize = 512;

/// The head of a file in a POSIX.1-1988 archive ("ustar").
fn header(name: &str, length: usize) -> [u8; BLOCK] {
    let mut head = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, &format!("{:011o}\0", crate::unix_ms() / 1000));
    // The sum counts itself as blanks.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}
