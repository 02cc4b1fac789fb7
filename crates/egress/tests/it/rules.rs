//! What the owner writes, and what it allows: deny by default, deny wins, and every word of a rule counts.

use std::sync::Arc;

use egress::{
    Ask, Caps, DayTally, DenyReason, EgressConfig, EgressRules, Judge, Network, Preset, Reach, RequestPath, RuleConfig,
    Scheme, Target, WebTarget,
};
use types::{Clock, Timestamp};

struct Fixed(std::sync::atomic::AtomicI64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

fn rule(host: &str, change: impl FnOnce(&mut RuleConfig)) -> RuleConfig {
    let mut rule = RuleConfig { host: host.to_owned(), ..RuleConfig::default() };
    change(&mut rule);
    rule
}

fn rules(rules: Vec<RuleConfig>) -> EgressRules {
    EgressConfig { rules, ..EgressConfig::default() }.rules().unwrap()
}

fn presets(presets: &[Preset]) -> EgressRules {
    EgressConfig { presets: presets.to_vec(), ..EgressConfig::default() }.rules().unwrap()
}

/// The rule that allows a request without body or secret, or the code of the refusal.
fn asks(rules: &EgressRules, method: &str, url: &str) -> Result<String, &'static str> {
    with(rules, method, url, |_| {})
}

fn with(
    rules: &EgressRules,
    method: &str,
    url: &str,
    change: impl FnOnce(&mut Ask<'_>),
) -> Result<String, &'static str> {
    let url = WebTarget::parse(url).unwrap();
    let mut ask = Ask {
        scheme: url.scheme,
        target: &url.target,
        method,
        path: &url.path,
        has_body: false,
        upgrade: false,
        has_secret: false,
    };
    change(&mut ask);
    rules.request(&ask).map(|(rule, _)| rule.id.to_string()).map_err(|reason| reason.code())
}

#[test]
fn nothing_is_allowed_unless_it_stands_there() {
    let none = EgressRules::default();
    assert!(none.is_empty());
    assert_eq!(asks(&none, "GET", "https://example.com/"), Err("host"));
    let target = Target::parse_authority("example.com:443").unwrap();
    assert!(matches!(none.connection(Scheme::Https, &target), Err(DenyReason::Host { .. })));
}

#[test]
fn each_word_of_a_rule_counts() {
    let rules = rules(vec![
        rule("api.example.com", |rule| {
            rule.paths = vec!["/v1/**".to_owned()];
            rule.methods = vec!["GET".to_owned(), "POST".to_owned()];
            rule.max_url_bytes = 40;
        }),
        rule("*.cdn.example.com", |_| {}),
        rule("plain.example.com", |rule| rule.plain_http = true),
        rule("ports.example.com", |rule| rule.ports = vec![8443]),
        rule("quiet.example.com", |rule| (rule.methods, rule.body) = (vec!["*".to_owned()], Some(false))),
        rule("keyed.example.com", |rule| rule.needs_secret = true),
    ]);
    for (method, url, expected) in [
        ("GET", "https://api.example.com/v1/x", Ok("rules/1")),
        ("POST", "https://api.example.com/v1/x", Ok("rules/1")),
        ("PUT", "https://api.example.com/v1/x", Err("method")),
        ("get", "https://api.example.com/v1/x", Err("method")),
        ("GET\r\nX: y", "https://api.example.com/v1/x", Err("method")),
        ("GET", "https://api.example.com/v2/x", Err("path")),
        ("GET", "https://api.example.com/v1/x?0123456789012345678901234567890123456789", Err("long-url")),
        ("GET", "http://api.example.com/v1/x", Err("port")),
        ("GET", "http://api.example.com:443/v1/x", Err("plain-http")),
        ("GET", "https://api.example.com:8443/v1/x", Err("port")),
        ("GET", "https://example.com/v1/x", Err("host")),
        ("GET", "https://api.example.com.evil.example/v1/x", Err("host")),
        ("GET", "https://a.cdn.example.com/", Ok("rules/2")),
        ("GET", "https://a.b.cdn.example.com/", Err("host")),
        ("GET", "https://cdn.example.com/", Err("host")),
        ("GET", "https://evilcdn.example.com/", Err("host")),
        ("GET", "http://plain.example.com/", Ok("rules/3")),
        ("GET", "https://plain.example.com/", Ok("rules/3")),
        ("GET", "https://ports.example.com:8443/", Ok("rules/4")),
        ("GET", "https://ports.example.com/", Err("port")),
        ("DELETE", "https://quiet.example.com/", Ok("rules/5")),
        ("GET", "https://keyed.example.com/", Err("needs-secret")),
    ] {
        assert_eq!(asks(&rules, method, url).as_deref().map_err(|code| *code), expected, "{method} {url}");
    }
    let body = |method, url| with(&rules, method, url, |ask| ask.has_body = true);
    assert_eq!(body("POST", "https://quiet.example.com/"), Err("body"));
    assert_eq!(body("GET", "https://a.cdn.example.com/"), Err("body"));
    assert_eq!(body("POST", "https://api.example.com/v1/x").as_deref(), Ok("rules/1"));
    let keyed = with(&rules, "GET", "https://keyed.example.com/", |ask| ask.has_secret = true);
    assert_eq!(keyed.as_deref(), Ok("rules/6"));
    let upgrade = with(&rules, "GET", "https://a.cdn.example.com/", |ask| ask.upgrade = true);
    assert_eq!(upgrade, Err("upgrade"));
}

