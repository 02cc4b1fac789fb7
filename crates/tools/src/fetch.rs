//! `fetch`: one request to the web. A plain GET is a fetch; whatever else says something to somebody is a sending, whose
//! every part is shown; a stored secret may go along where it is bound. The request itself, with its redirects, is made and
//! judged in `egress`. Must not open a socket or see a secret's value.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use egress::{EgressRules, FetchError, FetchRequest, Fetched, Fetcher, Reach, Redirects, WebTarget};
use policy::Grant;
use serde::Deserialize;
use serde_json::{Value, json};
use types::{
    BoxFuture, Confidentiality, Effect, Integrity, InvalidInput, Label, SecretName, SessionId, Sink, Tool, ToolContext,
    ToolOutput, ToolSpec, WorkspaceName,
};

use crate::{
    arguments::{one_line, parse},
    html,
    spec::{Field, Presence::*, spec, text},
};

const FIELDS: &str = "url, method?, headers?, body?, credential?";
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const MAX_URL: usize = 4_000;
const MAX_BODY: usize = 256 * 1024;
/// The most characters of an answer that are shown.
const MAX_SHOWN: usize = 30_000;

/// How a session reaches the web.
pub struct Web {
    /// Makes the requests.
    pub fetcher: Fetcher,
    /// The rules that it judges by.
    pub rules: Arc<EgressRules>,
    /// The most bytes of one answer.
    pub max_bytes: usize,
    /// How long one fetch may take.
    pub timeout: Duration,
}

/// Gives a session's way to the web, in its workspace. The error is a sentence for the model.
pub type Webs = Arc<dyn Fn(SessionId, &WorkspaceName) -> Result<Web, String> + Send + Sync>;

pub(crate) struct Fetch {
    spec: ToolSpec,
    webs: Webs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    url: String,
    method: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
    credential: Option<SecretName>,
}

/// Arguments that make sense.
struct Checked {
    /// As it was written: what the owner may have written, too.
    written: String,
    url: WebTarget,
    method: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    credential: Option<SecretName>,
}

fn check(input: &Value) -> Result<Checked, InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    let refuse = |why: String| Err(InvalidInput(format!("{why}; the fields are: {FIELDS}")));
    let written = arguments.url.trim().to_owned();
    if written.len() > MAX_URL {
        return refuse(format!("`url` has more than {MAX_URL} characters"));
    }
    let url = WebTarget::parse_written(&written).map_err(|error| InvalidInput(format!("`url`: {error}")))?;
    let method = arguments.method.unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        return refuse(format!("`method` must be one of {}", METHODS.join(", ")));
    }
    if arguments.body.as_ref().is_some_and(|body| body.len() > MAX_BODY) {
        return refuse(format!("`body` has more than {MAX_BODY} bytes"));
    }
    if arguments.body.is_some() && (method == "GET" || method == "HEAD") {
        return refuse(format!("{method} has no `body`"));
    }
    Ok(Checked {
        written,
        url,
        method,
        headers: arguments.headers.unwrap_or_default().into_iter().collect(),
        body: arguments.body,
        credential: arguments.credential,
    })
}

impl Checked {
    fn only_reads(&self) -> bool {
        self.method == "GET" || self.method == "HEAD"
    }

    /// Everything that is said beside the address, whole.
    fn payload(&self) -> Option<String> {
        let mut lines: Vec<String> = self.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        if let Some(body) = &self.body {
            lines.push(String::new());
            lines.push(body.clone());
        }
        if lines.is_empty() && self.only_reads() { None } else { Some(lines.join("\n")) }
    }

    fn effect(&self) -> Effect {
        let payload = self.payload();
        let sink = match (&self.credential, &payload) {
            (Some(_), _) => Sink::Credential,
            (None, None) => Sink::Fetch,
            // A header can carry words out as well as a body can.
            (None, Some(_)) => Sink::Send,
        };
        let secret = self.credential.as_ref().map_or(String::new(), |name| format!(" with the secret {name}"));
        Effect {
            sink,
            read_only: self.only_reads(),
            destinations: vec![self.written.clone()],
            reversible: false,
            payload,
            summary: format!("fetch: {} {}{secret}", self.method, one_line(&self.written, 200)),
            count: 1,
        }
    }

    /// Foreign words in the session could have chosen an address that leads on to another with private ones in it.
    fn redirects(&self, label: Label) -> Redirects {
        let is_free = label.integrity == Integrity::Trusted || label.confidentiality == Confidentiality::Public;
        if is_free && self.only_reads() && self.credential.is_none() {
            Redirects::Follow
        } else {
            Redirects::SameOrigin
        }
    }

