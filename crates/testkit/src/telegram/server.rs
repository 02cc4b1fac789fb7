//! The server itself: receives, records, waits, goes wrong as told, answers. And the hand of the test: what people in
//! chats do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, State as Shared},
    http::{Response, StatusCode, Uri, header},
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::Instant};

use super::{
    fault::Fault,
    message::{Draft, Message, Revision},
    methods::{self, Refusal},
    state::{BOT_ID, Call, Callback, Settings, State, person, private_chat},
    wire::{CuttableListener, Scissors},
};

/// The longest that the real server lets a poll wait.
const MAX_POLL: u64 = 50;

/// A Telegram of its own on a port of 127.0.0.1. It ends when it is dropped.
pub struct TelegramServer {
    address: SocketAddr,
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

struct Inner {
    token: String,
    state: Mutex<State>,
    /// Counts changes, for those who wait.
    changes: watch::Sender<u64>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes those who wait.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changes.send_modify(|count| *count += 1);
        result
    }
}

impl TelegramServer {
    /// Starts a server with the real limits.
    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    /// Starts a server with other limits.
    pub async fn start_with(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the test machine lets us listen on loopback");
        let address = listener.local_addr().expect("a listening socket has an address");
        let inner = Arc::new(Inner {
            token: format!("{BOT_ID}:double-token-of-port-{}", address.port()),
            state: Mutex::new(State::new(settings)),
            changes: watch::Sender::new(0),
        });
        let app = Router::new()
            .fallback(handle)
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(inner.clone())
            .into_make_service_with_connect_info::<Scissors>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Serving on a socket that listens already has no error to report.
            drop(axum::serve(CuttableListener(listener), app).await);
        });
        Self { address, inner, _tasks: tasks }
    }

    /// The address to configure as `api_base`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The only token that is accepted.
    pub fn token(&self) -> &str {
        &self.inner.token
    }

    /// A copy of all that the server remembers.
    pub fn state(&self) -> State {
        self.inner.state().clone()
    }

    /// The messages that stand in a chat, oldest first.
    pub fn messages(&self, chat: i64) -> Vec<Message> {
        self.inner.state().messages(chat)
    }

    /// The messages that the bot sent to a chat, oldest first.
    pub fn sent(&self, chat: i64) -> Vec<Message> {
        self.inner.state().sent(chat)
    }

    /// Every state of every draft in a chat, in order.
    pub fn drafts(&self, chat: i64) -> Vec<Draft> {
        self.inner.state().drafts(chat)
    }

    /// Every call so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.inner.state().calls().to_vec()
    }

    /// How many bytes were sent to be shown to somebody.
    pub fn bytes_out(&self) -> usize {
        self.inner.state().bytes_out()
    }

    /// Waits until the state is as wanted. False when it is not within `limit`.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&State) -> bool) -> bool {
        let mut changes = self.inner.changes.subscribe();
        let waiting = async {
            while !wanted(&self.inner.state()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok()
    }

    /// Changes the limits.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        self.inner.change(|state| change(&mut state.settings));
    }

    /// Lets the next call of `method` go wrong. Several are used up in order.
    pub fn fault(&self, method: &str, fault: Fault) {
        self.inner.change(|state| {
            state.faults.entry(method.to_ascii_lowercase()).or_default().push_back(fault);
        });
    }

    /// Sets a webhook, as an earlier program of the owner may have done.
    pub fn set_webhook(&self, url: &str) {
        self.inner.change(|state| state.webhook = Some(url.to_owned()));
    }

    /// Lets `user` begin a chat with the bot without a message.
    pub fn open_chat(&self, user: i64) {
        self.inner.change(|state| {
            state.chat_mut(user, "private");
        });
    }

    /// Lets `user` block the bot, or take it back.
    pub fn block(&self, user: i64, blocked: bool) {
        self.inner.change(|state| state.chat_mut(user, "private").blocked = blocked);
    }

    /// `user` writes to the bot. Gives the number of the message.
    pub fn push_text(&self, user: i64, text: &str) -> i64 {
        self.inner.change(|state| {
            let id = state.message_number();
            let now = Revision { text: text.to_owned(), entities: Vec::new(), buttons: Vec::new() };
            let message = Message { id, now, earlier: Vec::new(), from_bot: false, raw: text.to_owned() };
            let json = message.to_json(&private_chat(user), &person(user));
            state.chat_mut(user, "private").messages.insert(id, message);
            state.updates.push(json!({ "message": json }));
            id
        })
    }

    /// Something arrives from `user` with these fields beside or instead of the usual ones: a photo, a forwarded
    /// message, one sent through a bot. Gives the number of the message.
    pub fn push_message(&self, user: i64, fields: Value) -> i64 {
        self.inner.change(|state| {
            let id = state.message_number();
            let mut message = json!({
                "message_id": id,
                "from": person(user),
                "chat": private_chat(user),
                "date": 1_700_000_000 + id,
            });
            merge(&mut message, fields);
            state.chat_mut(user, "private");
            state.updates.push(json!({ "message": message }));
            id
        })
    }

    /// `user` forwards somebody's words to the bot.
    pub fn push_forwarded(&self, user: i64, text: &str) -> i64 {
        let origin = json!({ "type": "hidden_user", "sender_user_name": "Somebody", "date": 1_600_000_000 });
        self.push_message(user, json!({ "text": text, "forward_origin": origin }))
    }

    /// `user` writes in a group that the bot is in.
    pub fn push_group(&self, user: i64, group: i64, kind: &str, text: &str) -> i64 {
        self.inner.change(|state| {
            state.chat_mut(group, kind);
        });
        self.push_message(user, json!({ "chat": { "id": group, "type": kind, "title": "A group" }, "text": text }))
    }

    /// `user` changes an earlier message.
    pub fn push_edited(&self, user: i64, message: i64, text: &str) {
        self.inner.change(|state| {
            let edited = json!({
                "message_id": message,
                "from": person(user),
                "chat": private_chat(user),
                "date": 1_700_000_000 + message,
                "edit_date": 1_700_000_500,
                "text": text,
            });
            state.updates.push(json!({ "edited_message": edited }));
        });
    }

    /// `user` presses a button under a message in the chat with `chat`. Gives the number of the press.
    pub fn push_callback_in(&self, user: i64, chat: i64, message: i64, data: &str) -> String {
        self.inner.change(|state| {
            let id = format!("77{:016}", state.callbacks.len() + 1);
            state.callbacks.insert(id.clone(), Callback { at: Instant::now(), answered: false });
            let place = state.chat_json(chat);
            let known = state.chats.get(&chat).and_then(|chat| chat.messages.get(&message));
            let bot = super::state::bot();
            let message = match known {
                Some(known) => known.to_json(&place, &bot),
                // A message that is too old or gone is given without its content.
                None => json!({ "chat": place, "message_id": message, "date": 0 }),
            };
            let query = json!({
                "id": id.clone(),
                "from": person(user),
                "message": message,
                "chat_instance": "1",
                "data": data,
            });
            state.updates.push(json!({ "callback_query": query }));
            id
        })
    }

    /// `user` presses a button under a message in their own chat with the bot.
    pub fn push_callback(&self, user: i64, message: i64, data: &str) -> String {
        self.push_callback_in(user, user, message, data)
    }

    /// Queues any update; its number is added. Gives the number, or none when the bot does not want the kind.
    pub fn push_update(&self, update: Value) -> Option<i64> {
        self.inner.change(|state| state.updates.push(update))
    }
}

