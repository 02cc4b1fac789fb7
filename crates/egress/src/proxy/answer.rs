//! What the proxy itself says to a program: a refusal, in words that say what to change. Must not repeat what the program
//! sent.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

use crate::{
    DenyReason,
    model::{Interface, Refused},
    proxy::credentials::CredentialError,
};

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer breaks off: the far side failed, a cap was reached, or the request is no longer allowed.
#[derive(Debug, thiserror::Error)]
#[error("the proxy broke the answer off: {0}")]
pub(super) struct Broken(pub String);

/// Why a program gets no answer from the far side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// The word for the audit record.
    pub code: &'static str,
    pub text: String,
    form: Form,
}

/// How a refusal is written down for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Words,
    /// As the vendor of a model says no, so that the program tells its user why and does not try again.
    Vendor(Interface),
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), form: Form::Words }
    }

    /// The program does not speak as it should.
    pub fn protocol(text: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "protocol", text)
    }

    /// The far side did not answer, or not acceptably.
    pub fn upstream(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "upstream", text)
    }

    /// A request to a model that would have its vendor do more than answer.
    pub fn model(interface: Option<Interface>, why: &Refused) -> Self {
        let status = match (why, interface) {
            (Refused::TooLong, _) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, None) => StatusCode::FORBIDDEN,
            (_, Some(_)) => StatusCode::BAD_REQUEST,
        };
        let form = interface.map_or(Form::Words, Form::Vendor);
        Self { form, ..Self::new(status, "model-request", why.to_string()) }
    }

    /// As an answer to the program.
    pub fn response(&self) -> Response<Body> {
        let words = format!("factotum's proxy refused this request: {}.", self.text);
        let (text, kind) = match self.form {
            Form::Words => (format!("{words}\n"), "text/plain; charset=utf-8"),
            Form::Vendor(interface) => (interface.error(self.status.as_u16(), &words), "application/json"),
        };
        let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-factotum-refused", HeaderValue::from_static(self.code));
        response
    }
}

impl From<DenyReason> for Refusal {
    fn from(reason: DenyReason) -> Self {
        let status = match &reason {
            DenyReason::Target(_) | DenyReason::PathForm(_) | DenyReason::Protocol(_) => StatusCode::BAD_REQUEST,
            DenyReason::Unresolved { .. } => StatusCode::BAD_GATEWAY,
            DenyReason::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            DenyReason::DayUsedUp { .. } => StatusCode::TOO_MANY_REQUESTS,
            DenyReason::Unrecorded | DenyReason::OwnAddresses { .. } => StatusCode::SERVICE_UNAVAILABLE,
            DenyReason::Host { .. }
            | DenyReason::Port { .. }
            | DenyReason::PlainHttp { .. }
            | DenyReason::Method { .. }
            | DenyReason::Path { .. }
            | DenyReason::LongUrl { .. }
            | DenyReason::Body { .. }
            | DenyReason::Upgrade { .. }
            | DenyReason::NeedsSecret { .. }
            | DenyReason::OnlyReads { .. }
            | DenyReason::Foreign { .. }
            | DenyReason::DeniedByRule { .. }
            | DenyReason::PassThroughTainted { .. }
            | DenyReason::Address { .. }
            | DenyReason::Guarded { .. } => StatusCode::FORBIDDEN,
        };
        Self::new(status, reason.code(), reason.to_string())
    }
}

impl From<CredentialError> for Refusal {
    fn from(error: CredentialError) -> Self {
        Self::new(StatusCode::FORBIDDEN, "credential", error.to_string())
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
