//! Numbers for readers.

/// A number with three significant digits, and with separators from a thousand on.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 999.5 => with_separators(value),
        large if large >= 99.95 => format!("{value:.0}"),
        large if large >= 9.995 => format!("{value:.1}"),
        large if large >= 0.1 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

fn with_separators(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count, with separators.
pub(crate) fn counted(count: u64) -> String {
    with_separators(as_f64(count))
}

/// A short form: 1.2k, 3.4M.
pub(crate) fn compact(value: f64) -> String {
    let (value, unit) = match value {
        millions if millions >= 999_500.0 => (millions / 1e6, "M"),
        thousands if thousands >= 999.5 => (thousands / 1e3, "k"),
        other => (other, ""),
    };
    let digits = match value {
        large if large >= 99.95 => 0,
        middling if middling >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    as_f64(bytes) / f64::from(1 << 20)
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_little_room_numbers_lose_their_zeros() {
        let shown = [24_100.0, 20_000.0, 1_500_000.0, 100.0, 2.0, 0.25, 0.0].map(compact);
        assert_eq!(shown, ["24.1k", "20k", "1.5M", "100", "2", "0.25", "0"]);
    }

    #[test]
    fn numbers_have_three_digits_or_separators() {
        let shown: Vec<String> = [1_234_567.0, 999.6, 123.4, 12.34, 1.234, 0.0512, 0.0]
            .into_iter()
            .map(shown)
            .collect();
        assert_eq!(shown, ["1,234,567", "1,000", "123", "12.3", "1.23", "0.051", "0"]);
    }
}
