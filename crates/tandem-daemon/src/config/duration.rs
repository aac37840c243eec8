//! Durations as people write them: a number and a unit.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurationError {
    /// No unit, or another one.
    #[error("a duration needs a unit: `ms`, `s`, `m` or `h`, as in \"5s\" or \"300ms\"")]
    Unit,
    /// What stands before the unit is no number.
    #[error("a duration is a number and a unit, as in \"5s\", \"0.5s\" or \"300ms\"")]
    Number,
}

/// Parses `300ms`, `5s`, `0.5s`, `5m`, `1h`. Finer than a millisecond is rounded.
///
/// # Errors
/// [`DurationError`]
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or(DurationError::Unit)?;
    let (number, unit) = text.split_at(split);
    let milliseconds: f64 = match unit {
        "ms" => 1.0,
        "s" => 1000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return Err(DurationError::Unit),
    };
    let number = number.trim_end();
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = match plain {
        true => number.parse().map_err(|_| DurationError::Number)?,
        false => return Err(DurationError::Number),
    };
    // A thousand years is beyond every limit, and still fits.
    let milliseconds = (number * milliseconds).round().min(3.2e13);
    Ok(Duration::from_millis(milliseconds as u64))
}

/// Writes a duration as [`parse_duration`] reads it.
pub(crate) fn words(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds % 1000 {
        0 => format!("{}s", milliseconds / 1000),
        _ => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("300ms", 300),
            ("5s", 5000),
            ("0.3s", 300),
            ("1.5 m", 90_000),
            ("2h", 7_200_000),
        ] {
            let expected = Ok(Duration::from_millis(milliseconds));
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        for text in [
            "", "5", "s", "-5s", "1e3s", "5 sec", "5s5s", "NaNs", "infs", ".s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
