//! Daemon to daemon over the control link, inside mutual TLS: a length of four bytes and a kind of
//! two, little-endian, then the payload. Kinds of later versions are skipped.

use crate::api::{CommandRequest, Job};
use serde::{Deserialize, Serialize};

/// The version of this protocol.
pub const VERSION: u16 = 1;
/// The oldest version that this release accepts.
pub const VERSION_MIN: u16 = 1;
/// The largest payload in bytes.
pub const PAYLOAD_MAX: usize = 64 << 10;
/// The length of a frame's header.
pub const HEADER_BYTES: usize = 6;

/// One frame.
#[derive(Clone, PartialEq, Debug)]
pub enum ControlFrame {
    /// First, from both sides.
    Hello(Hello),
    /// A message of the peer's core, as [`crate::peer`] wrote it.
    Peer(Vec<u8>),
    /// The sender's [`crate::api::NodeStatus`] in JSON. Sent at each change and once a second,
    /// which also shows that the link is alive.
    Status(Vec<u8>),
    /// The sender's configuration.
    Configuration(Configuration),
    /// Carry out a command here; `job` is the sender's number for it.
    Command { job: u64, request: CommandRequest },
    /// How a command gets on.
    Answer { job: u64, answer: Job },
    /// The sender's users and tokens of the console, with a version: the higher one counts. Sent
    /// when the link comes and at each change.
    Accounts(Vec<u8>),
    /// Give the sender your half of a support bundle, from a byte on; 0 begins a new one.
    SupportAsked(SupportAsked),
    /// A part of it.
    SupportPart(SupportPart),
    /// The link is refused or ended, as a sentence.
    Refuse(String),
    /// Of a later version: to be skipped.
    Unknown(u16),
}

/// What each side says first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The newest version that the sender speaks.
    pub version: u16,
    /// The oldest version that the sender accepts.
    pub version_min: u16,
    /// The cluster's identifier.
    pub cluster: String,
    /// 1 or 2.
    pub node: u8,
    /// The daemon's process.
    pub incarnation: u64,
    /// The release.
    pub release: String,
}

/// The part of the configuration that must be equal, field by field in a fixed order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// Field and value.
    pub fields: Vec<(String, String)>,
}

/// Asks for a part of the receiver's half of a support bundle. One is under way at a time, so that
/// the messages of the cores pass between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SupportAsked {
    /// The same for all parts of one half.
    pub question: u64,
    /// The first byte that is wanted.
    pub from: u64,
    /// How many bytes are wanted at most.
    pub bytes_max: u32,
}

/// A part of the sender's half of a support bundle.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SupportPart {
    /// As it was asked.
    pub question: u64,
    /// Its first byte.
    pub from: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether that is the end of it.
    pub last: bool,
    /// Why there is nothing.
    pub problem: Option<String>,
}

/// Why a frame cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControlError {
    /// Larger than [`PAYLOAD_MAX`].
    #[error("a control frame of {bytes} bytes, the limit is {PAYLOAD_MAX}")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// The payload makes no sense.
    #[error("a control frame of kind {kind} that cannot be read")]
    Malformed {
        /// Which kind.
        kind: u16,
    },
}

const HELLO: u16 = 1;
const PEER: u16 = 2;
const STATUS: u16 = 3;
const CONFIGURATION: u16 = 4;
const COMMAND: u16 = 5;
const ANSWER: u16 = 6;
const REFUSE: u16 = 7;
const ACCOUNTS: u16 = 8;
const SUPPORT_ASKED: u16 = 9;
const SUPPORT_PART: u16 = 10;

/// The length and the kind that a header announces.
///
/// # Errors
/// [`ControlError::TooLarge`]
pub fn header(bytes: [u8; HEADER_BYTES]) -> Result<(usize, u16), ControlError> {
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if length > PAYLOAD_MAX {
        return Err(ControlError::TooLarge { bytes: length });
    }
    Ok((length, u16::from_le_bytes([bytes[4], bytes[5]])))
}

