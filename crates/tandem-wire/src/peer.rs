//! Core to core: [`PeerMessage`] in bytes, the same on every channel (heartbeat datagrams, control
//! link, data stream).
//!
//! ```text
//! 0   4 bytes   TNDH
//! 4   u16       version that is needed to read it
//! 6   u16       the module's mark, made from its name
//! 8   8 bytes   tag of the cluster: tells a stranger from an attacker, proves nothing
//! 16  n bytes   the message in postcard; fields of later versions follow and are skipped
//!     32 bytes  keyed blake3 of all that, with a key derived from the cluster's secret
//! ```
//!
//! The code only shows who wrote a message. Whether it is fresh is the core's business: it looks
//! at the nonces, so a message that is replayed, reordered or repeated is harmless there.

use crate::record::{Impossible, RecordBytes, node};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use tandem_core::{
    CheckerId, ConfigurationDigest, DataState, Epoch, Grant, Incarnation, MirrorReport, NodeId,
    Nonce, PeerMessage, Record, Sequence, State, Tone,
};

/// The version that this release writes and reads.
pub const VERSION: u16 = 1;
/// The largest message in bytes, also over TCP.
pub const MESSAGE_MAX: usize = 64 << 10;
/// The smallest message in bytes: anything shorter is dropped before it is hashed.
pub const MESSAGE_MIN: usize = HEADER_BYTES + CODE_BYTES;

const MAGIC: [u8; 4] = *b"TNDH";
const HEADER_BYTES: usize = 16;
const CODE_BYTES: usize = 32;

/// The key that the two nodes of a cluster share for their messages, and its tag.
#[derive(Clone)]
pub struct PeerKey {
    key: [u8; 32],
    tag: [u8; 8],
}

impl core::fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PeerKey(..)")
    }
}

impl PeerKey {
    /// Derives the key from the cluster's secret, and the tag from the cluster's identifier.
    #[must_use]
    pub fn new(cluster: &str, secret: &[u8; 32]) -> Self {
        let key = blake3::derive_key("tandem 2026 messages between daemons", secret);
        let hash = blake3::derive_key("tandem 2026 tag of a cluster", cluster.as_bytes());
        let mut tag = [0; 8];
        tag.copy_from_slice(&hash[..8]);
        Self { key, tag }
    }
}

/// The mark of a module in messages: a short digest of its name, so that two nodes whose
/// configurations have the modules in another order never take one for the other. Different names
/// may have the same mark; a configuration with two such modules is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ModuleTag(u16);

impl ModuleTag {
    /// The mark of the module with this name.
    #[must_use]
    pub fn new(module: &str) -> Self {
        let hash = blake3::derive_key("tandem 2026 tag of a module", module.as_bytes());
        Self(u16::from_le_bytes([hash[0], hash[1]]))
    }
}

/// For which module bytes are that look like a message; nothing of them was checked.
#[must_use]
pub fn tag_of(bytes: &[u8]) -> Option<ModuleTag> {
    if bytes.len() < MESSAGE_MIN || bytes[..4] != MAGIC {
        return None;
    }
    Some(ModuleTag(u16::from_le_bytes([bytes[6], bytes[7]])))
}

/// Why bytes are no message of our peer's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerError {
    /// Too short, too long, or something else entirely.
    #[error("{bytes} bytes that are no message of tandem")]
    NotAMessage {
        /// How many bytes.
        bytes: usize,
    },
    /// Authentic, and needs another release to be read.
    #[error("a message of protocol version {found}, this release speaks version {VERSION}")]
    Version {
        /// The version needed.
        found: u16,
    },
    /// Of another cluster.
    #[error("a message of another cluster")]
    Cluster,
    /// The code does not match: forged, damaged, or another secret.
    #[error("a message with a wrong authentication code")]
    Code,
    /// Of a module that the configuration does not have.
    #[error("a message for another module")]
    Module {
        /// Its mark.
        found: ModuleTag,
    },
    /// Authentic, and cannot be read.
    #[error("an authentic message that cannot be read")]
    Malformed(#[source] postcard::Error),
    /// Authentic, with a value that no release ever wrote.
    #[error("an authentic message that cannot be read")]
    Impossible(#[from] Impossible),
    /// Our own message, sent back to us.
    #[error("a message of this node's own")]
    Reflected,
}

#[derive(Serialize, Deserialize)]
struct Body {
    from: u8,
    incarnation: u64,
    nonce: u64,
    seen: Option<u64>,
    /// Nonce and epoch.
    grant: Option<(u64, u64)>,
    answer_wanted: bool,
    state: u8,
    tone: u8,
    data: DataBytes,
    record: Option<RecordBytes>,
    proposal: Option<RecordBytes>,
    leaving: bool,
    swap_wanted: bool,
    mirror_usable: bool,
    mirror_serving: bool,
    mirror_following: bool,
    mirror_position: u64,
    configuration: u64,
    state_write_age_ms: u64,
    mirror_age_ms: u64,
    data_bytes: u64,
    resync_percent: Option<u8>,
    moved_for: Option<u64>,
}

#[derive(Serialize, Deserialize)]
enum DataBytes {
    Uptodate,
    NotUptodate,
    Resyncing(u8),
    Inconsistent,
    Diverged,
}

/// The bytes of a message for a module.
#[must_use]
pub fn encode(key: &PeerKey, module: ModuleTag, message: &PeerMessage) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&module.0.to_le_bytes());
    bytes.extend_from_slice(&key.tag);
    let mut bytes = postcard::to_extend(&body_of(message), bytes)
        .expect("a message has no map and no unsized field, so postcard cannot fail");
    let code = blake3::keyed_hash(&key.key, &bytes);
    bytes.extend_from_slice(code.as_bytes());
    debug_assert!(
        bytes.len() <= MESSAGE_MAX,
        "two records with full history are below 3 KiB"
    );
    bytes
}

