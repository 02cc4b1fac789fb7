//! The judge against a hostile network: names that lead to metadata services, private networks and this machine, answers
//! that change, redirects, and the log that cannot be written. Each test runs in a network of its own.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use egress::{
    AddressRules, ClientConfig, DayTally, DenyReason, EgressConfig, EgressErrorKind as Kind, EgressLog, EgressRecord,
    EgressRules, FetchError, FetchRequest, Fetched, Fetcher, HttpClient, Interfaces, Judge, Method, Network, Redirects,
    Resolve, RuleConfig, Stage, StreamClient, SystemResolver, TableResolver, Unrecorded, Upstream, Vault, WebTarget,
    Who,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, Clock, Timestamp};

use crate::{dns, inside};

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// Keeps records, until it is told to fail.
#[derive(Default)]
struct Log {
    records: Mutex<Vec<EgressRecord>>,
    fails: std::sync::atomic::AtomicBool,
}

impl EgressLog for Log {
    fn record<'a>(&'a self, record: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>> {
        self.records.lock().unwrap().push(record.clone());
        let fails = self.fails.load(std::sync::atomic::Ordering::Relaxed);
        Box::pin(async move { if fails { Err(Unrecorded) } else { Ok(()) } })
    }
}

impl Log {
    fn stages(&self) -> Vec<(Stage, Option<&'static str>)> {
        self.records.lock().unwrap().iter().map(|record| (record.stage, record.reason)).collect()
    }
}

/// One server at every address and the ports 80 and 8123. It notes at which address it was reached, and what it was asked.
#[derive(Clone, Default)]
struct Internet {
    reached: Arc<Mutex<Vec<(IpAddr, String)>>>,
}

impl Internet {
    async fn start() -> (Self, JoinSet<()>) {
        let internet = Self::default();
        let mut tasks = JoinSet::new();
        for port in [80, 8123] {
            let listener = TcpListener::bind(("::", port)).await.unwrap();
            let internet = internet.clone();
            tasks.spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let local = stream.local_addr().unwrap().ip().to_canonical();
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { break };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    internet.reached.lock().unwrap().push((local, head.clone()));
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    drop(stream.write_all(answer(path, &local.to_string()).as_bytes()).await);
                }
            });
        }
        (internet, tasks)
    }

    fn reached(&self) -> Vec<IpAddr> {
        self.reached.lock().unwrap().iter().map(|(address, _)| *address).collect()
    }
}

/// `/to?URL` redirects there; all else says at which address it was reached.
fn answer(path: &str, local: &str) -> String {
    match path.split_once("/to?") {
        Some((_, location)) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        None => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{local}", local.len()),
    }
}

struct Bench {
    internet: Internet,
    names: Arc<TableResolver>,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

impl Bench {
    async fn start() -> Self {
        let (internet, tasks) = Internet::start().await;
        Self { internet, names: Arc::default(), log: Arc::default(), _tasks: tasks }
    }

    fn network(&self) -> Network {
        let mut addresses = AddressRules::default().playing_public("203.0.113.0/24".parse().unwrap());
        addresses = addresses.playing_public("198.51.100.0/24".parse().unwrap());
        addresses = addresses.playing_public("2001:db8::/32".parse().unwrap());
        addresses.public = vec![ip("198.51.100.5")];
        Network {
            resolver: self.names.clone(),
            // Everything here is on this machine's loopback device, so what is its own is said, not looked up.
            interfaces: Interfaces::Fixed(vec![ip("203.0.113.11")]),
            addresses: Arc::new(addresses),
            guarded: Arc::new([SocketAddr::new(ip("127.0.0.1"), 8123)]),
        }
    }

    fn fetcher(&self, rules: EgressRules) -> Fetcher {
        self.with_network(rules, self.network())
    }

    fn with_network(&self, rules: EgressRules, network: Network) -> Fetcher {
        let judge = Judge::new(Arc::new(rules), network, Arc::new(DayTally::new(Arc::new(Epoch))));
        let who = Who { session: Some(1), workspace: None, client: "fetch" };
        Fetcher::new(judge, Upstream::new(&[]).unwrap(), self.log.clone(), None, who)
    }

    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        get(&self.fetcher(EgressRules::public_web(EgressRules::default(), false)), url).await
    }
}