    /// What comes back was written by others. It is private if not everybody can get it.
    fn label(&self, web: &Web, answer: &WebTarget) -> Label {
        let is_private = |url: &WebTarget| {
            let rule = web.rules.connection(url.scheme, &url.target);
            rule.map_or(true, |rule| rule.reach != Reach::Public)
        };
        if self.credential.is_some() || is_private(&self.url) || is_private(answer) {
            Label::UNKNOWN
        } else {
            Label::FOREIGN
        }
    }
}

impl Fetch {
    pub(crate) fn new(webs: Webs) -> Self {
        let headers = json!({"type": "object", "additionalProperties": {"type": "string"}});
        let method = json!({"type": "string", "enum": METHODS});
        let fields = vec![
            Field("url", text(), Required),
            Field("method", method, Optional),
            Field("headers", headers, Optional),
            Field("body", text(), Optional),
            Field("credential", text(), Optional),
        ];
        let description = "Fetch a web page or call an HTTP interface; HTML comes back as text. `credential` names a \
                           stored secret to send where it is bound.";
        Self { spec: spec("fetch", description, fields), webs }
    }

    async fn act(&self, grant: &Grant, input: &Value, context: &ToolContext) -> Result<ToolOutput, ToolOutput> {
        let checked = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let effect = checked.effect();
        // The grant is for what was judged; these arguments must not be more.
        if grant.sink() != effect.sink || (grant.is_read_only() && !effect.read_only) {
            return Err(ToolOutput::error("nothing was sent: the call was not granted as what it is"));
        }
        let web = (self.webs)(context.session, &context.workspace).map_err(ToolOutput::error)?;
        let request = FetchRequest {
            url: checked.url.clone(),
            method: checked.method.clone(),
            headers: checked.headers.clone(),
            body: checked.body.clone().map(String::into_bytes),
            secret: checked.credential.clone(),
            redirects: checked.redirects(context.label),
            max_bytes: web.max_bytes,
            timeout: web.timeout,
        };
        let fetched = web.fetcher.fetch(request, &context.cancel).await.map_err(|error| refused(&error))?;
        let label = checked.label(&web, &fetched.url);
        Ok(ToolOutput { text: shown(&checked.url, &fetched), is_error: fetched.status >= 400, label })
    }
}

/// What was refused before anything was sent is told in our own words. A redirect names a host that the server chose, and
/// a failure may depend on what it did, so that both count as its words.
fn refused(error: &FetchError) -> ToolOutput {
    let (hint, label) = match error {
        FetchError::Denied { .. } => ("nothing came back: ", Label::CLEAN),
        FetchError::Redirect { .. } => ("nothing came back: ", Label::UNKNOWN),
        FetchError::Failed(_) => ("the fetch failed: ", Label::UNKNOWN),
    };
    ToolOutput { label, ..ToolOutput::error(format!("{hint}{error}")) }
}

/// The answer as text: its status, where it came from if that is elsewhere, and what it says.
fn shown(asked: &WebTarget, fetched: &Fetched) -> String {
    let mut head = format!("HTTP {}", fetched.status);
    if fetched.url != *asked {
        head.push_str(&format!(", from {}", fetched.url));
    }
    if let Some(location) = &fetched.location {
        head.push_str(&format!(", leads to {}", one_line(location, 500)));
    }
    let body = match readable(fetched) {
        Ok(body) => body,
        Err(what) => return format!("{head}\n[{what}]"),
    };
    let characters = body.chars().count();
    let end = body.char_indices().nth(MAX_SHOWN).map_or(body.len(), |(at, _)| at);
    let note = match (fetched.is_cut, characters > MAX_SHOWN) {
        (true, _) => "\n[the answer was longer than may be read]".to_owned(),
        (false, true) => format!("\n[{} more characters]", characters - MAX_SHOWN),
        (false, false) => String::new(),
    };
    format!("{head}\n{}{note}", &body[..end])
}

