//! The path of a request, and the patterns that rules and bindings write paths with. Segment by segment, without regular
//! expressions. A path that two servers could read differently is refused rather than normalised. Must not know hosts.

use std::fmt;

/// The most bytes of a path with its query.
const MAX_PATH: usize = 16 * 1024;
/// The most segments.
const MAX_SEGMENTS: usize = 128;

/// A path with its query, exactly as it goes out, whose segments have one meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestPath {
    text: String,
    /// Where the query begins: the length of the text if there is none.
    query_at: usize,
    /// The decoded segments, as a server reads them that leaves encoded slashes alone.
    segments: Vec<String>,
    /// The decoded segments, as a server reads them that takes encoded slashes for slashes; only where that differs.
    deep: Option<Vec<String>>,
}

/// Why a path was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path must begin with a slash")]
    NotAbsolute,
    /// It is longer or deeper than what is looked at.
    #[error("the path is too long")]
    TooLong,
    /// A control byte, a space, a backslash, a fragment, or a character beyond ASCII.
    #[error("the path has characters that must be percent-encoded")]
    Characters,
    /// A percent sign without two hexadecimal digits, or one that hides a control byte.
    #[error("the path has a percent sign that encodes nothing sensible")]
    Encoding,
    /// `.` or `..`, encoded or not.
    #[error("the path has `.` or `..` in it, which servers read in different ways")]
    Dots,
}

impl RequestPath {
    /// Reads an origin-form target: a path, and maybe a query.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#');
        if !text.bytes().all(is_plain) {
            return Err(PathError::Characters);
        }
        let query_at = text.find('?').unwrap_or(text.len());
        let segments = text[1..query_at].split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
        let deep = segments
            .iter()
            .any(|segment| segment.contains(['/', '\\']))
            .then(|| segments.iter().flat_map(|segment| segment.split(['/', '\\'])).map(str::to_owned).collect());
        let read = deep.as_ref().unwrap_or(&segments);
        if read.len() > MAX_SEGMENTS {
            return Err(PathError::TooLong);
        }
        if read.iter().any(|segment| is_dots(segment)) {
            return Err(PathError::Dots);
        }
        Ok(Self { text: text.to_owned(), query_at, segments, deep })
    }

    /// The path `/`.
    pub fn root() -> Self {
        Self { text: "/".to_owned(), query_at: 1, segments: vec![String::new()], deep: None }
    }

    /// Path and query as they go out.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path without its query, as it goes out.
    pub fn path(&self) -> &str {
        &self.text[..self.query_at]
    }

    /// What follows the first question mark.
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.query_at + 1..)
    }

    /// The decoded segments in each way in which a server may read them.
    fn readings(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.segments).chain(&self.deep)
    }

    /// Whether it is the path by which git says what it wants to fetch from `/OWNER/NAME`, however a server reads it. Just
    /// that deep: beneath an interface, a file to be written may have any name.
    pub(crate) fn is_git_fetch(&self) -> bool {
        self.readings().all(|segments| segments.len() == 3 && segments[2] == "git-upload-pack")
    }

    /// Whether it ends in these segments, however a server reads it.
    pub(crate) fn ends_with(&self, end: &[&str]) -> bool {
        let ends = |segments: &Vec<String>| {
            segments.len() >= end.len() && segments.iter().rev().zip(end.iter().rev()).all(|(own, other)| own == other)
        };
        self.readings().all(ends)
    }

    /// Whether its last segment stands right behind this one, however a server reads it.
    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.deep.is_none() && self.segments.iter().rev().nth(1).is_some_and(|segment| segment == folder)
    }

    /// Its last segment, where there is no doubt which one that is.
    pub(crate) fn last(&self) -> Option<&str> {
        self.segments.last().filter(|_| self.deep.is_none()).map(String::as_str)
    }

    /// What a relative reference means from here. Dots are not resolved but refused.
    pub(crate) fn join(&self, reference: &str) -> Result<Self, PathError> {
        if reference.starts_with('/') {
            return Self::parse(reference);
        }
        if reference.starts_with('?') {
            return Self::parse(&format!("{}{reference}", self.path()));
        }
        let folder = self.path().rfind('/').map_or("/", |end| &self.path()[..=end]);
        Self::parse(&format!("{folder}{reference}"))
    }
}

