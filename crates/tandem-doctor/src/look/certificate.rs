//! What a certificate says of itself: whose it is, and from when until when. Of X.509 only that and
//! what stands before it is walked over (RFC 5280, 4.1).

use crate::facts::Looked;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::ErrorKind;
use std::path::Path;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The last second since 1970 of the certificate in a PEM file; none: there is no file.
pub fn end(path: &Path) -> Looked<Option<u64>> {
    let pem = match std::fs::read(path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == ErrorKind::NotFound => return Looked::Seen(None),
        Err(error) => return Looked::Unknown(format!("{}: {error}", path.display())),
    };
    let certificate = CertificateDer::from_pem_slice(&pem).ok();
    match certificate.and_then(|certificate| read(&certificate)) {
        Some(certificate) => Looked::Seen(Some(certificate.until)),
        None => Looked::Unknown(format!("{} is no certificate", path.display())),
    }
}

/// A certificate, as far as people look at one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Its common name, or else all of its name.
    pub subject: String,
    /// Whether its name is that of who signed it.
    pub self_signed: bool,
    /// Its first second since 1970.
    pub from: u64,
    /// Its last second since 1970.
    pub until: u64,
}

/// Reads a certificate in DER; none: it is no certificate.
#[must_use]
pub fn read(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (body, _) = expect(SEQUENCE, certificate)?;
    let rest = match expect(VERSION, body) {
        Some((_, rest)) => rest,
        None => body,
    };
    let (_serial, rest) = expect(INTEGER, rest)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (kind, text, after) = value(validity)?;
    // What began before that may as well have begun then.
    let from = time(kind, text).unwrap_or(0);
    let (kind, text, _) = value(after)?;
    let until = time(kind, text)?;
    let (subject, _) = expect(SEQUENCE, rest)?;
    Some(Certificate {
        subject: name(subject),
        self_signed: subject == issuer,
        from,
        until,
    })
}

/// The common name, or else all parts of a name.
fn name(mut parts: &[u8]) -> String {
    let mut all = Vec::new();
    while let Some((part, rest)) = expect(SET, parts) {
        parts = rest;
        let pair = expect(SEQUENCE, part).and_then(|(pair, _)| {
            let (kind, rest) = expect(OBJECT_IDENTIFIER, pair)?;
            let (_, text, _) = value(rest)?;
            Some((kind, String::from_utf8_lossy(text).into_owned()))
        });
        match pair {
            Some((COMMON_NAME, text)) => return text,
            Some((_, text)) => all.push(text),
            None => {}
        }
    }
    all.join(", ")
}

fn time(kind: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let year = number(text, 0..2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        GENERALIZED_TIME => (number(text, 0..4)?, 4),
        _ => return None,
    };
    let field = |place: usize| number(text, rest + 2 * place..rest + 2 * place + 2);
    let days = days_since_1970(year, field(0)?, field(1)?)?;
    Some(days * 86_400 + field(2)? * 3600 + field(3)? * 60 + field(4)?)
}

/// Tag, contents, and what follows.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((kind, contents, rest))
}

fn expect(kind: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = value(der)?;
    (found == kind).then_some((contents, rest))
}

fn number(text: &str, place: std::ops::Range<usize>) -> Option<u64> {
    text.get(place)?.parse().ok()
}

/// The proleptic Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = match month {
        1 | 2 => (year.checked_sub(1)?, month + 9),
        3..=12 => (year, month - 3),
        _ => return None,
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    // The first of March of the year 0 was so many days before 1970.
    (year * 365 + leap_days + day_of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_of_its_spellings() {
        // Before 2050 two digits, from then on four.
        for (year, seconds) in [(2027, 1_804_204_800), (2090, 3_792_355_200_u64)] {
            let mut parameters =
                rcgen::CertificateParams::new(vec!["h1".to_owned()]).expect("a name");
            parameters.not_after = rcgen::date_time_ymd(year, 3, 5);
            let key = rcgen::KeyPair::generate().expect("a key");
            let made = parameters.self_signed(&key).expect("a certificate");
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("certificate.pem");
            std::fs::write(&path, made.pem()).expect("written");
            assert_eq!(end(&path), Looked::Seen(Some(seconds)), "{year}");
        }
    }

    #[test]
    fn no_file_is_no_certificate_and_anything_else_is_unknown() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("certificate.pem");
        assert_eq!(end(&path), Looked::Seen(None));
        std::fs::write(&path, "no certificate").expect("written");
        assert!(end(&path).seen().is_none());
        assert_eq!(read(&[0x30, 0x82, 0xff]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn whose_it_is_is_its_common_name_or_all_of_its_name() {
        use rcgen::DnType;
        let made = |parts: &[(DnType, &str)]| {
            let mut parameters =
                rcgen::CertificateParams::new(vec!["h1".to_owned()]).expect("a name");
            parameters.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, text) in parts {
                (parameters.distinguished_name).push(kind.clone(), (*text).to_owned());
            }
            parameters.not_before = rcgen::date_time_ymd(2027, 3, 5);
            let key = rcgen::KeyPair::generate().expect("a key");
            let made = parameters.self_signed(&key).expect("a certificate");
            read(made.der()).expect("a certificate")
        };
        let organisation = (DnType::OrganizationName, "Example");
        let named = made(&[organisation.clone(), (DnType::CommonName, "Tandem on h1")]);
        assert_eq!(named.subject, "Tandem on h1");
        assert_eq!((named.self_signed, named.from), (true, 1_804_204_800));
        assert!(named.until > named.from);
        let unnamed = made(&[organisation, (DnType::LocalityName, "Zürich")]);
        assert_eq!(unnamed.subject, "Example, Zürich");
        assert_eq!(made(&[]).subject, "");
    }
}
