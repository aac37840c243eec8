//! What one node has to say, from which secrets are taken out already, on its way to the archive or
//! to the other node.

use crate::Secret;
use crate::scrub::Scrubber;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// What a half from the other node may grow to when it is unpacked: its parts are bounded there.
const UNPACKED_BYTES_MAX: u64 = 128 << 20;
/// The name of a file in it.
const NAME_BYTES_MAX: usize = 40;

/// One node's half. The secrets themselves never leave the process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Half {
    node: Option<u8>,
    /// Kind and name of what says whose it is.
    names: Vec<(String, String)>,
    files: Vec<(String, String)>,
    #[serde(skip)]
    secrets: Vec<Secret>,
    #[serde(skip)]
    scrubber: Scrubber,
}

impl Half {
    pub(super) fn new(
        node: Option<u8>,
        secrets: Vec<Secret>,
        names: Vec<(&'static str, String)>,
    ) -> Self {
        let names = names.into_iter();
        Self {
            node,
            names: names.map(|(kind, name)| (kind.to_owned(), name)).collect(),
            files: Vec::new(),
            scrubber: Scrubber::new(secrets.clone()),
            secrets,
        }
    }

    /// The only way in.
    pub(super) fn add(&mut self, name: &str, text: &str) {
        let text = self.scrubber.text(text);
        self.files.push((name.to_owned(), text));
    }

    /// The directory in the archive.
    pub(super) fn place(&self) -> String {
        self.node
            .map_or("node".to_owned(), |node| format!("node{node}"))
    }

    pub(super) fn files(&self) -> &[(String, String)] {
        &self.files
    }

    pub(super) fn names(&self) -> Vec<(&str, String)> {
        let names = self.names.iter();
        names
            .map(|(kind, name)| (kind.as_str(), name.clone()))
            .collect()
    }

    pub(super) fn take_secrets(&mut self) -> Vec<Secret> {
        std::mem::take(&mut self.secrets)
    }

    /// For the way to the other node.
    ///
    /// # Errors
    /// It cannot be packed.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut packed, self)?;
        packed.flush()?;
        packed.finish()
    }

    /// From the other node.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        let bounded = GzDecoder::new(bytes).take(UNPACKED_BYTES_MAX);
        let half: Self = serde_json::from_reader(io::BufReader::new(bounded))?;
        // They become names in an archive, which somebody unpacks.
        let plain = |byte: u8| byte.is_ascii_lowercase() || b"-.".contains(&byte);
        let good =
            |name: &str| name.bytes().all(plain) && (1..=NAME_BYTES_MAX).contains(&name.len());
        match half
            .files
            .iter()
            .all(|(name, _)| good(name) && !name.starts_with('.'))
        {
            true => Ok(half),
            false => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }
}
