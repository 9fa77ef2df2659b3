//! Numbers with units: sizes (`64K`), durations (`10ms`), octal modes (`0644`), hexadecimal.
//!
//! Used for numbers in a program and for the values of parameters alike. Every multiplication is checked.

use thiserror::Error;

/// What a number measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A plain number, or one with a size unit: bytes.
    Plain,
    /// A time; the value is in nanoseconds.
    Time,
}

/// A number as written, its unit multiplied in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// The value: bytes, nanoseconds or just a number.
    pub value: u64,
    /// What it measures.
    pub dimension: Dimension,
    /// Whether it was written in octal (`0644` or `0o644`).
    pub octal: bool,
}

/// Why a text is not a number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// It does not start with a digit.
    #[error("`{0}` is not a number")]
    NotANumber(String),
    /// A digit that its base does not have.
    #[error("`{digit}` is not a digit of base {base}")]
    Digit {
        /// The character.
        digit: char,
        /// The base: 8 or 16.
        base: u32,
    },
    /// A unit that does not exist.
    #[error(
        "unknown unit `{0}`: sizes take K, M, G or T (powers of 1024), durations ns, us, ms, s, min or h"
    )]
    Unit(String),
    /// The value exceeds 64 bits.
    #[error("the number does not fit into 64 bits")]
    TooLarge,
}

impl Quantity {
    /// Reads a number: `17`, `64K`, `1_000`, `0x1f`, `0644`, `10ms`.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(QuantityError::NotANumber(clip(text)));
        }
        if let Some(digits) = text.strip_prefix("0x") {
            return based(text, digits, 16);
        }
        if let Some(digits) = text.strip_prefix("0o") {
            return based(text, digits, 8);
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        if digits.len() > 1 && digits.starts_with('0') && unit.is_empty() {
            return based(text, &digits[1..], 8);
        }
        let number = digits_value(digits, 10)?;
        let (factor, dimension) = match unit {
            "" => (1, Dimension::Plain),
            "K" => (1 << 10, Dimension::Plain),
            "M" => (1 << 20, Dimension::Plain),
            "G" => (1 << 30, Dimension::Plain),
            "T" => (1 << 40, Dimension::Plain),
            "ns" => (1, Dimension::Time),
            "us" => (1_000, Dimension::Time),
            "ms" => (1_000_000, Dimension::Time),
            "s" => (1_000_000_000, Dimension::Time),
            "min" => (60_000_000_000, Dimension::Time),
            "h" => (3_600_000_000_000, Dimension::Time),
            other => return Err(QuantityError::Unit(clip(other))),
        };
        let value = number.checked_mul(factor).ok_or(QuantityError::TooLarge)?;
        Ok(Quantity { value, dimension, octal: false })
    }
}

fn based(text: &str, digits: &str, base: u32) -> Result<Quantity, QuantityError> {
    if digits.trim_matches('_').is_empty() {
        return Err(QuantityError::NotANumber(clip(text)));
    }
    Ok(Quantity { value: digits_value(digits, base)?, dimension: Dimension::Plain, octal: base == 8 })
}

fn digits_value(digits: &str, base: u32) -> Result<u64, QuantityError> {
    let mut value = 0u64;
    for digit in digits.chars().filter(|c| *c != '_') {
        let Some(number) = digit.to_digit(base) else {
            return Err(QuantityError::Digit { digit, base });
        };
        value = value
            .checked_mul(u64::from(base))
            .and_then(|value| value.checked_add(u64::from(number)))
            .ok_or(QuantityError::TooLarge)?;
    }
    Ok(value)
}

/// The start of a text that may be long, for a message.
pub(super) fn clip(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST {
        return text.escape_debug().to_string();
    }
    format!("{}…", text.chars().take(MOST).collect::<String>().escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        let plain = |value| Ok(Quantity { value, dimension: Dimension::Plain, octal: false });
        let time = |value| Ok(Quantity { value, dimension: Dimension::Time, octal: false });
        let octal = |value| Ok(Quantity { value, dimension: Dimension::Plain, octal: true });
        assert_eq!(Quantity::parse("0"), plain(0));
        assert_eq!(Quantity::parse("64K"), plain(65536));
        assert_eq!(Quantity::parse("1_000"), plain(1000));
        assert_eq!(Quantity::parse("0xff"), plain(255));
        assert_eq!(Quantity::parse("18446744073709551615"), plain(u64::MAX));
        assert_eq!(Quantity::parse("0644"), octal(0o644));
        assert_eq!(Quantity::parse("0o755"), octal(0o755));
        assert_eq!(Quantity::parse("10ms"), time(10_000_000));
        assert_eq!(Quantity::parse("2s"), time(2_000_000_000));
    }

    #[test]
    fn what_is_no_number_says_why() {
        assert_eq!(Quantity::parse("18446744073709551616"), Err(QuantityError::TooLarge));
        assert_eq!(Quantity::parse("16777216T"), Err(QuantityError::TooLarge));
        assert_eq!(Quantity::parse("64k"), Err(QuantityError::Unit("k".into())));
        assert_eq!(Quantity::parse("0689"), Err(QuantityError::Digit { digit: '8', base: 8 }));
        assert_eq!(Quantity::parse("0x1K"), Err(QuantityError::Digit { digit: 'K', base: 16 }));
        assert_eq!(Quantity::parse("0x"), Err(QuantityError::NotANumber("0x".into())));
        assert_eq!(Quantity::parse("K"), Err(QuantityError::NotANumber("K".into())));
        assert_eq!(Quantity::parse(""), Err(QuantityError::NotANumber(String::new())));
    }
}