fn merge(target: &mut Value, fields: Value) {
    if let (Some(target), Value::Object(fields)) = (target.as_object_mut(), fields) {
        target.extend(fields);
    }
}

async fn handle(
    Shared(inner): Shared<Arc<Inner>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    uri: Uri,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().strip_prefix("/bot").and_then(|rest| rest.split_once('/'));
    let Some((token, method)) = path else { return answer(Err(Refusal::new(404, "Not Found"))) };
    if !token.contains(':') || token.len() > 80 {
        return answer(Err(Refusal::new(404, "Not Found")));
    }
    if token != inner.token {
        return answer(Err(Refusal::new(401, "Unauthorized")));
    }
    let parameters = match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Object(parameters)) => parameters,
        Ok(_) | Err(_) if body.is_empty() => Map::new(),
        Ok(_) | Err(_) => {
            return answer(Err(Refusal::new(400, "Bad Request: can't parse JSON object")));
        }
    };
    let (index, fault) = inner.change(|state| {
        let parameters = Value::Object(parameters.clone());
        state.calls.push(Call { method: method.to_owned(), body: parameters, bytes: body.len(), status: None });
        (state.calls.len() - 1, state.take_fault(method))
    });
    let response = respond(&inner, method, &parameters, fault, &scissors).await;
    inner.change(|state| {
        if let Some(call) = state.calls.get_mut(index) {
            call.status = response.as_ref().map(|response| response.status().as_u16());
        }
    });
    response.unwrap_or_else(|| {
        scissors.cut();
        Response::new(Body::empty())
    })
}

