//! The server itself: receives, records, checks, asks the brain, answers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, RawQuery, State},
    http::{HeaderMap, Response, StatusCode, header},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    anthropic, gemini, ollama, openai,
    reply::{Fault, Reply},
    responses, rules,
    seen::{Address, Dialect, SeenRequest},
    transport::{self, Form},
    usage::{InputTokens, PromptCache, Served},
};

/// The vendors' limit on a request's size.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;

type Brain = Box<dyn Fn(&SeenRequest) -> Reply + Send + Sync>;

/// A scripted vendor on a port of its own of 127.0.0.1. It ends when it is dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
    /// Closes the connections that stand: the library serves each in a task of its own.
    _open: DropGuard,
}

struct Shared {
    brain: Brain,
    log: Mutex<Log>,
    models: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Log {
    requests: Vec<SeenRequest>,
    served: Vec<Served>,
    violations: Vec<String>,
    cache: PromptCache,
}

impl ModelServer {
    /// Starts a server that answers every request with what `brain` says. A brain that is a pure function of the
    /// request goes on where it was after a restart of the client or of the server.
    pub async fn start(brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("the literal is an address"), brain).await
    }

    /// As [`ModelServer::start`], on a given address.
    pub async fn start_on(address: SocketAddr, brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.expect("the test machine lets us listen on loopback");
        let address = listener.local_addr().expect("a listening socket has an address");
        let shared = Arc::new(Shared {
            brain: Box::new(brain),
            log: Mutex::default(),
            models: Mutex::new(vec!["mock-large".to_owned(), "mock-small".to_owned()]),
        });
        let app = Router::new()
            .route("/v1/messages", post(messages))
            .route("/v1/chat/completions", post(completions))
            .route("/v1/responses", post(create_response))
            .route("/v1/models", get(list_models))
            .route("/v1beta/models", get(list_gemini_models))
            .route("/v1beta/models/{call}", post(generate))
            .route("/v1/models/{call}", post(generate))
            // The same at Vertex AI, with a key of express mode and with a project.
            .route("/v1/publishers/google/models/{call}", post(generate))
            .route(
                "/v1/projects/{project}/locations/{location}/publishers/google/models/{call}",
                post(async |shared, Path((_, _, call)): Path<(String, String, String)>, query, headers, body| {
                    generate(shared, Path(call), query, headers, body).await
                }),
            )
            .route("/api/chat", post(chat))
            .route("/api/tags", get(list_tags))
            // The same for whoever is logged in with ChatGPT.
            .route("/backend-api/codex/responses", post(create_response))
            .layer(DefaultBodyLimit::max(2 * MAX_REQUEST_BYTES))
            .with_state(shared.clone());
        // Without this every small piece of a stream waits for the other side's delayed acknowledgement.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let open = CancellationToken::new();
        let closed = open.clone().cancelled_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Serving on a socket that listens already has no error to report.
            drop(axum::serve(listener, app).with_graceful_shutdown(closed).await);
        });
        Self { address, shared, _tasks: tasks, _open: open.drop_guard() }
    }

    /// The address without a path: right as Anthropic's base address.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address as a socket address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the list of models names. It says nothing about which models are answered: all are.
    pub fn offer_models<N: Into<String>>(&self, models: impl IntoIterator<Item = N>) {
        let models = models.into_iter().map(Into::into).collect();
        *self.shared.models.lock().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// Every request for an answer so far, in order of arrival.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.log().requests.clone()
    }

    /// How many requests there have been.
    pub fn request_count(&self) -> usize {
        self.shared.log().requests.len()
    }

    /// What was answered so far, and went out whole: what the vendor would have charged for. An answer that its reader broke
    /// off, or that a fault spoiled, is not among them.
    pub fn served(&self) -> Vec<Served> {
        self.shared.log().served.clone()
    }

    /// Every breach of the vendor's rules so far. Each was also answered with status 400.
    pub fn violations(&self) -> Vec<String> {
        self.shared.log().violations.clone()
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn models(&self) -> Vec<String> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a request and checks it.
    fn record(
        &self,
        dialect: Dialect,
        headers: &HeaderMap,
        address: Option<Address>,
        body: Value,
    ) -> (SeenRequest, Result<InputTokens, String>) {
        let headers: BTreeMap<String, String> = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let mut log = self.log();
        let request = SeenRequest::new(log.requests.len(), dialect, headers, address, body);
        log.requests.push(request.clone());
        let checked = match rules::check(&request) {
            Ok(()) => Ok(log.cache.count(&request)),
            Err(violation) => {
                log.violations.push(format!("request {}: {violation}", request.index));
                Err(violation)
            }
        };
        (request, checked)
    }
}

async fn messages(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    answer(&shared, Dialect::Anthropic, None, &headers, &body).await
}

async fn completions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    answer(&shared, Dialect::OpenaiChat, None, &headers, &body).await
}

