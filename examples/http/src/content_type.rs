//! What a file is, by the end of its name.

/// Ends of names and what they stand for, in order of the ends.
const TYPES: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// The content type of the file with this path.
pub fn of(path: &[u8]) -> &'static str {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let end = name.iter().rposition(|byte| *byte == b'.').map_or(&[][..], |dot| &name[dot + 1..]);
    let mut lower = [0; 5];
    let Some(lower) = lower.get_mut(..end.len()) else { return "application/octet-stream" };
    lower.copy_from_slice(end);
    lower.make_ascii_lowercase();
    let found = TYPES.binary_search_by(|(known, _)| known.as_bytes().cmp(lower));
    found.map_or("application/octet-stream", |place| TYPES[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_sorted_and_found_in_any_case() {
        assert!(TYPES.is_sorted_by_key(|(end, _)| *end));
        for (end, kind) in TYPES {
            assert_eq!(of(format!("a.b/{}", end.to_uppercase()).as_bytes()), "application/octet-stream");
            assert_eq!(of(format!("a/b.{}", end.to_uppercase()).as_bytes()), *kind);
        }
        assert_eq!(of(b""), "application/octet-stream");
        assert_eq!(of(b"html"), "application/octet-stream");
        assert_eq!(of(b"a.unheard-of"), "application/octet-stream");
        assert_eq!(of(b"a.html/b"), "application/octet-stream");
    }
}
