//! A sandbox's side of the proxy, and everything behind it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use egress::{
    AddressRules, Binding, CredentialSlot, Custody, DayTally, EgressConfig, EgressLog, EgressPolicy, EgressRecord,
    EgressRules, Interfaces, Judge, Limits, Network, Placeholders, Proxy, SandboxCa, SandboxEgress, SecretSettings,
    SecretValue, Stage, TableResolver, Unrecorded, Upstream, Vault, Who,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, Clock, SecretName, Timestamp};

use super::server::{Authority, Servers};

/// The secret's value, which no program in the sandbox may see.
pub const VALUE: &str = "ghp_R3al+Secret/Value%42";
/// The host that the secret is bound to.
pub const HOST: &str = "api.example.com";
/// Another allowed host, to which nothing is bound.
pub const OTHER: &str = "other.example.com";

/// Everything at the two hosts is allowed.
pub const RULES: &str = r#"
secrets = ["key", "git"]
[[rules]]
host = "api.example.com"
methods = ["*"]
[[rules]]
host = "other.example.com"
ports = [443, 80]
methods = ["*"]
plain_http = true
"#;

pub struct World {
    pub servers: Servers,
    pub log: Arc<Log>,
    pub vault: Vault,
    pub policy: watch::Sender<Arc<EgressPolicy>>,
    pub untainted: Arc<AtomicBool>,
    /// What the sandbox holds for the secrets `key` and `git`.
    pub placeholder: String,
    pub git: String,
    pub address: SocketAddr,
    roots: Arc<RootCertStore>,
    pub resolver: Arc<TableResolver>,
    cancel: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    home: tempfile::TempDir,
    /// What a supervisor keeps.
    listener: std::net::TcpListener,
    custody: Custody,
    limits: Limits,
}

/// Keeps the records; can be told to fail.
#[derive(Default)]
pub struct Log {
    pub records: Mutex<Vec<EgressRecord>>,
    pub fails: AtomicBool,
}

impl EgressLog for Log {
    fn record<'a>(&'a self, record: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async move {
            if self.fails.load(Ordering::Relaxed) {
                return Err(Unrecorded);
            }
            self.records.lock().unwrap().push(record.clone());
            Ok(())
        })
    }
}

impl Log {
    pub fn of(&self, stage: Stage) -> Vec<EgressRecord> {
        self.records.lock().unwrap().iter().filter(|record| record.stage == stage).cloned().collect()
    }

    /// Waits for the first record of this stage that fits.
    pub async fn wait_for(&self, stage: Stage, fits: impl Fn(&EgressRecord) -> bool) -> EgressRecord {
        for _ in 0..500 {
            if let Some(record) = self.of(stage).into_iter().find(&fits) {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no such record: {:#?}", self.records.lock().unwrap());
    }
}

pub struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(elapsed.as_millis()).unwrap())
    }
}

pub fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

fn put(vault: &Vault, secret: &str, value: &str, bindings: Vec<Binding>) {
    let settings = SecretSettings { bindings: Some(bindings), ..SecretSettings::default() };
    vault.put(&name(secret), SecretValue::new(value).unwrap(), settings, Wall.now()).unwrap();
}

/// A binding of `authority` for these methods and paths.
pub fn binding(authority: &str, methods: &[&str], paths: &[&str], slot: CredentialSlot) -> Binding {
    let mut binding = Binding::to(authority).unwrap();
    binding.methods = methods.iter().map(|&method| method.to_owned()).collect();
    binding.paths = paths.iter().map(|path| egress::PathPattern::parse(path).unwrap()).collect();
    binding.slot = slot;
    binding
}

impl World {
    pub async fn new() -> Self {
        Self::with(RULES, Limits::default()).await
    }

