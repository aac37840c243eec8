//! Whatever bytes come: decoding says no, and never panics, hangs or lets a bad name through.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use tandem_wire::stream::{
    ApplyFailed, Attributes, Differs, Entry, FrameError, FrameHeader, FrameKind, Hello, Name,
    ObjectKind, Operation, PAYLOAD_MAX, Progress, Refusal, Timestamp, Welcome, WritePlace, decode,
    encode,
};

fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), any::<u32>()).prop_map(|(seconds, nanoseconds)| Timestamp {
        seconds,
        nanoseconds,
    })
}

fn name() -> impl Strategy<Value = Name> {
    vec(1..=255_u8, 1..40).prop_filter_map("a name", |bytes| Name::new(&bytes).ok())
}

fn kind() -> impl Strategy<Value = ObjectKind> {
    prop_oneof![
        Just(ObjectKind::File),
        Just(ObjectKind::Directory),
        vec(any::<u8>(), 0..50).prop_map(ObjectKind::Symlink),
        any::<u64>().prop_map(ObjectKind::BlockDevice),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (any::<u32>(), any::<u32>(), any::<u32>(), time(), time()).prop_map(
        |(mode, uid, gid, atime, mtime)| Attributes {
            mode,
            uid,
            gid,
            atime,
            mtime,
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    (name(), any::<u64>(), kind(), any::<bool>()).prop_map(|(name, object, kind, linked)| Entry {
        name,
        object,
        kind,
        linked,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (
            any::<u64>(),
            any::<u64>(),
            name(),
            kind(),
            attributes(),
            time()
        )
            .prop_map(|(object, parent, name, kind, attributes, parent_mtime)| {
                Operation::Create {
                    object,
                    parent,
                    name,
                    kind,
                    attributes,
                    parent_mtime,
                }
            }),
        (
            any::<u64>(),
            name(),
            any::<u64>(),
            name(),
            any::<bool>(),
            time()
        )
            .prop_map(
                |(from_parent, from_name, to_parent, to_name, exchange, at)| Operation::Rename {
                    from_parent,
                    from_name,
                    to_parent,
                    to_name,
                    exchange,
                    from_parent_mtime: at,
                    to_parent_mtime: at,
                }
            ),
        (
            any::<u64>(),
            vec(entry(), 0..5),
            any::<bool>(),
            any::<bool>()
        )
            .prop_map(|(object, entries, first, last)| Operation::ListDirectory {
                object,
                entries,
                first,
                last,
            }),
        vec(any::<u64>(), 0..9).prop_map(|objects| Operation::Forget { objects }),
    ]
}

/// No name that comes out of the decoder can lead anywhere but to one entry of one directory.
fn names_of(operation: &Operation) -> Vec<Name> {
    match operation {
        Operation::Introduce { name, .. }
        | Operation::Create { name, .. }
        | Operation::Link { name, .. }
        | Operation::Unlink { name, .. }
        | Operation::RemoveDirectory { name, .. } => vec![name.clone()],
        Operation::Rename {
            from_name, to_name, ..
        } => vec![from_name.clone(), to_name.clone()],
        Operation::ListDirectory { entries, .. } => {
            entries.iter().map(|entry| entry.name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

fn check_names(operation: &Operation) -> Result<(), TestCaseError> {
    for name in names_of(operation) {
        let bytes = name.as_bytes();
        prop_assert!(!bytes.is_empty() && bytes.len() <= 255);
        prop_assert!(!bytes.contains(&b'/') && !bytes.contains(&0));
        prop_assert!(bytes != b"." && bytes != b"..");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_decode_to_something_sound_or_to_an_error(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(operation) = decode::<Operation>(&bytes) {
            check_names(&operation)?;
        }
        let _ = decode::<Hello>(&bytes);
        let _ = decode::<Welcome>(&bytes);
        let _ = decode::<Refusal>(&bytes);
        let _ = decode::<Progress>(&bytes);
        let _ = decode::<Differs>(&bytes);
        let _ = decode::<ApplyFailed>(&bytes);
    }

    #[test]
    fn an_operation_survives_and_an_altered_one_is_sound_or_refused(
        operation in operation(),
        at in any::<usize>(),
        byte in any::<u8>(),
        cut in any::<usize>(),
    ) {
        let bytes = encode(&operation);
        prop_assert_eq!(&decode::<Operation>(&bytes), &Ok(operation));
        let mut altered = bytes.clone();
        let at = at % altered.len();
        altered[at] = byte;
        if let Ok(operation) = decode::<Operation>(&altered) {
            check_names(&operation)?;
        }
        let cut = cut % bytes.len();
        prop_assert!(decode::<Operation>(&bytes[..cut]).is_err());
        let longer = [&bytes[..], &[byte]].concat();
        prop_assert!(decode::<Operation>(&longer).is_err());
    }

    #[test]
    fn any_header_is_bounded_before_its_payload_is_awaited(bytes in any::<[u8; 64]>()) {
        if let Ok((header, _)) = FrameHeader::parse(&bytes) {
            prop_assert!(header.payload_bytes.get() <= PAYLOAD_MAX);
        }
    }

    #[test]
    fn one_flipped_bit_in_header_or_payload_is_noticed(
        payload in vec(any::<u8>(), 0..300),
        object in any::<u64>(),
        offset in any::<u64>(),
        mtime in time(),
        bit in any::<usize>(),
    ) {
        let place = WritePlace { object, offset, mtime };
        let header = FrameHeader::write(3, 4, 5, place).sealed(&payload);
        prop_assert_eq!(header.mtime(), mtime);
        let mut bytes = [header.bytes(), &payload].concat();
        let bit = bit % (bytes.len() * 8);
        let read = |bytes: &[u8]| -> Result<FrameKind, FrameError> {
            let (head, rest) = bytes.split_first_chunk().expect("a whole header");
            let (header, kind) = FrameHeader::parse(head)?;
            header.verify(rest)?;
            Ok(kind)
        };
        prop_assert_eq!(read(&bytes), Ok(FrameKind::Write));
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read(&bytes).is_err());
    }
}