impl ControlFrame {
    /// Header and payload.
    ///
    /// # Errors
    /// [`ControlError::TooLarge`]
    pub fn encode(&self) -> Result<Vec<u8>, ControlError> {
        let plain = "plain data has no map and no unsized field, so encoding cannot fail";
        let (kind, payload) = match self {
            Self::Hello(hello) => (HELLO, postcard::to_stdvec(hello).expect(plain)),
            Self::Peer(bytes) => (PEER, bytes.clone()),
            Self::Status(bytes) => (STATUS, bytes.clone()),
            Self::Configuration(all) => (CONFIGURATION, postcard::to_stdvec(all).expect(plain)),
            // JSON, because requests grow optional fields.
            Self::Command { job, request } => {
                (COMMAND, serde_json::to_vec(&(job, request)).expect(plain))
            }
            Self::Answer { job, answer } => {
                (ANSWER, serde_json::to_vec(&(job, answer)).expect(plain))
            }
            Self::Accounts(bytes) => (ACCOUNTS, bytes.clone()),
            Self::SupportAsked(asked) => (SUPPORT_ASKED, postcard::to_stdvec(asked).expect(plain)),
            Self::SupportPart(part) => (SUPPORT_PART, postcard::to_stdvec(part).expect(plain)),
            Self::Refuse(reason) => (REFUSE, reason.clone().into_bytes()),
            Self::Unknown(kind) => (*kind, Vec::new()),
        };
        if payload.len() > PAYLOAD_MAX {
            return Err(ControlError::TooLarge {
                bytes: payload.len(),
            });
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }

    /// The frame of a kind with this payload.
    ///
    /// # Errors
    /// [`ControlError::Malformed`]
    pub fn decode(kind: u16, payload: Vec<u8>) -> Result<Self, ControlError> {
        let malformed = ControlError::Malformed { kind };
        match kind {
            HELLO => postcard::take_from_bytes(&payload)
                .map(|(hello, _later_fields)| Self::Hello(hello))
                .map_err(|_| malformed),
            PEER => Ok(Self::Peer(payload)),
            STATUS => Ok(Self::Status(payload)),
            CONFIGURATION => postcard::take_from_bytes(&payload)
                .map(|(all, _later_fields)| Self::Configuration(all))
                .map_err(|_| malformed),
            COMMAND => serde_json::from_slice(&payload)
                .map(|(job, request)| Self::Command { job, request })
                .map_err(|_| malformed),
            ANSWER => serde_json::from_slice(&payload)
                .map(|(job, answer)| Self::Answer { job, answer })
                .map_err(|_| malformed),
            ACCOUNTS => Ok(Self::Accounts(payload)),
            SUPPORT_ASKED => postcard::take_from_bytes(&payload)
                .map(|(asked, _later_fields)| Self::SupportAsked(asked))
                .map_err(|_| malformed),
            SUPPORT_PART => postcard::take_from_bytes(&payload)
                .map(|(part, _later_fields)| Self::SupportPart(part))
                .map_err(|_| malformed),
            REFUSE => Ok(Self::Refuse(String::from_utf8_lossy(&payload).into_owned())),
            later => Ok(Self::Unknown(later)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CommandName;

    fn through(frame: &ControlFrame) -> ControlFrame {
        let bytes = frame.encode().expect("small");
        let head = bytes[..HEADER_BYTES].try_into().expect("six bytes");
        let (length, kind) = header(head).expect("small");
        assert_eq!(length, bytes.len() - HEADER_BYTES);
        ControlFrame::decode(kind, bytes[HEADER_BYTES..].to_vec()).expect("just encoded")
    }

    #[test]
    fn frames_survive_the_link() {
        let frames = [
            ControlFrame::Hello(Hello {
                version: 1,
                version_min: 1,
                cluster: "c".into(),
                node: 1,
                incarnation: 5,
                release: "0.1.0".into(),
            }),
            ControlFrame::Configuration(Configuration {
                fields: vec![("a".into(), "b".into())],
            }),
            ControlFrame::Command {
                job: 3,
                request: CommandRequest {
                    node: Some(2),
                    ..CommandRequest::new(CommandName::Swap)
                },
            },
            ControlFrame::Accounts(vec![1, 2]),
            ControlFrame::SupportAsked(SupportAsked {
                question: 7,
                from: 8,
                bytes_max: 9,
            }),
            ControlFrame::SupportPart(SupportPart {
                question: 7,
                bytes: vec![1, 2],
                ..SupportPart::default()
            }),
            ControlFrame::Refuse("no".into()),
            ControlFrame::Unknown(999),
        ];
        for frame in frames {
            assert_eq!(through(&frame), frame);
        }
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_on_both_sides() {
        let large = ControlFrame::Peer(vec![0; PAYLOAD_MAX + 1]);
        assert!(large.encode().is_err());
        assert!(header([1, 0, 1, 0, 2, 0]).is_err());
    }
}