async fn create_response(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    answer(&shared, Dialect::OpenaiResponses, None, &headers, &body).await
}

async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    answer(&shared, Dialect::Ollama, None, &headers, &body).await
}

/// Gemini has the model and the method in the path, and the form of the stream behind it.
async fn generate(
    State(shared): State<Arc<Shared>>,
    Path(call): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let (model, method) = call.rsplit_once(':').unwrap_or((&call, ""));
    let stream = method == "streamGenerateContent";
    if !stream && method != "generateContent" {
        return error(Dialect::Gemini, 404, &format!("Method {method} is not found"), None);
    }
    let events = query.is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    let address = Address { model: model.to_owned(), stream, events: events || !stream };
    answer(&shared, Dialect::Gemini, Some(address), &headers, &body).await
}

async fn list_gemini_models(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let methods = ["generateContent", "countTokens"];
    let models = shared.models().into_iter().map(|id| {
        let name = format!("models/{id}");
        json!({"name": name, "displayName": id, "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
            "supportedGenerationMethods": methods})
    });
    json_response(200, &json!({"models": models.collect::<Vec<_>>()}), None)
}

async fn list_tags(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let models = shared.models().into_iter().map(|id| json!({"name": id, "model": id, "size": 1_000_000_000}));
    json_response(200, &json!({"models": models.collect::<Vec<_>>()}), None)
}

/// The list of models, in the shape of the vendor that the headers speak to.
async fn list_models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    let models = shared.models();
    let list = if headers.contains_key("anthropic-version") {
        let data = models
            .iter()
            .map(|id| json!({"type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z"}));
        let ends = json!({"first_id": models.first(), "last_id": models.last(), "has_more": false});
        let mut list = ends;
        list["data"] = data.collect();
        list
    } else {
        let data =
            models.iter().map(|id| json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "mock"}));
        json!({"object": "list", "data": data.collect::<Vec<_>>()})
    };
    json_response(200, &list, None)
}