/// One segment decoded. What decodes to another encoding of a slash, a dot or a percent sign is refused: it was meant for
/// a server that decodes twice.
fn decode(segment: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let Some((digits, tail)) = rest.split_first_chunk::<2>() else { return Err(PathError::Encoding) };
        let hex = |digit: u8| char::from(digit).to_digit(16);
        let (Some(high), Some(low)) = (hex(digits[0]), hex(digits[1])) else { return Err(PathError::Encoding) };
        let byte = u8::try_from(high * 16 + low).map_err(|_| PathError::Encoding)?;
        if byte.is_ascii_control() {
            return Err(PathError::Encoding);
        }
        bytes.push(byte);
        rest = tail;
    }
    let text = String::from_utf8(bytes).map_err(|_| PathError::Encoding)?;
    let lower = text.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%25", "%00"].iter().any(|twice| lower.contains(twice)) {
        return Err(PathError::Encoding);
    }
    Ok(text)
}

/// Whether some server takes the segment for a step: `.`, `..`, or either with parameters after a semicolon.
fn is_dots(segment: &str) -> bool {
    matches!(segment.split(';').next().unwrap_or_default(), "." | "..")
}

/// A pattern of paths: segments after slashes. `*` within a segment stands for any characters of that segment (one per
/// segment, at least one character where it is all of it), and `**` at the end for anything below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    segments: Vec<SegmentPattern>,
    /// Whether more segments may follow.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SegmentPattern {
    Exactly(String),
    Any,
    Around { before: String, after: String },
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no path pattern: {why}")]
pub struct PatternError {
    pattern: String,
    why: &'static str,
}

impl PathPattern {
    /// Reads a pattern such as `/api/v1/**` or `/*/*/info/refs`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let refuse = |why| PatternError { pattern: text.chars().take(200).collect(), why };
        let Some(rest) = text.strip_prefix('/') else { return Err(refuse("it must begin with a slash")) };
        if rest.contains(['?', '#', '\\', '%']) || !rest.chars().all(|c| c.is_ascii_graphic()) {
            return Err(refuse("write it decoded, in ASCII, without a query"));
        }
        let (rest, open) = match rest.strip_suffix("**") {
            Some("") => return Ok(Self { segments: Vec::new(), open: true }),
            Some(before) => match before.strip_suffix('/') {
                Some(before) => (before, true),
                None => return Err(refuse("`**` must be a segment of its own")),
            },
            None => (rest, false),
        };
        let segments: Vec<_> = rest.split('/').map(SegmentPattern::parse).collect::<Option<_>>().ok_or_else(|| {
            refuse("a segment may hold one `*`; `**` stands at the end only, and `.` or `..` nowhere")
        })?;
        if segments.len() > MAX_SEGMENTS {
            return Err(refuse("it is too deep"));
        }
        Ok(Self { segments, open })
    }

    /// Whether one of the patterns covers the path, in each way in which a server may read it: for rules that allow.
    pub fn cover(patterns: &[Self], path: &RequestPath) -> bool {
        path.readings().all(|segments| patterns.iter().any(|pattern| pattern.covers(segments)))
    }

    /// Whether one of the patterns covers the path in any way in which a server may read it: for rules that deny.
    pub fn touch(patterns: &[Self], path: &RequestPath) -> bool {
        path.readings().any(|segments| {
            // Servers merge slashes and drop what follows a semicolon, each as it likes.
            let merged: Vec<String> = segments
                .iter()
                .map(|segment| segment.split(';').next().unwrap_or_default().to_owned())
                .filter(|segment| !segment.is_empty())
                .collect();
            patterns.iter().any(|pattern| pattern.covers(segments) || pattern.covers(&merged))
        })
    }

    fn covers(&self, segments: &[String]) -> bool {
        let enough =
            if self.open { segments.len() > self.segments.len() } else { segments.len() == self.segments.len() };
        // `/a/**` covers `/a` as well, and `/**` covers all.
        let exactly = self.open && segments.len() == self.segments.len();
        (enough || exactly) && self.segments.iter().zip(segments).all(|(pattern, segment)| pattern.covers(segment))
    }
}

impl SegmentPattern {
    fn parse(text: &str) -> Option<Self> {
        if is_dots(text) {
            return None;
        }
        match text.split_once('*') {
            None => Some(Self::Exactly(text.to_owned())),
            Some((_, after)) if after.contains('*') => None,
            Some(("", "")) => Some(Self::Any),
            Some((before, after)) => Some(Self::Around { before: before.to_owned(), after: after.to_owned() }),
        }
    }

    fn covers(&self, segment: &str) -> bool {
        match self {
            Self::Exactly(text) => text == segment,
            Self::Any => !segment.is_empty(),
            Self::Around { before, after } => {
                segment.len() > before.len() + after.len() && segment.starts_with(before) && segment.ends_with(after)
            }
        }
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                SegmentPattern::Exactly(text) => write!(f, "/{text}")?,
                SegmentPattern::Any => f.write_str("/*")?,
                SegmentPattern::Around { before, after } => write!(f, "/{before}*{after}")?,
            }
        }
        if self.open { f.write_str("/**") } else { Ok(()) }
    }
}