/// The body as text, or what it is instead.
fn readable(fetched: &Fetched) -> Result<String, String> {
    let (kind, charset) = content_type(fetched.content_type.as_deref().unwrap_or_default());
    let looks_like_text = !fetched.body.iter().take(8192).any(|byte| *byte == 0);
    let is_text = kind.starts_with("text/")
        || ["json", "xml", "javascript", "yaml", "toml", "x-www-form-urlencoded", "x-ndjson", "graphql"]
            .iter()
            .any(|word| kind.starts_with("application/") && kind.ends_with(word))
        || (kind.is_empty() && std::str::from_utf8(&fetched.body).is_ok());
    if fetched.body.is_empty() {
        return Ok(String::new());
    }
    if !is_text || !looks_like_text {
        let kind = if kind.is_empty() { "no stated kind" } else { &kind };
        return Err(format!("{} bytes of {}, which is not text", fetched.body.len(), one_line(kind, 80)));
    }
    let body = match charset.as_str() {
        // Each byte is the character of its number.
        "iso-8859-1" | "latin1" | "windows-1252" => {
            Cow::Owned(fetched.body.iter().map(|byte| char::from(*byte)).collect())
        }
        _ => String::from_utf8_lossy(&fetched.body),
    };
    let is_page = kind == "text/html" || kind == "application/xhtml+xml";
    let text = if is_page { html::text_of(&body) } else { body.into_owned() };
    Ok(text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect())
}

/// The kind and the character set, in lower case.
fn content_type(text: &str) -> (String, String) {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| part.strip_prefix("charset=").map(|set| set.trim_matches('"').to_owned()));
    (kind, charset.unwrap_or_default())
}

impl Tool<Grant> for Fetch {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        check(input).map(|checked| checked.effect())
    }

    fn run<'a>(&'a self, grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move { self.act(grant, input, context).await.unwrap_or_else(|refused| refused) })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn checked(input: Value) -> Checked {
        check(&input).unwrap()
    }

    fn fetched(kind: &str, body: &[u8]) -> Fetched {
        Fetched {
            status: 200,
            url: WebTarget::parse_written("https://example.com/").unwrap(),
            content_type: Some(kind.to_owned()),
            location: None,
            body: body.to_vec(),
            retry_after: None,
            is_cut: false,
        }
    }

    #[test]
    fn whatever_is_said_beside_the_address_is_shown_whole() {
        let post =
            checked(json!({"url": "https://example.com/", "method": "POST", "headers": {"A": "b"}, "body": "words"}));
        assert_eq!(post.effect().payload.as_deref(), Some("A: b\n\nwords"));
        let delete = checked(json!({"url": "https://example.com/", "method": "DELETE"}));
        assert_eq!((delete.effect().sink, delete.effect().payload.as_deref()), (Sink::Send, Some("")));
        assert_eq!(checked(json!({"url": "https://example.com/"})).effect().payload, None);
    }

    #[test]
    fn redirects_lead_away_only_where_foreign_words_could_carry_nothing_private() {
        let get = checked(json!({"url": "https://example.com/"}));
        for label in [Label::CLEAN, Label::OWNER, Label::FOREIGN] {
            assert_eq!(get.redirects(label), Redirects::Follow, "{label:?}");
        }
        assert_eq!(get.redirects(Label::UNKNOWN), Redirects::SameOrigin);
        let with_secret = checked(json!({"url": "https://example.com/", "credential": "key"}));
        assert_eq!(with_secret.redirects(Label::CLEAN), Redirects::SameOrigin);
    }

    #[test]
    fn only_text_is_shown() {
        assert_eq!(readable(&fetched("text/html; charset=utf-8", b"<p>a<p>b")).unwrap(), "a\n\nb");
        assert_eq!(readable(&fetched("application/json", b"{\"a\":1}")).unwrap(), "{\"a\":1}");
        assert_eq!(readable(&fetched("application/ld+json", b"{}")).unwrap(), "{}");
        assert_eq!(readable(&fetched("text/plain; charset=ISO-8859-1", b"caf\xe9")).unwrap(), "caf\u{e9}");
        assert_eq!(readable(&fetched("text/plain", b"a\x1b[31mb\r\n")).unwrap(), "a[31mb\n");
        assert_eq!(readable(&fetched("image/png", b"x")).unwrap_err(), "1 bytes of image/png, which is not text");
        assert!(readable(&fetched("text/plain", b"a\0b")).is_err());
        assert!(readable(&fetched("", b"\xff\xfe")).is_err());
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        for (input, why) in [
            (json!({"url": "ftp://example.com/"}), "`url`"),
            (json!({"url": "https://user@example.com/"}), "`url`"),
            (json!({"url": "https://example.com/", "method": "CONNECT"}), "`method`"),
            (json!({"url": "https://example.com/", "body": "x"}), "GET has no `body`"),
            (json!({"url": "https://example.com/", "credential": "not a name"}), "credential"),
        ] {
            let error = check(&input).err().map(|error| error.0).unwrap_or_default();
            assert!(error.contains(why) || why == "credential" && !error.is_empty(), "{input}: {error}");
        }
    }
}
