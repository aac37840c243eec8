//! The end of a certificate. Of X.509 only what stands before that is walked over (RFC 5280, 4.1).

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

/// The last second since 1970 of the certificate in a PEM file; none: there is no file.
pub fn end(path: &Path) -> Looked<Option<u64>> {
    let pem = match std::fs::read(path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == ErrorKind::NotFound => return Looked::Seen(None),
        Err(error) => return Looked::Unknown(format!("{}: {error}", path.display())),
    };
    let certificate = CertificateDer::from_pem_slice(&pem).ok();
    match certificate.and_then(|certificate| not_after(&certificate)) {
        Some(end) => Looked::Seen(Some(end)),
        None => Looked::Unknown(format!("{} is no certificate", path.display())),
    }
}

fn not_after(der: &[u8]) -> Option<u64> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (body, _) = expect(SEQUENCE, certificate)?;
    let rest = match expect(VERSION, body) {
        Some((_, rest)) => rest,
        None => body,
    };
    let (_serial, rest) = expect(INTEGER, rest)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (_issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, _) = expect(SEQUENCE, rest)?;
    let (_, _not_before, rest) = value(validity)?;
    let (kind, text, _) = value(rest)?;
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
        assert_eq!(not_after(&[0x30, 0x82, 0xff]), None);
        assert_eq!(not_after(&[]), None);
    }
}
