//! Conditions and ranges: what of a file a request wants, if it is what the client knows (RFC 9110, sections 13, 14).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::digits::hexadecimal;

/// The fields of a request that its answer depends on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    range: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_modified_since: Option<SystemTime>,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes.
    pub size: u64,
    /// When its content last changed.
    pub modified: SystemTime,
}

/// What of the file is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    Whole,
    /// The bytes from the first number to before the second.
    Part(u64, u64),
    /// Nothing: the client has it.
    NotModified,
    /// Nothing: the range lies outside the file.
    Unsatisfiable,
}

impl Facts {
    /// Appends the file's strong entity tag: it changes when the size or the time of change does.
    pub fn tag(&self, out: &mut Vec<u8>) {
        let since = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.push(b'"');
        hexadecimal(out, since.as_secs());
        out.push(b'.');
        hexadecimal(out, u64::from(since.subsec_nanos()));
        out.push(b'-');
        hexadecimal(out, self.size);
        out.push(b'"');
    }

    /// When it changed, in whole seconds, as HTTP says times.
    pub fn modified_seconds(&self) -> SystemTime {
        let since = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        UNIX_EPOCH + Duration::from_secs(since.as_secs())
    }
}

impl Conditions {
    /// Takes a field, if it is one of them. Of a field that comes twice the first counts.
    pub fn read(&mut self, name: &str, value: &[u8]) {
        let own = || Some(value.trim_ascii().to_vec());
        if name.eq_ignore_ascii_case("range") {
            self.range = self.range.take().or_else(own);
        } else if name.eq_ignore_ascii_case("if-range") {
            self.if_range = self.if_range.take().or_else(own);
        } else if name.eq_ignore_ascii_case("if-none-match") {
            self.if_none_match = self.if_none_match.take().or_else(own);
        } else if name.eq_ignore_ascii_case("if-modified-since") {
            let time = std::str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text).ok());
            self.if_modified_since = self.if_modified_since.or(time);
        }
    }

    /// What of a file is wanted.
    pub fn select(&self, facts: &Facts) -> Selection {
        let mut tag = Vec::new();
        facts.tag(&mut tag);
        let unchanged = match (&self.if_none_match, self.if_modified_since) {
            (Some(known), _) => names(known, &tag),
            (None, Some(since)) => facts.modified_seconds() <= since,
            (None, None) => false,
        };
        if unchanged {
            return Selection::NotModified;
        }
        let current = self.if_range.as_ref().is_none_or(|known| {
            *known == tag || *known == httpdate::fmt_http_date(facts.modified_seconds()).into_bytes()
        });
        match &self.range {
            Some(range) if current => part(range, facts.size),
            _ => Selection::Whole,
        }
    }
}

/// Whether a list of tags holds this one. A weak one is as good here.
fn names(list: &[u8], tag: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == tag)
}

/// The one range that is asked for. What is not understood, and more than one, is answered with the whole file.
fn part(range: &[u8], size: u64) -> Selection {
    let parsed = || {
        let unit = range.get(..6)?;
        let set = unit.eq_ignore_ascii_case(b"bytes=").then(|| &range[6..])?.trim_ascii();
        let dash = set.iter().position(|byte| *byte == b'-')?;
        let number = |text: &[u8]| {
            if text.is_empty() {
                return Some(None);
            }
            if !text.iter().all(u8::is_ascii_digit) {
                return None;
            }
            // A number beyond all sizes is beyond this one.
            Some(Some(std::str::from_utf8(text).ok()?.parse().unwrap_or(u64::MAX)))
        };
        Some((number(&set[..dash])?, number(&set[dash + 1..])?))
    };
    match parsed() {
        Some((Some(first), last)) if last.is_none_or(|last| first <= last) => {
            if first >= size {
                return Selection::Unsatisfiable;
            }
            Selection::Part(first, last.map_or(size, |last| last.saturating_add(1).min(size)))
        }
        Some((None, Some(0))) => Selection::Unsatisfiable,
        Some((None, Some(_))) if size == 0 => Selection::Unsatisfiable,
        Some((None, Some(last))) => Selection::Part(size.saturating_sub(last), size),
        _ => Selection::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts { size: 100, modified: SystemTime::UNIX_EPOCH };

    fn select(fields: &[(&str, &str)]) -> Selection {
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            conditions.read(name, value.as_bytes());
        }
        conditions.select(&FACTS)
    }

    #[test]
    fn one_range_is_understood_and_others_are_ignored() {
        for (range, selection) in [
            ("bytes=0-0", Selection::Part(0, 1)),
            ("bytes=0-99", Selection::Part(0, 100)),
            ("bytes=0-100", Selection::Part(0, 100)),
            ("Bytes=10-", Selection::Part(10, 100)),
            ("bytes=99-", Selection::Part(99, 100)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=100-200", Selection::Unsatisfiable),
            ("bytes=-1", Selection::Part(99, 100)),
            ("bytes=-100", Selection::Part(0, 100)),
            ("bytes=-1000", Selection::Part(0, 100)),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=0-99999999999999999999999", Selection::Part(0, 100)),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=18446744073709551615-18446744073709551615", Selection::Unsatisfiable),
            ("bytes=0-18446744073709551615", Selection::Part(0, 100)),
            ("bytes=5-4", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=", Selection::Whole),
            ("bytes=a-b", Selection::Whole),
            ("bytes=0-1,3-4", Selection::Whole),
            ("items=0-1", Selection::Whole),
            ("", Selection::Whole),
        ] {
            assert_eq!(select(&[("range", range)]), selection, "{range}");
        }
    }

    #[test]
    fn nothing_of_an_empty_file_can_be_asked_for() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(part(range.as_bytes(), 0), Selection::Unsatisfiable, "{range}");
        }
    }

    #[test]
    fn what_the_client_has_is_not_sent() {
        let mut tag = Vec::new();
        FACTS.tag(&mut tag);
        let tag = std::str::from_utf8(&tag).unwrap();
        assert_eq!(select(&[("If-None-Match", tag)]), Selection::NotModified);
        assert_eq!(select(&[("If-None-Match", &format!("\"x\", W/{tag}"))]), Selection::NotModified);
        assert_eq!(select(&[("If-None-Match", "*")]), Selection::NotModified);
        assert_eq!(select(&[("If-None-Match", "\"x\"")]), Selection::Whole);
        let date = "Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(select(&[("If-Modified-Since", date)]), Selection::NotModified);
        assert_eq!(select(&[("If-Modified-Since", "yesterday")]), Selection::Whole);
        assert_eq!(select(&[("If-None-Match", "\"x\""), ("If-Modified-Since", date)]), Selection::Whole);
        assert_eq!(select(&[("Range", "bytes=0-0"), ("If-Range", tag)]), Selection::Part(0, 1));
        assert_eq!(select(&[("Range", "bytes=0-0"), ("If-Range", date)]), Selection::Part(0, 1));
        assert_eq!(select(&[("Range", "bytes=0-0"), ("If-Range", "\"x\"")]), Selection::Whole);
    }
}