/// The answer; none when the connection is to be closed instead.
async fn respond(
    inner: &Inner,
    method: &str,
    parameters: &Map<String, Value>,
    fault: Option<Fault>,
    scissors: &Scissors,
) -> Option<Response<Body>> {
    match &fault {
        Some(Fault::Status { code, description, retry_after }) => {
            let (code, description, retry_after) = (*code, description.clone(), *retry_after);
            return Some(answer(Err(Refusal { code, description, retry_after })));
        }
        Some(Fault::BadGateway) => {
            let mut response = Response::new(Body::from("<html><body>502 Bad Gateway</body></html>"));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            return Some(response);
        }
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::CloseBefore) => {
            scissors.cut();
            return None;
        }
        Some(
            Fault::CloseAfter | Fault::Slow(_) | Fault::MalformedJson | Fault::DuplicateUpdates | Fault::ReverseUpdates,
        )
        | None => {}
    }
    let result = if method.eq_ignore_ascii_case("getUpdates") {
        get_updates(inner, parameters, fault.as_ref()).await
    } else {
        inner.change(|state| methods::call(state, method, parameters))
    };
    match fault {
        Some(Fault::CloseAfter) => None,
        Some(Fault::MalformedJson) => {
            let whole = json!({ "ok": true, "result": result.unwrap_or_default() }).to_string();
            Some(Response::new(Body::from(whole.chars().take(whole.chars().count() / 2).collect::<String>())))
        }
        Some(Fault::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            Some(answer(result))
        }
        Some(_) | None => Some(answer(result)),
    }
}

async fn get_updates(inner: &Inner, parameters: &Map<String, Value>, fault: Option<&Fault>) -> Result<Value, Refusal> {
    let number = |name: &str| parameters.get(name).and_then(Value::as_i64);
    let limit = usize::try_from(number("limit").unwrap_or(100).clamp(1, 100)).unwrap_or(100);
    let timeout = u64::try_from(number("timeout").unwrap_or(0)).unwrap_or(0).min(MAX_POLL);
    let deadline = Instant::now() + Duration::from_secs(timeout);
    let mut changes = inner.changes.subscribe();
    inner.change(|state| {
        if let Some(kinds) = parameters.get("allowed_updates").and_then(Value::as_array) {
            state.updates.allow(kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect());
        }
        state.updates.confirm(number("offset").unwrap_or(0));
    });
    let mut mine = None;
    loop {
        // Before the state is looked at: a change after that is then never missed.
        changes.borrow_and_update();
        let replaces_others = {
            let mut state = inner.state();
            if state.webhook.is_some() {
                let words = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete \
                             the webhook first";
                return Err(Refusal::new(409, words));
            }
            if mine.is_some_and(|mine| state.updates.polls != mine) {
                let words = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is \
                             running";
                return Err(Refusal::new(409, words));
            }
            let updates = state.updates.take(limit);
            if !updates.is_empty() || Instant::now() >= deadline {
                return Ok(Value::Array(disordered(updates, fault)));
            }
            let starts_waiting = mine.is_none();
            if starts_waiting {
                state.updates.polls += 1;
                mine = Some(state.updates.polls);
            }
            starts_waiting
        };
        if replaces_others {
            // Wakes an earlier poll, so that it finds itself replaced.
            inner.changes.send_modify(|count| *count += 1);
        } else {
            // Whether by a change or at the end of its time, the loop looks again.
            drop(tokio::time::timeout_at(deadline, changes.changed()).await);
        }
    }
}

fn disordered(updates: Vec<Value>, fault: Option<&Fault>) -> Vec<Value> {
    match fault {
        Some(Fault::DuplicateUpdates) => updates.iter().flat_map(|update| [update.clone(), update.clone()]).collect(),
        Some(Fault::ReverseUpdates) => updates.into_iter().rev().collect(),
        Some(_) | None => updates,
    }
}

fn answer(result: Result<Value, Refusal>) -> Response<Body> {
    let (status, body, retry_after) = match result {
        Ok(result) => (200, json!({ "ok": true, "result": result }), None),
        Err(Refusal { code, description, retry_after }) => {
            let mut body = json!({ "ok": false, "error_code": code, "description": description });
            if let Some(seconds) = retry_after {
                body["parameters"] = json!({ "retry_after": seconds });
            }
            (code, body, retry_after)
        }
    };
    let mut response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    let mut response = response.body(Body::from(body.to_string())).expect("the headers are valid ones");
    *response.status_mut() = StatusCode::from_u16(status).expect("a scripted status is a valid one");
    response
}