#[test]
fn a_rule_that_denies_wins_wherever_it_stands() {
    let rules = EgressConfig {
        presets: vec![Preset::Github],
        rules: vec![
            rule("*.example.com", |_| {}),
            rule("bad.example.com", |rule| rule.deny = true),
            rule("github.com", |rule| (rule.deny, rule.paths) = (true, vec!["/evil/**".to_owned()])),
        ],
        ..EgressConfig::default()
    }
    .rules()
    .unwrap();
    assert_eq!(asks(&rules, "GET", "https://good.example.com/").as_deref(), Ok("rules/1"));
    assert_eq!(asks(&rules, "GET", "https://bad.example.com/"), Err("denied-by-rule"));
    assert_eq!(asks(&rules, "GET", "https://bad.example.com:8443/"), Err("denied-by-rule"));
    assert!(asks(&rules, "GET", "https://github.com/good/repo/info/refs").is_ok());
    assert_eq!(asks(&rules, "GET", "https://github.com/evil/repo/info/refs"), Err("denied-by-rule"));
    assert_eq!(asks(&rules, "GET", "https://github.com/%65vil%2frepo/info/refs"), Err("denied-by-rule"));
    let connect = |authority: &str| rules.connection(Scheme::Https, &Target::parse_authority(authority).unwrap());
    assert!(matches!(connect("bad.example.com:443"), Err(DenyReason::DeniedByRule { .. })));
    // Requests to other repositories are still possible, so the connection is.
    assert!(connect("github.com:443").is_ok());
}

#[test]
fn unopened_tls_is_the_exception_that_a_rule_has_to_name() {
    let own = vec![
        rule("pinned.example.com", |rule| rule.pass_through = true),
        rule("open.example.com", |_| {}),
        rule("mixed.example.com", |rule| rule.pass_through = true),
        rule("mixed.example.com", |rule| (rule.deny, rule.paths) = (true, vec!["/x".to_owned()])),
    ];
    let rules = rules(own);
    let passes = |host: &str| {
        let target = Target::parse_authority(&format!("{host}:443")).unwrap();
        rules.connection(Scheme::Https, &target).unwrap().pass_through.is_some()
    };
    assert!(passes("pinned.example.com"));
    assert!(!passes("open.example.com"));
    assert!(!passes("mixed.example.com"), "what a rule denies by path has to be seen");
}