async fn answer(
    shared: &Arc<Shared>,
    dialect: Dialect,
    address: Option<Address>,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Body> {
    if body.len() > MAX_REQUEST_BYTES {
        return error(dialect, 413, "Request exceeds the maximum size", None);
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        shared.log().violations.push("a request is not JSON".to_owned());
        return error(dialect, 400, "The request body is not valid JSON", None);
    };
    let (request, checked) = shared.record(dialect, headers, address, body);
    let input = match checked {
        Ok(input) => input,
        Err(violation) => return error(dialect, 400, &violation, None),
    };
    let reply = (shared.brain)(&request);
    // Even an empty sleep waits for the timer's next tick, which would be counted against the client.
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let response = respond(&request, &reply, input).await;
    match served(&request, &reply, input) {
        Some(served) => response.map(|body| when_gone(body, shared.clone(), served)),
        None => response,
    }
}

/// What an answer counts for; none where something spoils it.
fn served(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Option<Served> {
    let is_whole = match &reply.fault {
        None | Some(Fault::SlowDrip { .. } | Fault::Refuse | Fault::MaxTokens | Fault::Stop(_)) => true,
        Some(_) => false,
    };
    is_whole.then(|| {
        let whole = whole(request, reply, input);
        let output = match request.dialect {
            Dialect::OpenaiChat => whole["usage"]["completion_tokens"].as_u64().unwrap_or(0),
            Dialect::Anthropic | Dialect::OpenaiResponses => whole["usage"]["output_tokens"].as_u64().unwrap_or(0),
            Dialect::Gemini => gemini::output_tokens(&whole),
            Dialect::Ollama => ollama::output_tokens(&whole),
        };
        Served {
            request: request.index,
            input: input.fresh,
            cache_read: input.cache_read,
            cache_write: input.cache_write,
            output,
        }
    })
}

/// The body, which is counted as served once its last byte was taken.
fn when_gone(body: Body, shared: Arc<Shared>, served: Served) -> Body {
    let mut served = Some(served);
    let end = stream::poll_fn(move |_| {
        shared.log().served.extend(served.take());
        Poll::Ready(None::<Result<Bytes, axum::Error>>)
    });
    Body::from_stream(body.into_data_stream().chain(end))
}

async fn respond(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Response<Body> {
    let dialect = request.dialect;
    if dialect == Dialect::Ollama && ollama::read_tokens(request, input).is_none() {
        return error(dialect, 400, ollama::OVERFLOW, None);
    }
    match &reply.fault {
        Some(Fault::Status { code, retry_after, body: None }) => {
            error(dialect, *code, "The scripted server was told to fail", retry_after.as_deref())
        }
        Some(Fault::Status { code, retry_after, body: Some(body) }) => {
            json_response(*code, body, retry_after.as_deref())
        }
        Some(Fault::ContextOverflow) => match dialect {
            Dialect::Anthropic => json_response(400, &anthropic::overflow_body(), None),
            Dialect::OpenaiChat => json_response(400, &openai::overflow_body(), None),
            Dialect::OpenaiResponses if request.stream => stream_response(request, reply, input),
            Dialect::OpenaiResponses => json_response(400, &responses::overflow_body(), None),
            Dialect::Gemini => json_response(400, &gemini::overflow_body(), None),
            Dialect::Ollama => error(dialect, 400, ollama::OVERFLOW, None),
        },
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::WrongContentType) => {
            plain_response("text/html", &[], b"<html><body>Sign in to the network</body></html>".to_vec().into())
        }
        Some(Fault::Compressed) => {
            plain_response("text/event-stream", &[("content-encoding", "gzip")], vec![0x1f, 0x8b, 8, 0, 0].into())
        }
        _ if request.stream => stream_response(request, reply, input),
        _ => whole_response(request, reply, input),
    }
}

fn stream_response(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Response<Body> {
    let empty = Reply { parts: Vec::new(), ..reply.clone() };
    let shown = if reply.fault == Some(Fault::EmptyAnswer) { &empty } else { reply };
    let mut events = match request.dialect {
        Dialect::Anthropic => anthropic::events(request, shown, input),
        Dialect::OpenaiChat => openai::events(request, shown, input),
        Dialect::OpenaiResponses => responses::events(request, shown, input),
        Dialect::Gemini => gemini::events(request, shown, input),
        Dialect::Ollama => ollama::events(request, shown, input),
    };
    let error = match &reply.fault {
        Some(Fault::StreamError { kind, message }) => Some((kind, message)),
        Some(Fault::Failed { code, message }) if request.dialect != Dialect::OpenaiResponses => Some((code, message)),
        _ => None,
    };
    if let Some((kind, message)) = error {
        events.truncate(events.len() / 2);
        events.push(match request.dialect {
            Dialect::Anthropic => anthropic::error_event(kind, message),
            Dialect::OpenaiChat => openai::error_event(kind, message),
            Dialect::OpenaiResponses => responses::error_event(kind, message, reply.noise),
            Dialect::Gemini => gemini::error_event(kind, message),
            Dialect::Ollama => ollama::error_event(message),
        });
    }
    if request.listed {
        let list: Vec<String> = events.into_iter().map(|event| event.data).collect();
        let bytes = format!("[{}]", list.join(",\n")).into_bytes();
        return plain_response("application/json", &[], transport::body(bytes, reply, Form::Lines));
    }
    let (form, media_type) = match request.dialect {
        Dialect::Ollama => (Form::Lines, "application/x-ndjson"),
        _ => (Form::Events, "text/event-stream; charset=utf-8"),
    };
    let bytes = transport::frame(&events, reply, form);
    plain_response(media_type, &[], transport::body(bytes, reply, form))
}

fn whole_response(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Response<Body> {
    let empty = Reply { parts: Vec::new(), ..reply.clone() };
    let shown = if reply.fault == Some(Fault::EmptyAnswer) { &empty } else { reply };
    let mut bytes = whole(request, shown, input).to_string().into_bytes();
    if matches!(reply.fault, Some(Fault::MalformedJson | Fault::MalformedSse)) {
        bytes.truncate(bytes.len() / 2);
    }
    plain_response("application/json", &[], transport::body(bytes, reply, Form::Events))
}

fn whole(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Value {
    match request.dialect {
        Dialect::Anthropic => anthropic::whole(request, reply, input),
        Dialect::OpenaiChat => openai::whole(request, reply, input),
        Dialect::OpenaiResponses => responses::whole(request, reply, input),
        Dialect::Gemini => gemini::whole(request, reply, input),
        Dialect::Ollama => ollama::whole(request, reply, input),
    }
}

fn error(dialect: Dialect, status: u16, message: &str, retry_after: Option<&str>) -> Response<Body> {
    // Google says in the body how many seconds to wait.
    let seconds = retry_after.and_then(|text| text.parse().ok()).filter(|_| dialect == Dialect::Gemini);
    let retry_after = retry_after.filter(|_| seconds.is_none());
    let body = match dialect {
        Dialect::Gemini => gemini::error_body(status, message, seconds),
        Dialect::Ollama => ollama::error_body(message),
        Dialect::Anthropic => anthropic::error_body(status, message),
        Dialect::OpenaiChat | Dialect::OpenaiResponses => openai::error_body(status, message),
    };
    json_response(status, &body, retry_after)
}

fn json_response(status: u16, body: &Value, retry_after: Option<&str>) -> Response<Body> {
    let waits = retry_after.map(|value| ("retry-after", value));
    let mut response = plain_response("application/json", waits.as_slice(), body.to_string().into());
    *response.status_mut() = StatusCode::from_u16(status).expect("a scripted status is a valid one");
    response
}

fn plain_response(content_type: &str, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().header(header::CONTENT_TYPE, content_type);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).expect("scripted headers are valid ones")
}
