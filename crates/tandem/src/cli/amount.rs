//! Amounts of data and of time as people say them: short, and no more exact than they are known.

/// Bytes in decimal units, as disks and networks are sold: 1.2 GB.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A time that is guessed: 40 s, 12 min, 3 h.
pub fn time(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    match seconds {
        0 => "1 s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds} s"),
        _ if seconds < 2 * HOUR => format!("{} min", seconds.div_ceil(MINUTE)),
        _ => format!("{} h", seconds.div_ceil(HOUR)),
    }
}

/// What stands behind an amount that is on its way: nothing while nobody can guess.
pub fn left(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |left| format!(", about {} left", time(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_digit_behind_the_point() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(999_999), "999.9 kB");
        assert_eq!(bytes(1_000_000), "1.0 MB");
        assert_eq!(bytes(1_250_000_000), "1.2 GB");
        assert_eq!(bytes(u64::MAX), "18446.7 PB");
    }

    #[test]
    fn the_longer_a_time_the_rougher_it_is_said() {
        assert_eq!(time(0), "1 s");
        assert_eq!(time(119), "119 s");
        assert_eq!(time(120), "2 min");
        assert_eq!(time(7199), "120 min");
        assert_eq!(time(7200), "2 h");
    }
}
