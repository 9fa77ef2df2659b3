//! The answers this server gives, by number.

/// A status of HTTP (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The file.
    Ok,
    /// A part of the file.
    PartialContent,
    /// The path is a directory's and lacks its last slash.
    MovedPermanently,
    /// The client has it already.
    NotModified,
    /// The request is malformed.
    BadRequest,
    /// There is something, and it is not served.
    Forbidden,
    /// There is nothing.
    NotFound,
    /// Something other than GET and HEAD.
    MethodNotAllowed,
    /// The request did not come in time.
    RequestTimeout,
    /// The request has a body.
    ContentTooLarge,
    /// The path is longer than a path can be.
    UriTooLong,
    /// The range lies outside the file.
    RangeNotSatisfiable,
    /// The head of the request is too long.
    HeaderFieldsTooLarge,
    /// The file cannot be read.
    InternalServerError,
    /// No descriptor or memory is left.
    ServiceUnavailable,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}

impl Status {
    /// Its line, from the number on.
    pub const fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::PartialContent => "206 Partial Content",
            Status::MovedPermanently => "301 Moved Permanently",
            Status::NotModified => "304 Not Modified",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::UriTooLong => "414 URI Too Long",
            Status::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Status::HeaderFieldsTooLarge => "431 Request Header Fields Too Large",
            Status::InternalServerError => "500 Internal Server Error",
            Status::ServiceUnavailable => "503 Service Unavailable",
            Status::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}