    pub async fn with(rules: &str, limits: Limits) -> Self {
        let home = tempfile::tempdir().unwrap();
        let vault = Vault::open(home.path()).unwrap();
        let bearer = binding(HOST, &["GET", "POST"], &["/v1/**"], CredentialSlot::bearer());
        let key = binding(
            HOST,
            &["GET"],
            &["/keyed"],
            CredentialSlot::Header { name: "x-api-key".to_owned(), prefix: String::new() },
        );
        put(&vault, "key", VALUE, vec![bearer, key]);
        let paths = ["/owner/repo.git/info/refs", "/owner/repo.git/git-upload-pack"];
        put(
            &vault,
            "git",
            "git-token-0123456789",
            vec![binding(HOST, &[], &paths, CredentialSlot::Basic { user: None })],
        );
        let authority = Authority::new();
        std::fs::write(home.path().join("ca.pem"), &authority.pem).unwrap();
        let servers = Servers::default();
        servers.https(&authority, HOST, "203.0.113.10").await;
        servers.https(&authority, OTHER, "203.0.113.11").await;
        servers.plain("203.0.113.11:80".parse().unwrap()).await;
        let resolver = TableResolver::default().with(HOST, &["203.0.113.10"]).with(OTHER, &["203.0.113.11"]);
        let resolver = Arc::new(resolver);
        let policy = Arc::new(policy_of(rules, resolver.clone(), home.path()));
        let placeholders = Placeholders::new([(name("key"), Some("API_KEY".to_owned())), (name("git"), None)]).unwrap();
        let placeholder = placeholders.of(&name("key")).unwrap().to_owned();
        let git = placeholders.of(&name("git")).unwrap().to_owned();
        let ca = SandboxCa::new(Wall.now()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
        let (log, untainted) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(true)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let custody = Custody::of(&ca, &placeholders);
        let mut world = Self {
            servers,
            log,
            vault,
            policy: watch::Sender::new(policy),
            untainted,
            placeholder,
            git,
            address,
            roots: Arc::new(roots),
            resolver,
            cancel: CancellationToken::new(),
            serving: tokio::spawn(async { Ok(()) }),
            home,
            listener,
            custody,
            limits,
        };
        world.serve(ca, placeholders);
        world
    }

    fn serve(&mut self, ca: SandboxCa, placeholders: Placeholders) {
        let flag = self.untainted.clone();
        let egress = SandboxEgress {
            who: Who { session: Some(1), workspace: Some("main".to_owned()), client: "sandbox" },
            policy: self.policy.subscribe(),
            untainted: Box::new(move || flag.load(Ordering::Relaxed)),
            placeholders,
            vault: self.vault.clone(),
            ca,
            log: self.log.clone(),
            clock: Arc::new(Wall),
            limits: self.limits,
        };
        self.cancel = CancellationToken::new();
        let socket = self.listener.try_clone().unwrap().into();
        self.serving = tokio::spawn(Proxy::serve(socket, Arc::new(egress), self.cancel.clone()));
    }

    /// The daemon dies: whatever it held open is gone, and only the listening socket is left.
    pub async fn daemon_dies(&mut self) {
        self.cancel.cancel();
        (&mut self.serving).await.unwrap().unwrap();
    }

    /// Another daemon serves the socket, with what was kept for it.
    pub fn daemon_comes_back(&mut self) {
        let (ca, placeholders) = Custody::restore(self.custody.bytes()).unwrap();
        self.serve(ca, placeholders);
    }

    /// Replaces the rules while everything runs.
    pub fn replace(&self, rules: &str) {
        self.policy.send_replace(Arc::new(policy_of(rules, self.resolver.clone(), self.home.path())));
    }

    /// The same, with rules that no configuration can write.
    pub fn change(&self, rules: &str, change: impl FnOnce(EgressRules) -> EgressRules) {
        let policy = policy_by(change(rules_of(rules)), self.resolver.clone(), self.home.path());
        self.policy.send_replace(Arc::new(policy));
    }

    /// Ends the proxy, which must happen at once.
    pub async fn stop(self) {
        self.cancel.cancel();
        timeout(Duration::from_secs(5), self.serving).await.unwrap().unwrap().unwrap();
    }

    pub async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends raw bytes to the proxy itself and reads all that comes until it closes, or says nothing for a while.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.dial().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }

    /// Opens a tunnel; the error is the proxy's answer.
    pub async fn tunnel(&self, authority: &str) -> Result<TcpStream, String> {
        let mut stream = self.dial().await;
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.map_err(|error| error.to_string())?);
        }
        let head = String::from_utf8(answer).unwrap();
        if head.starts_with("HTTP/1.1 200") { Ok(stream) } else { Err(head + &read_all(&mut stream).await) }
    }

    /// Speaks TLS within a tunnel, asking for `name`.
    pub async fn shake(&self, stream: TcpStream, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub async fn tls(&self, host: &str) -> TlsStream<TcpStream> {
        let stream = self.tunnel(&format!("{host}:443")).await.unwrap();
        self.shake(stream, host).await.unwrap()
    }

    /// Sends raw bytes through TLS to a host.
    pub async fn ask(&self, host: &str, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.tls(host).await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }

    /// A GET with further header lines, each with its line end.
    pub async fn get(&self, host: &str, path: &str, lines: &str) -> String {
        self.ask(host, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n")).await
    }
}

/// All until the far side closes or says nothing for half a second.
pub async fn read_all(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(Ok(count @ 1..)) = timeout(Duration::from_millis(1500), stream.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn rules_of(rules: &str) -> EgressRules {
    let config: EgressConfig = toml::from_str(rules).unwrap();
    config.rules().unwrap()
}

fn policy_of(rules: &str, resolver: Arc<TableResolver>, home: &Path) -> EgressPolicy {
    policy_by(rules_of(rules), resolver, home)
}

fn policy_by(rules: EgressRules, resolver: Arc<TableResolver>, home: &Path) -> EgressPolicy {
    let addresses = AddressRules::default().playing_public("203.0.113.0/24".parse().unwrap());
    let network = Network {
        resolver,
        interfaces: Interfaces::Fixed(Vec::new()),
        addresses: Arc::new(addresses),
        guarded: Arc::from([]),
    };
    let trusts = rules.trust_foreign;
    let judge = Judge::new(Arc::new(rules), network, Arc::new(DayTally::new(Arc::new(Wall))));
    let tainted = (!trusts).then(|| judge.reading());
    EgressPolicy { judge, tainted, upstream: Upstream::new(&[home.join("ca.pem")]).unwrap() }
}