/// The message in these bytes, if `peer` wrote it for this module.
///
/// # Errors
/// [`PeerError`]; the cheap checks come first.
pub fn decode(
    key: &PeerKey,
    module: ModuleTag,
    peer: NodeId,
    bytes: &[u8],
) -> Result<PeerMessage, PeerError> {
    if bytes.len() < MESSAGE_MIN || bytes.len() > MESSAGE_MAX || bytes[..4] != MAGIC {
        return Err(PeerError::NotAMessage { bytes: bytes.len() });
    }
    if bytes[8..16] != key.tag {
        return Err(PeerError::Cluster);
    }
    let (signed, code) = bytes.split_at(bytes.len() - CODE_BYTES);
    // blake3's hashes compare in constant time.
    let code = <&[u8; CODE_BYTES]>::try_from(code).expect("split at this length");
    if blake3::keyed_hash(&key.key, signed) != *code {
        return Err(PeerError::Code);
    }
    // Every version has the code at its end, so that a later one is known to be the peer's.
    let found = u16::from_le_bytes([bytes[4], bytes[5]]);
    if found != VERSION {
        return Err(PeerError::Version { found });
    }
    let found = ModuleTag(u16::from_le_bytes([bytes[6], bytes[7]]));
    if found != module {
        return Err(PeerError::Module { found });
    }
    let (body, _later_fields) =
        postcard::take_from_bytes::<Body>(&signed[HEADER_BYTES..]).map_err(PeerError::Malformed)?;
    let message = message_of(body)?;
    if message.from != peer {
        return Err(PeerError::Reflected);
    }
    Ok(message)
}

fn body_of(message: &PeerMessage) -> Body {
    Body {
        from: message.from.number(),
        incarnation: message.incarnation.0,
        nonce: message.nonce.0,
        seen: message.seen.map(|nonce| nonce.0),
        grant: message.grant.map(|grant| (grant.nonce.0, grant.epoch.0)),
        answer_wanted: message.answer_wanted,
        state: match message.state {
            State::Stop => 0,
            State::Wait => 1,
            State::Alone => 2,
            State::Prim => 3,
            State::Second => 4,
        },
        tone: match message.tone {
            Tone::Ready => 0,
            Tone::Transient => 1,
            Tone::NotReady => 2,
        },
        data: match message.data {
            DataState::Uptodate => DataBytes::Uptodate,
            DataState::NotUptodate => DataBytes::NotUptodate,
            DataState::Resyncing(percent) => DataBytes::Resyncing(percent),
            DataState::Inconsistent => DataBytes::Inconsistent,
            DataState::Diverged => DataBytes::Diverged,
        },
        record: message.record.as_ref().map(RecordBytes::from),
        proposal: message.proposal.as_ref().map(RecordBytes::from),
        leaving: message.leaving,
        swap_wanted: message.swap_wanted,
        mirror_usable: message.mirror.usable,
        mirror_serving: message.mirror.serving,
        mirror_following: message.mirror.following,
        mirror_position: message.mirror.position.0,
        configuration: message.configuration.0,
        state_write_age_ms: milliseconds(message.state_write_age),
        mirror_age_ms: milliseconds(message.mirror_age),
        data_bytes: message.data_bytes,
        resync_percent: message.resync_percent,
        moved_for: message.moved_for.map(|checker| checker.0),
    }
}