async fn get(fetcher: &Fetcher, url: &str) -> Result<Fetched, FetchError> {
    fetcher.fetch(FetchRequest::get(WebTarget::parse(url).unwrap()), &CancellationToken::new()).await
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The code of a refusal; anything else fails the test.
fn refusal(result: &Result<Fetched, FetchError>) -> &'static str {
    match result {
        Err(FetchError::Denied { reason } | FetchError::Redirect { reason, .. }) => reason.code(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Answers that must lead nowhere.
const HOSTILE: [&str; 14] = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fd00:ec2::254",
    "10.1.2.3",
    "::ffff:10.1.2.3",
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "0.0.0.0",
    "::",
    "198.51.100.5",
    "203.0.113.11",
];

async fn try_hostile() -> Vec<IpAddr> {
    let bench = Bench::start().await;
    for (index, address) in HOSTILE.into_iter().enumerate() {
        let name = format!("evil{index}.example");
        bench.names.add(&name, &[address]);
        drop(bench.get(&format!("http://{name}/latest/meta-data")).await);
        let literal = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        drop(bench.get(&format!("http://{literal}/latest/meta-data")).await);
    }
    bench.internet.reached()
}

#[test]
fn no_name_and_no_address_leads_to_what_is_closed() {
    inside::run("network::no_name_and_no_address_leads_to_what_is_closed", || async {
        assert_eq!(try_hostile().await, Vec::<IpAddr>::new());
    });
}

#[cfg(feature = "faults")]
#[test]
fn without_the_judge_the_metadata_service_is_reached() {
    inside::run("network::without_the_judge_the_metadata_service_is_reached", || async {
        types::faults::set_broken("4");
        let reached = try_hostile().await;
        assert!(reached.contains(&ip("169.254.169.254")), "{reached:?}");
        assert!(reached.contains(&ip("10.1.2.3")), "{reached:?}");
    });
}

#[test]
fn a_public_name_is_reached_and_recorded_before_and_after() {
    inside::run("network::a_public_name_is_reached_and_recorded_before_and_after", || async {
        let bench = Bench::start().await;
        bench.names.add("good.example", &["203.0.113.10"]);
        let fetched = bench.get("http://good.example/x?word=hunter2").await.unwrap();
        assert_eq!((fetched.status, fetched.body.as_slice()), (200, b"203.0.113.10".as_slice()));
        assert_eq!(bench.log.stages(), [(Stage::Intent, None), (Stage::Outcome, None)]);
        let records = bench.log.records.lock().unwrap();
        let last = &records[1];
        assert_eq!((last.host.as_str(), last.port, last.status), ("good.example", 80, Some(200)));
        assert_eq!(last.address.as_deref(), Some("203.0.113.10"));
        assert!(!format!("{records:?}").contains("hunter2"), "a query is never recorded");
        let head = bench.internet.reached.lock().unwrap()[0].1.to_lowercase();
        assert!(head.contains("\r\nhost: good.example\r\n") && head.contains("accept-encoding: identity"), "{head}");
    });
}

#[test]
fn a_fetch_that_may_only_read_speaks_no_git() {
    inside::run("network::a_fetch_that_may_only_read_speaks_no_git", || async {
        let bench = Bench::start().await;
        bench.names.add("good.example", &["203.0.113.10"]);
        let url = WebTarget::parse("https://good.example/owner/repo.git/git-upload-pack").unwrap();
        let (method, body) = ("POST".to_owned(), Some(b"0000".to_vec()));
        let request = FetchRequest { method, body, ..FetchRequest::get(url) };
        let fetcher = bench.fetcher(EgressRules::public_web(EgressRules::default(), true).reading());
        let refused = fetcher.fetch(request, &CancellationToken::new()).await;
        assert_eq!(refusal(&refused), "only-reads");
        assert!(bench.internet.reached.lock().unwrap().is_empty());
    });
}

#[test]
fn an_answer_that_changes_is_judged_each_time_and_asked_once() {
    inside::run("network::an_answer_that_changes_is_judged_each_time_and_asked_once", || async {
        let bench = Bench::start().await;
        bench.names.add("rebind.example", &["203.0.113.10"]);
        bench.names.add("rebind.example", &["169.254.169.254"]);
        assert_eq!(bench.get("http://rebind.example/").await.unwrap().body, b"203.0.113.10");
        assert_eq!(bench.names.asked().len(), 1);
        assert_eq!(refusal(&bench.get("http://rebind.example/").await), "address");
        assert_eq!(bench.internet.reached(), [ip("203.0.113.10")]);
    });
}

#[test]
fn of_a_mixed_answer_only_what_is_open_is_dialled() {
    inside::run("network::of_a_mixed_answer_only_what_is_open_is_dialled", || async {
        let bench = Bench::start().await;
        bench.names.add("mixed.example", &["169.254.169.254", "fd00:ec2::254", "203.0.113.10", "10.1.2.3"]);
        // Nobody listens at the first open address, and a closed one stands behind it.
        bench.names.add("fallback.example", &["203.0.113.99", "10.1.2.3", "203.0.113.10"]);
        assert_eq!(bench.get("http://mixed.example/").await.unwrap().body, b"203.0.113.10");
        assert_eq!(bench.get("http://fallback.example/").await.unwrap().body, b"203.0.113.10");
        assert_eq!(bench.internet.reached(), [ip("203.0.113.10"); 2]);
    });
}

#[test]
fn each_redirect_is_judged_anew() {
    inside::run("network::each_redirect_is_judged_anew", || async {
        let bench = Bench::start().await;
        bench.names.add("good.example", &["203.0.113.10"]);
        bench.names.add("other.example", &["203.0.113.10"]);
        bench.names.add("evil.example", &["10.1.2.3"]);
        let to = |location: &str| format!("http://good.example/to?{location}");
        for (location, expected) in [
            ("http://169.254.169.254/latest", "address"),
            ("http://[::ffff:a9fe:a9fe]/latest", "address"),
            ("//evil.example/", "address"),
            ("http://127.0.0.1:8123/", "port"),
            ("http://0x7f.1/", "target"),
            ("http://user@good.example/", "target"),
            ("http://good.example:22/", "port"),
            ("gopher://good.example/", "target"),
            ("/to?/to?/to?/to?/to?/to?/end", "protocol"),
        ] {
            let result = bench.get(&to(location)).await;
            assert_eq!(refusal(&result), expected, "{location}: {result:?}");
        }
        assert_eq!(bench.get(&to("http://other.example/")).await.unwrap().url.to_string(), "http://other.example/");
        assert!(bench.internet.reached().iter().all(|address| *address == ip("203.0.113.10")));
        let fetcher = bench.fetcher(EgressRules::public_web(EgressRules::default(), false));
        let request =
            |url: String, redirects| FetchRequest { redirects, ..FetchRequest::get(WebTarget::parse(&url).unwrap()) };
        let cancel = CancellationToken::new();
        let stayed = fetcher.fetch(request(to("http://other.example/"), Redirects::SameOrigin), &cancel).await;
        assert!(matches!(&stayed, Err(FetchError::Redirect { to, .. }) if to == "http://other.example"), "{stayed:?}");
        let stopped = fetcher.fetch(request(to("http://169.254.169.254/"), Redirects::Stop), &cancel).await.unwrap();
        assert_eq!((stopped.status, stopped.location.as_deref()), (302, Some("http://169.254.169.254/")));
    });
}

#[test]
fn the_owners_own_network_is_reached_by_a_rule_that_says_so() {
    inside::run("network::the_owners_own_network_is_reached_by_a_rule_that_says_so", || async {
        let bench = Bench::start().await;
        let rule = |host: &str, ports: &[u16]| RuleConfig {
            host: host.to_owned(),
            ports: ports.to_vec(),
            plain_http: true,
            private: true,
            ..RuleConfig::default()
        };
        let rules = vec![
            rule("10.1.2.3", &[8123]),
            rule("home.example", &[8123]),
            rule("127.0.0.1", &[80, 8123]),
            rule("169.254.169.254", &[80]),
        ];
        let fetcher = bench.fetcher(EgressConfig { rules, ..EgressConfig::default() }.rules().unwrap());
        bench.names.add("home.example", &["10.1.2.3"]);
        bench.names.add("home.example", &["127.0.0.9"]);
        bench.names.add("home.example", &["169.254.169.254"]);
        assert_eq!(get(&fetcher, "http://10.1.2.3:8123/").await.unwrap().body, b"10.1.2.3");
        assert_eq!(get(&fetcher, "http://home.example:8123/").await.unwrap().body, b"10.1.2.3");
        // Whoever answers for the name must not lead to this machine, nor may any rule open the clouds' metadata.
        assert_eq!(refusal(&get(&fetcher, "http://home.example:8123/").await), "address");
        assert_eq!(refusal(&get(&fetcher, "http://home.example:8123/").await), "address");
        assert_eq!(refusal(&get(&fetcher, "http://169.254.169.254/").await), "address");
        assert_eq!(get(&fetcher, "http://127.0.0.1/").await.unwrap().body, b"127.0.0.1");
        assert_eq!(refusal(&get(&fetcher, "http://127.0.0.1:8123/").await), "guarded");
        assert_eq!(refusal(&get(&fetcher, "http://10.1.2.3/").await), "port");
        assert_eq!(bench.internet.reached().len(), 3);
    });
}

#[test]
fn what_cannot_be_recorded_is_not_sent() {
    inside::run("network::what_cannot_be_recorded_is_not_sent", || async {
        let bench = Bench::start().await;
        bench.names.add("good.example", &["203.0.113.10"]);
        bench.log.fails.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(refusal(&bench.get("http://good.example/").await), "unrecorded");
        assert_eq!(bench.internet.reached(), Vec::<IpAddr>::new());
        #[cfg(feature = "faults")]
        {
            types::faults::set_broken("17");
            assert!(bench.get("http://good.example/").await.is_ok());
        }
    });
}

#[test]
fn this_machines_own_addresses_are_read_from_the_kernel() {
    inside::run("network::this_machines_own_addresses_are_read_from_the_kernel", || async {
        let bench = Bench::start().await;
        bench.names.add("own.example", &["203.0.113.10", "2001:db8:77::10"]);
        let network = Network { interfaces: Interfaces::System, ..bench.network() };
        let fetcher = bench.with_network(EgressRules::public_web(EgressRules::default(), false), network);
        let result = get(&fetcher, "http://own.example/").await;
        let is_own = matches!(&result, Err(FetchError::Denied { reason: DenyReason::Address { class, .. } })
            if class.as_str() == "own-interface");
        assert!(is_own, "{result:?}");
        assert_eq!(bench.internet.reached(), Vec::<IpAddr>::new());
    });
}

#[test]
fn the_systems_resolver_is_bounded_and_its_answers_are_judged() {
    inside::run("network::the_systems_resolver_is_bounded_and_its_answers_are_judged", || async {
        let bench = Bench::start().await;
        let mut tasks = JoinSet::new();
        let server = dns::Server::start(&mut tasks).await;
        server.answer("good.example", &["203.0.113.10"]);
        server.answer("rebind.example", &["203.0.113.10"]);
        server.answer("rebind.example", &["169.254.169.254"]);
        server.alias("alias.example", "inside.example", &["10.1.2.3"]);
        server.answer("mapped.example", &["::ffff:169.254.169.254"]);
        server.answer("nat.example", &["64:ff9b::a9fe:a9fe"]);
        server.answer("mixed.example", &["169.254.169.254", "203.0.113.10"]);
        let many: Vec<String> = (1..=40).map(|last| format!("203.0.113.{}", 100 + last)).collect();
        server.answer("many.example", &many.iter().map(String::as_str).collect::<Vec<_>>());
        let network = Network { resolver: Arc::new(SystemResolver::default()), ..bench.network() };
        let fetcher = bench.with_network(EgressRules::public_web(EgressRules::default(), false), network);
        assert_eq!(get(&fetcher, "http://good.example/").await.unwrap().body, b"203.0.113.10");
        assert_eq!(get(&fetcher, "http://rebind.example/").await.unwrap().body, b"203.0.113.10");
        for name in ["rebind", "alias", "mapped", "nat"] {
            assert_eq!(refusal(&get(&fetcher, &format!("http://{name}.example/")).await), "address", "{name}");
        }
        assert_eq!(get(&fetcher, "http://mixed.example/").await.unwrap().body, b"203.0.113.10");
        assert_eq!(refusal(&get(&fetcher, "http://nobody.example/").await), "unresolved");
        let name = egress::DnsName::parse("many.example").unwrap();
        assert!((1..=16).contains(&SystemResolver::default().resolve(&name).await.unwrap().len()));
        let public = bench.internet.reached().into_iter().all(|address| address == ip("203.0.113.10"));
        assert!(public, "{:?}", bench.internet.reached());
    });
}

/// What a client of a configured origin says: the body, or why not.
async fn configured(base_url: &str) -> Result<String, egress::EgressError> {
    let home = tempfile::tempdir().unwrap();
    let client = HttpClient::new(ClientConfig::new(base_url), Vault::open(home.path()).unwrap())?;
    let cancel = CancellationToken::new();
    let mut response = client.request(Method::GET, "/").send(&cancel).await?;
    Ok(String::from_utf8(response.chunk().await?.unwrap().to_vec()).unwrap())
}

#[test]
fn even_a_configured_origin_is_never_a_metadata_service() {
    inside::run("network::even_a_configured_origin_is_never_a_metadata_service", || async {
        let bench = Bench::start().await;
        let mut tasks = JoinSet::new();
        let server = dns::Server::start(&mut tasks).await;
        server.answer("home.example", &["10.1.2.3"]);
        server.answer("evil.example", &["169.254.169.254"]);
        server.answer("mapped.example", &["::ffff:169.254.169.254"]);
        assert_eq!(configured("http://home.example").await.as_deref(), Ok("10.1.2.3"));
        for url in
            ["http://169.254.169.254", "http://[::ffff:a9fe:a9fe]", "http://0xa9fea9fe", "http://[fd00:ec2::254]"]
        {
            assert_eq!(configured(url).await.unwrap_err().kind, Kind::Invalid, "{url}");
        }
        for host in ["evil.example", "mapped.example"] {
            assert_eq!(configured(&format!("http://{host}")).await.unwrap_err().kind, Kind::Connect, "{host}");
            assert!(StreamClient::plain(host, 80).connect().await.is_err(), "{host}");
        }
        assert!(StreamClient::plain("home.example", 80).connect().await.is_ok());
        assert!(StreamClient::plain("169.254.169.254", 80).connect().await.is_err());
        assert_eq!(bench.internet.reached().first(), Some(&ip("10.1.2.3")));
        assert!(!bench.internet.reached().contains(&ip("169.254.169.254")));
        #[cfg(feature = "faults")]
        {
            types::faults::set_broken("4");
            assert_eq!(configured("http://evil.example").await.as_deref(), Ok("169.254.169.254"));
        }
    });
}

#[test]
fn the_own_api_is_recognised_in_every_form_of_its_address() {
    let listen: SocketAddr = "127.0.0.1:7717".parse().unwrap();
    for (url, expected) in [
        ("http://127.0.0.1:7717", true),
        ("http://localhost:7717/v1", true),
        ("https://[::ffff:127.0.0.1]:7717", true),
        ("http://0.0.0.0:7717", true),
        ("http://127.1:7717", true),
        ("http://127.0.0.1:7718", false),
        ("http://10.1.2.3:7717", false),
    ] {
        assert_eq!(egress::leads_to(url, listen), expected, "{url}");
    }
}
