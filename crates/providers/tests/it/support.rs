//! What every test needs: a vendor, a provider that speaks to it, and a request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use egress::{SecretValue, Vault};
use futures_util::StreamExt;
use providers::{Api, ProviderConfig, build};
use serde_json::json;
use testkit::model::{Dialect, ModelServer, Reply, SeenRequest};
use tokio_util::sync::CancellationToken;
use types::{
    Block, MediaBytes, MediaRef, Message, ModelEvent, ModelReply, ModelRequest, Provider, ProviderError,
    ProviderErrorKind, SecretName, ToolSpec,
};

/// Every dialect. A new one enters here and in [`dialect`]; what it says in its own way is told apart where it is tested.
pub const ALL: [Api; 5] = [Api::Anthropic, Api::OpenaiChat, Api::OpenaiResponses, Api::Gemini, Api::Ollama];

/// The key that every request must carry. It is a test's own.
pub const KEY: &str = "test-key-0123456789";

/// A vendor and a provider that speaks to it.
pub struct Bench {
    pub server: ModelServer,
    pub provider: Arc<dyn Provider>,
    pub vault: Vault,
    /// Holds the vault for as long as the provider needs it.
    pub _home: tempfile::TempDir,
}

impl Bench {
    /// A provider that tries once, against a server with this brain.
    pub async fn start(api: Api, brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::configured(api, |_| {}, brain).await
    }

    /// As [`Bench::start`], with other settings.
    pub async fn configured(
        api: Api,
        change: impl FnOnce(&mut ProviderConfig),
        brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let server = ModelServer::start(brain).await;
        let home = tempfile::tempdir().unwrap();
        let vault = Vault::open(home.path()).unwrap();
        let name = SecretName::new("lab-key").unwrap();
        vault.set(&name, SecretValue::new(KEY).unwrap(), types::Timestamp(0)).unwrap();
        let mut config = ProviderConfig::new(api, server.base_url());
        config.key = Some(name);
        config.attempts = 1;
        config.backoff_ms = 1;
        config.first_byte_ms = 5000;
        config.idle_ms = 5000;
        change(&mut config);
        let provider = build("lab", &config, &vault).unwrap();
        Self { server, provider, vault, _home: home }
    }

    /// A server that gives these replies one after the other, and the last one ever after.
    pub async fn replying(api: Api, change: impl FnOnce(&mut ProviderConfig), replies: Vec<Reply>) -> Self {
        let left = Mutex::new(replies);
        Self::configured(api, change, move |_| {
            let mut left = left.lock().unwrap();
            if left.len() > 1 { left.remove(0) } else { left[0].clone() }
        })
        .await
    }

    /// All events of one request.
    pub async fn events(&self, request: ModelRequest) -> Vec<ModelEvent> {
        let events: Vec<ModelEvent> = self.provider.stream(request, CancellationToken::new()).collect().await;
        let ends = events.iter().filter(|event| matches!(event, ModelEvent::Finished(_) | ModelEvent::Failed(_)));
        assert_eq!(ends.count(), 1, "{events:?}");
        assert!(matches!(events.last(), Some(ModelEvent::Finished(_) | ModelEvent::Failed(_))), "{events:?}");
        events
    }

    /// The whole answer to one request.
    pub async fn reply(&self, request: ModelRequest) -> ModelReply {
        match self.events(request).await.pop() {
            Some(ModelEvent::Finished(reply)) => {
                assert_eq!(self.server.violations(), Vec::<String>::new());
                reply
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The error of one request.
    pub async fn error(&self, request: ModelRequest) -> ProviderError {
        match self.events(request).await.pop() {
            Some(ModelEvent::Failed(error)) => {
                assert!(!error.to_string().contains(KEY), "{error}");
                error
            }
            other => panic!("no error: {other:?}"),
        }
    }

    /// The kind of the error of a plain request.
    pub async fn failure(&self) -> ProviderErrorKind {
        self.error(hello()).await.kind
    }
}

/// The dialect as the server names it.
pub fn dialect(api: Api) -> Dialect {
    match api {
        Api::Anthropic => Dialect::Anthropic,
        Api::OpenaiChat => Dialect::OpenaiChat,
        Api::OpenaiResponses => Dialect::OpenaiResponses,
        Api::Gemini => Dialect::Gemini,
        Api::Ollama => Dialect::Ollama,
    }
}

/// A picture of a user's.
#[derive(Clone)]
pub struct Picture {
    pub media: MediaRef,
    pub block: Block,
    pub bytes: Arc<[u8]>,
    pub base64: String,
}

/// A picture of so many bytes, and the bytes as a request has them. Vendors' doubles do not look into it.
pub fn picture(size: usize) -> (Picture, MediaBytes) {
    let bytes: Arc<[u8]> = vec![7_u8; size].into();
    let digest = format!("digest-of-{size}");
    let media = MediaRef {
        digest: digest.clone(),
        media_type: "image/png".to_owned(),
        name: Some("a.png".to_owned()),
        bytes: size as u64,
    };
    let base64 = BASE64_STANDARD.encode(&bytes);
    let picture = Picture { block: Block::Media { media: media.clone() }, media, bytes: Arc::clone(&bytes), base64 };
    (picture, Arc::new(BTreeMap::from([(digest, bytes)])))
}

/// A request with these messages and two tools.
pub fn request(messages: Vec<Message>) -> ModelRequest {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: format!("Does {name}."),
        input_schema: json!({"type": "object", "properties": {"command": {"type": "string"}}}),
    };
    ModelRequest {
        model: "model-1".to_owned(),
        system: "Be brief.".into(),
        tools: Arc::from([tool("exec"), tool("read")]),
        messages,
        max_output_tokens: 4000,
        thinking_tokens: None,
        media: types::MediaBytes::default(),
        output: None,
        cache_key: None,
    }
}

/// The plainest request.
pub fn hello() -> ModelRequest {
    request(vec![Message::user("hello")])
}

/// The text that the deltas of a stream add up to, after its last restart.
pub fn streamed_text(events: &[ModelEvent]) -> String {
    let mut all = String::new();
    for event in events {
        match event {
            ModelEvent::TextDelta(text) => all.push_str(text),
            ModelEvent::Restarted { .. } => all.clear(),
            ModelEvent::ThinkingDelta(_)
            | ModelEvent::ToolUseStarted { .. }
            | ModelEvent::Finished(_)
            | ModelEvent::Failed(_) => {}
        }
    }
    all
}
