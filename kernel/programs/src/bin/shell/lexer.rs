//! Words of the program text: names, numbers, strings and signs, as `docs/program.md` has them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A name or a verb.
    Name(String),
    /// A number, its unit multiplied in.
    Number(u64),
    /// A time.
    Time(Duration),
    /// A string, its escapes replaced.
    Text(String),
    /// `=` or `,`.
    Sign(char),
}

/// Splits a line into words. What is wrong is told in a sentence.
pub fn split(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            '#' => break,
            '=' | ',' => (Word::Sign(first), 1),
            '"' => string(rest)?,
            _ if first.is_ascii_alphanumeric() || first == '_' => {
                let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
                let text = rest.split(|character| !is_part(character)).next().unwrap_or_default();
                let word =
                    if first.is_ascii_digit() { quantity(text)? } else { Word::Name(text.to_string()) };
                (word, text.len())
            }
            _ => return Err(format!("`{first}` is no part of the language")),
        };
        words.push(word);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(words)
}

/// The string that `text` begins with, and how many bytes of it that is.
fn string(text: &str) -> Result<(Word, usize), String> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Word::Text(value), at + 1)),
            '\\' => {
                let escaped = characters.next().map(|(_, escaped)| escaped);
                value.push(match escaped {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('0') => '\0',
                    Some(same @ ('\\' | '"' | '$')) => same,
                    _ => return Err("the shell knows the escapes \\n \\t \\r \\0 \\\\ \\\" \\$".to_string()),
                });
            }
            _ => value.push(character),
        }
    }
    Err("the string has no end: close it with `\"`".to_string())
}

/// A number with or without a unit.
fn quantity(text: &str) -> Result<Word, String> {
    let text = text.replace('_', "");
    let unknown = || format!("`{text}` is not a number: sizes take K, M, G or T, times ns, us, ms, s or min");
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map(Word::Number).map_err(|_| unknown());
    }
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| unknown())?;
    let size = |shift: u32| number.checked_mul(1 << shift).map(Word::Number);
    let time = |nanoseconds: u64| number.checked_mul(nanoseconds).map(Duration::from_nanos).map(Word::Time);
    match &text[digits.len()..] {
        "" => Some(Word::Number(number)),
        "K" => size(10),
        "M" => size(20),
        "G" => size(30),
        "T" => size(40),
        "ns" => time(1),
        "us" => time(1_000),
        "ms" => time(1_000_000),
        "s" => time(1_000_000_000),
        "min" => time(60_000_000_000),
        _ => return Err(unknown()),
    }
    .ok_or_else(|| format!("`{text}` does not fit into 64 bits"))
}