fn message_of(body: Body) -> Result<PeerMessage, Impossible> {
    Ok(PeerMessage {
        from: node(body.from, "from")?,
        incarnation: Incarnation(body.incarnation),
        nonce: Nonce(body.nonce),
        seen: body.seen.map(Nonce),
        grant: body.grant.map(|(nonce, epoch)| Grant {
            nonce: Nonce(nonce),
            epoch: Epoch(epoch),
        }),
        answer_wanted: body.answer_wanted,
        state: match body.state {
            0 => State::Stop,
            1 => State::Wait,
            2 => State::Alone,
            3 => State::Prim,
            4 => State::Second,
            _ => return Err(Impossible("state")),
        },
        tone: match body.tone {
            0 => Tone::Ready,
            1 => Tone::Transient,
            2 => Tone::NotReady,
            _ => return Err(Impossible("tone")),
        },
        data: match body.data {
            DataBytes::Uptodate => DataState::Uptodate,
            DataBytes::NotUptodate => DataState::NotUptodate,
            DataBytes::Resyncing(percent) => DataState::Resyncing(percent.min(100)),
            DataBytes::Inconsistent => DataState::Inconsistent,
            DataBytes::Diverged => DataState::Diverged,
        },
        record: body.record.map(Record::try_from).transpose()?,
        proposal: body.proposal.map(Record::try_from).transpose()?,
        leaving: body.leaving,
        swap_wanted: body.swap_wanted,
        mirror: MirrorReport {
            usable: body.mirror_usable,
            serving: body.mirror_serving,
            following: body.mirror_following,
            position: Sequence(body.mirror_position),
        },
        configuration: ConfigurationDigest(body.configuration),
        state_write_age: Duration::from_millis(body.state_write_age_ms),
        mirror_age: Duration::from_millis(body.mirror_age_ms),
        data_bytes: body.data_bytes,
        resync_percent: body.resync_percent,
        moved_for: body.moved_for.map(CheckerId),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_core::{GenerationId, InSync, Lineage, Version};

    fn key() -> PeerKey {
        PeerKey::new("c1", &[7; 32])
    }

    fn message() -> PeerMessage {
        PeerMessage {
            from: NodeId::Two,
            incarnation: Incarnation(11),
            nonce: Nonce(u64::MAX),
            seen: Some(Nonce(3)),
            grant: Some(Grant {
                nonce: Nonce(3),
                epoch: Epoch(8),
            }),
            answer_wanted: true,
            state: State::Second,
            tone: Tone::Transient,
            data: DataState::Resyncing(42),
            record: Some(Record {
                version: Version(4),
                epoch: Epoch(8),
                holder: NodeId::One,
                insync: InSync::Both,
                lineage: Lineage::first(GenerationId(5)).grow(GenerationId(6), NodeId::One),
                clean: false,
                confirmed: true,
                forced: false,
                level_at: None,
            }),
            proposal: None,
            leaving: false,
            swap_wanted: true,
            mirror: MirrorReport {
                usable: true,
                serving: false,
                following: true,
                position: Sequence(99),
            },
            configuration: ConfigurationDigest(0xfeed),
            state_write_age: Duration::from_millis(5),
            mirror_age: Duration::ZERO,
            data_bytes: 1 << 40,
            resync_percent: Some(42),
            moved_for: Some(CheckerId::of("sql")),
        }
    }

    const MODULE: ModuleTag = ModuleTag(0);

    fn read(bytes: &[u8]) -> Result<PeerMessage, PeerError> {
        decode(&key(), MODULE, NodeId::Two, bytes)
    }

    /// The header and body of a message, signed anew.
    fn sign(mut bytes: Vec<u8>) -> Vec<u8> {
        let code = blake3::keyed_hash(&key().key, &bytes);
        bytes.extend_from_slice(code.as_bytes());
        bytes
    }

    #[test]
    fn a_message_survives_the_network() {
        assert_eq!(read(&encode(&key(), MODULE, &message())), Ok(message()));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let bytes = encode(&key(), MODULE, &message());
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(read(&changed).is_err(), "byte {place}");
            assert!(read(&bytes[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn another_secret_cluster_module_or_sender_is_refused() {
        let bytes = encode(&PeerKey::new("c1", &[8; 32]), MODULE, &message());
        assert_eq!(read(&bytes), Err(PeerError::Code));
        let bytes = encode(&PeerKey::new("c2", &[7; 32]), MODULE, &message());
        assert_eq!(read(&bytes), Err(PeerError::Cluster));
        let bytes = encode(&key(), ModuleTag(1), &message());
        assert_eq!(
            read(&bytes),
            Err(PeerError::Module {
                found: ModuleTag(1)
            })
        );
        let bytes = encode(&key(), MODULE, &message());
        assert_eq!(
            decode(&key(), MODULE, NodeId::One, &bytes),
            Err(PeerError::Reflected)
        );
    }

    #[test]
    fn an_unknown_version_is_refused_by_name() {
        let mut bytes = encode(&key(), MODULE, &message());
        bytes.truncate(bytes.len() - CODE_BYTES);
        bytes[4] = 9;
        assert_eq!(read(&sign(bytes)), Err(PeerError::Version { found: 9 }));
    }

    #[test]
    fn fields_of_a_later_release_are_skipped() {
        let mut bytes = encode(&key(), MODULE, &message());
        bytes.truncate(bytes.len() - CODE_BYTES);
        bytes.extend_from_slice(b"later");
        assert_eq!(read(&sign(bytes)), Ok(message()));
    }

    #[test]
    fn the_largest_message_fits_a_datagram_of_the_internet() {
        let mut big = message();
        let mut record = big.record.clone().expect("set above");
        for id in 0..100 {
            record.lineage = record
                .lineage
                .grow(GenerationId(u64::MAX - id), NodeId::One);
        }
        big.record = Some(record.clone());
        big.proposal = Some(record);
        let bytes = encode(&key(), MODULE, &big);
        assert!(bytes.len() < 2000, "{} bytes", bytes.len());
        assert_eq!(read(&bytes), Ok(big));
    }
}