#[test]
fn private_targets_need_a_rule_that_says_so() {
    let rules = rules(vec![
        rule("192.168.1.10", |rule| (rule.private, rule.plain_http, rule.ports) = (true, true, vec![8123])),
        rule("home.example.com", |rule| rule.private = true),
        rule("example.com", |_| {}),
    ]);
    let reach =
        |scheme, authority: &str| rules.connection(scheme, &Target::parse_authority(authority).unwrap()).unwrap().reach;
    assert_eq!(reach(Scheme::Http, "192.168.1.10:8123"), Reach::PrivateByAddress);
    assert_eq!(reach(Scheme::Https, "home.example.com:443"), Reach::PrivateByName);
    assert_eq!(reach(Scheme::Https, "example.com:443"), Reach::Public);
    assert_eq!(asks(&rules, "GET", "http://[::ffff:192.168.1.10]:8123/"), Err("host"));
}

#[test]
fn mistakes_are_named_with_the_rule() {
    for (change, expected) in [
        (rule("", |_| {}), "rule 1: `host`: the host is missing"),
        (rule("*", |_| {}), "rule 1: `host`: `*` stands for one label"),
        (rule("*.com", |_| {}), "rule 1: `host`: `*` stands for one label"),
        (rule("a.*.com", |_| {}), "rule 1: `host`: `*` stands for one label"),
        (rule("https://a.example", |_| {}), "rule 1: `host`: the host looks like an address"),
        (rule("a.example", |rule| rule.paths = vec!["x".to_owned()]), "rule 1: `paths`: `x` is no path pattern"),
        (rule("a.example", |rule| rule.methods = vec!["get".to_owned()]), "rule 1: `methods` must be upper-case"),
        (rule("a.example", |rule| rule.methods = vec!["CONNECT".to_owned()]), "rule 1: `methods` must be upper-case"),
        (rule("a.example", |rule| rule.ports = vec![0]), "rule 1: `ports` must be"),
        (
            rule("a.example", |rule| (rule.pass_through, rule.paths) = (true, vec!["/x".to_owned()])),
            "rule 1: `pass_through` cannot see",
        ),
        (rule("a.example", |rule| (rule.deny, rule.private) = (true, true)), "rule 1: a rule with `deny` has only"),
        (rule("a.example", |rule| rule.max_up_kib = u64::MAX), "rule 1: a cap is too large"),
    ] {
        let error = EgressConfig { rules: vec![change], ..EgressConfig::default() }.check().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let relative = EgressConfig { extra_ca: vec!["ca.pem".into()], ..EgressConfig::default() };
    assert!(relative.check().is_err());
    let unknown = serde_json::json!({ "rules": [{ "host": "a.example", "metods": [] }] });
    assert!(serde_json::from_value::<EgressConfig>(unknown).is_err());
}

#[test]
fn presets_let_programs_do_what_they_do_and_no_more() {
    let all = presets(&[Preset::Rust, Preset::Node, Preset::Python, Preset::Debian, Preset::Github, Preset::Anthropic]);
    for url in [
        "https://index.crates.io/config.json",
        "https://index.crates.io/se/rd/serde",
        "https://index.crates.io/3/u/url",
        "https://static.crates.io/crates/serde/serde-1.0.0.crate",
        "https://static.crates.io/crates/serde/1.0.0/download",
        "https://crates.io/api/v1/crates/serde/1.0.0/download",
        "https://static.rust-lang.org/dist/channel-rust-stable.toml.sha256",
        "https://registry.npmjs.org/express",
        "https://registry.npmjs.org/@types%2fnode",
        "https://registry.npmjs.org/@types/node",
        "https://registry.npmjs.org/express/-/express-4.0.0.tgz",
        "https://registry.npmjs.org/@types/node/-/node-1.0.0.tgz",
        "https://pypi.org/simple/requests/",
        "https://files.pythonhosted.org/packages/ab/cd/ef/requests-2.0.0-py3-none-any.whl",
        "http://deb.debian.org/debian/dists/stable/InRelease",
        "https://security.debian.org/debian-security/dists/x/InRelease",
        "https://github.com/owner/repo.git/info/refs?service=git-upload-pack",
        "https://github.com/owner/repo/releases/download/v1/x.tar.gz",
        "https://api.github.com/repos/owner/repo/releases",
        "https://codeload.github.com/owner/repo/tar.gz/main",
    ] {
        assert!(asks(&all, "GET", url).is_ok(), "{url}: {:?}", asks(&all, "GET", url));
    }
    let negotiate = "https://github.com/owner/repo.git/git-upload-pack";
    assert!(with(&all, "POST", negotiate, |ask| ask.has_body = true).is_ok());
    for (method, url) in [
        ("POST", "https://github.com/owner/repo.git/git-receive-pack"),
        ("POST", "https://api.github.com/repos/owner/repo/issues"),
        ("POST", "https://api.anthropic.com/v1/messages"),
        ("GET", "https://api.anthropic.com/v1/models"),
    ] {
        let with_body = |has_secret| with(&all, method, url, |ask| (ask.has_body, ask.has_secret) = (true, has_secret));
        assert!(with_body(false).is_err(), "{url}");
        assert!(with_body(true).is_ok(), "{url}: {:?}", with_body(true));
    }
    for (method, url) in [
        ("POST", "https://api.github.com/gists"),
        ("POST", "https://api.github.com/user/repos"),
        ("PUT", "https://registry.npmjs.org/mine"),
        ("PUT", "https://crates.io/api/v1/crates/new"),
        ("POST", "https://upload.pypi.org/legacy/"),
        ("POST", "https://api.anthropic.com/v1/files"),
        ("POST", "https://api.openai.com/v1/chat/completions"),
    ] {
        assert!(with(&all, method, url, |ask| (ask.has_body, ask.has_secret) = (true, true)).is_err(), "{url}");
    }
    let long = format!("https://registry.npmjs.org/{}", "x".repeat(600));
    assert_eq!(asks(&all, "GET", &long), Err("long-url"));
}

#[test]
fn bytes_count_for_the_request_and_for_the_day() {
    let clock = Arc::new(Fixed(0.into()));
    let tally: Arc<DayTally> = Arc::new(DayTally::new(clock.clone()));
    let rules = rules(vec![rule("a.example", |rule| {
        rule.methods = vec!["POST".to_owned()];
        (rule.max_up_kib, rule.day_up_kib, rule.max_down_kib, rule.day_down_kib) = (2, 3, 2, 100);
    })]);
    let network = Network::system(Vec::new(), Vec::new(), Vec::new());
    let judge = Judge::new(Arc::new(rules.clone()), network.clone(), tally.clone());
    let path = RequestPath::root();
    let target = Target::parse_authority("a.example:443").unwrap();
    let ask = Ask {
        scheme: Scheme::Https,
        target: &target,
        method: "POST",
        path: &path,
        has_body: true,
        upgrade: false,
        has_secret: false,
    };
    let first = judge.judge(&ask).unwrap();
    assert_eq!(first.meter.send(2048), Ok(()));
    assert!(matches!(first.meter.send(1), Err(DenyReason::TooMuch { direction: "send", .. })));
    assert!(matches!(first.meter.receive(2049), Err(DenyReason::TooMuch { direction: "receive", .. })));
    // A new judge, after a change of the rules, goes on counting.
    let judge = Judge::new(Arc::new(rules), network, tally);
    let second = judge.judge(&ask).unwrap();
    assert!(matches!(second.meter.send(1024), Err(DenyReason::DayUsedUp { direction: "send", .. })));
    assert_eq!(judge.judge(&ask).unwrap_err().code(), "day-used-up");
    clock.0.store(86_400_000, std::sync::atomic::Ordering::Relaxed);
    assert!(judge.judge(&ask).is_ok());
}

#[test]
fn the_open_web_is_read_and_what_the_owner_denied_stays_denied() {
    let own = rules(vec![rule("bad.example.com", |rule| rule.deny = true)]);
    let read = EgressRules::public_web(own.clone(), false);
    assert_eq!(asks(&read, "GET", "http://any.example/").as_deref(), Ok("web/read"));
    assert_eq!(asks(&read, "GET", "https://bad.example.com/"), Err("denied-by-rule"));
    assert_eq!(asks(&read, "POST", "https://any.example/"), Err("method"));
    let send = EgressRules::public_web(own, true);
    assert_eq!(with(&send, "POST", "https://any.example/", |ask| ask.has_body = true).as_deref(), Ok("web/send"));
    assert!(asks(&send, "POST", "http://any.example/").is_err());
    let caps: Vec<Caps> = send.rules.iter().filter(|rule| !rule.deny).map(|rule| rule.caps).collect();
    assert!(caps.iter().all(|caps| caps.down < 1 << 30));
}

#[test]
fn a_reader_reads_whatever_else_the_rules_allow() {
    let whole = EgressConfig {
        presets: vec![Preset::Github, Preset::Rust, Preset::Anthropic],
        rules: vec![
            rule("git.example.com", |rule| (rule.methods, rule.upgrade) = (vec!["*".to_owned()], true)),
            rule("tunnel.example.com", |rule| rule.pass_through = true),
            rule("closed.example.com", |rule| rule.deny = true),
        ],
        ..EgressConfig::default()
    };
    let whole = whole.rules().unwrap();
    let reading = whole.clone().reading();
    let secret =
        |ask: &mut Ask<'_>| (ask.has_body, ask.has_secret) = (ask.method != "GET" && ask.method != "HEAD", true);
    for (method, url) in [
        ("GET", "https://git.example.com/api/v1/repos/acme/app"),
        ("HEAD", "https://git.example.com/acme/app"),
        ("GET", "https://git.example.com/acme/app.git/info/refs?service=git-upload-pack"),
        ("POST", "https://git.example.com/acme/app.git/git-upload-pack"),
        ("POST", "https://github.com/acme/app/git-upload-pack"),
        ("GET", "https://api.github.com/repos/acme/app/pulls"),
        ("GET", "https://static.crates.io/crates/serde/serde-1.0.0.crate"),
    ] {
        assert!(
            with(&whole, method, url, secret).is_ok() && with(&reading, method, url, secret).is_ok(),
            "{method} {url}"
        );
    }
    for (method, url) in [
        ("GET", "https://git.example.com/acme/app.git/info/refs?service=git-receive-pack"),
        ("POST", "https://git.example.com/acme/app.git/git-receive-pack"),
        ("POST", "https://git.example.com/api/v1/repos/acme/app/pulls"),
        ("PUT", "https://git.example.com/api/v1/repos/acme/app/contents/git-upload-pack"),
        ("POST", "https://git.example.com/api/v1/repos/acme/app/contents/git-upload-pack"),
        ("POST", "https://git.example.com/acme/app.git%2fgit-upload-pack"),
        ("DELETE", "https://git.example.com/acme/app"),
        ("OPTIONS", "https://git.example.com/acme/app"),
        ("POST", "https://github.com/acme/app/git-receive-pack"),
        ("PATCH", "https://api.github.com/repos/acme/app/pulls/1"),
        ("POST", "https://api.anthropic.com/v1/messages"),
    ] {
        assert!(with(&whole, method, url, secret).is_ok(), "{method} {url}");
        assert_eq!(with(&reading, method, url, secret), Err("only-reads"), "{method} {url}");
    }
    let url = "https://git.example.com/x";
    assert_eq!(with(&reading, "GET", url, |ask| ask.has_body = true), Err("only-reads"));
    assert_eq!(with(&reading, "GET", url, |ask| ask.upgrade = true), Err("upgrade"));
    assert!(with(&whole, "GET", url, |ask| ask.upgrade = true).is_ok());
    let tunnel = Target::parse_authority("tunnel.example.com:443").unwrap();
    assert!(whole.connection(Scheme::Https, &tunnel).unwrap().pass_through.is_some());
    assert!(reading.connection(Scheme::Https, &tunnel).unwrap().pass_through.is_none());
    assert_eq!(asks(&reading, "GET", "https://closed.example.com/"), Err("denied-by-rule"));
}
