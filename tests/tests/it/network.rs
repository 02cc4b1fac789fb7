//! Real programs on their way out: in the sandbox, through its proxy, to servers that the test plays, and to the package
//! registries where this machine reaches them.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, Method, Uri},
    routing::{any, get},
};
use egress::{Binding, CredentialSlot, EnvName, GithubRepository, SecretSettings};
use harness::{
    all_but_network_inside, all_inside,
    online::{Authority, GitServer, Online, TOKEN, scene, serve_plain, serve_tls},
};
use serde_json::{Value, json};

/// Where the played servers are.
const SITE: &str = "203.0.113.10";
const OTHER: &str = "203.0.113.11";
const GIT: &str = "203.0.113.12";
const ADDRESSES: [&str; 4] = ["203.0.113.10/32", "203.0.113.11/32", "203.0.113.12/32", "10.99.0.1/32"];

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// A server that tells what it got, and serves as many bytes as are asked for.
fn site() -> Router {
    let echo = async |method: Method, uri: Uri, headers: HeaderMap, body: String| {
        let headers: std::collections::BTreeMap<String, String> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned())).collect();
        Json(json!({"method": method.as_str(), "uri": uri.to_string(), "headers": headers, "body": body}))
    };
    let bytes = async |Path(count): Path<usize>| Body::from(vec![b'x'; count]);
    let page = async || {
        let page =
            "<html><head><title>T</title></head><body><h1>A page</h1><p>See <a href='/more'>more</a>.</body></html>";
        ([("content-type", "text/html; charset=utf-8")], page)
    };
    let slow = async || {
        let ticks = futures_util::stream::unfold(0, |count| async move {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            Some((Ok::<_, std::io::Error>(format!("tick {count}\n")), count + 1))
        });
        Body::from_stream(ticks)
    };
    let away = async || axum::response::Redirect::temporary("https://other.test/echo");
    Router::new()
        .route("/bytes/{count}", get(bytes))
        .route("/page", get(page))
        .route("/slow", get(slow))
        .route("/away", get(away))
        .fallback(any(echo))
}

/// A scene in which `site.test` and `other.test` are public HTTPS servers.
struct Played {
    online: Online,
    authority: Authority,
    runtime: std::sync::Arc<tokio::runtime::Runtime>,
}

impl Played {
    fn new(rules: &str, secrets: &[(&str, &str, SecretSettings)]) -> Self {
        let runtime = scene::runtime();
        let authority = Authority::new();
        runtime.block_on(async {
            serve_tls(&authority, &["site.test"], at(SITE, 443), site()).await;
            serve_plain(at(SITE, 80), site()).await;
            serve_tls(&authority, &["other.test"], at(OTHER, 443), site()).await;
        });
        let home = tempfile::Builder::new().prefix("factotum-online-").tempdir().unwrap();
        let ca = home.path().join("ca.pem");
        authority.write(&ca);
        let ca = ca.display();
        let network = scene::played(&[
            ("site.test", SITE),
            ("other.test", OTHER),
            ("github.com", GIT),
            ("inner.test", "10.99.0.1"),
            ("registry.npmjs.org", SITE),
        ]);
        let config =
            format!("[workspaces.online.egress]\nextra_ca = [\"{ca}\"]\n{rules}\n[web]\nextra_ca = [\"{ca}\"]\n");
        let online = Online::start_in(&runtime, home, &config, network, secrets);
        Self { online, authority, runtime }
    }

    fn reload(&self, rules: &str) {
        let ca = self.online.home.path().join("ca.pem");
        let ca = ca.display();
        self.online.reload(&format!(
            "[workspaces.online.egress]\nextra_ca = [\"{ca}\"]\n{rules}\n[web]\nextra_ca = [\"{ca}\"]\n"
        ));
    }
}

const SITE_RULE: &str =
    "[[workspaces.online.egress.rules]]\nhost = \"site.test\"\nplain_http = true\nmethods = [\"GET\", \"POST\"]\n";

fn has(program: &str) -> bool {
    let found = std::process::Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    let found = found.status.success();
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

#[test]
fn curl_reaches_what_is_allowed_and_nothing_else() {
    all_inside("network::curl_reaches_what_is_allowed_and_nothing_else", &ADDRESSES, || {
        let it = Played::new(&format!("trust_foreign = true\n{SITE_RULE}"), &[]);
        let got = json_in(&it.online.run("curl -sS https://site.test/a?b=c -d body"));
        assert_eq!((&got["method"], &got["uri"], &got["body"]), (&"POST".into(), &"/a?b=c".into(), &"body".into()));
        let plain = it.online.run("curl -sS http://site.test/plain");
        assert!(plain.contains("\"uri\":\"/plain\""), "{plain}");
        for (script, why) in [
            ("curl -sS https://other.test/", "403"),
            ("curl -sS -X DELETE https://site.test/", "no rule allows DELETE"),
            ("curl -sS --noproxy '*' --connect-timeout 2 https://203.0.113.10/", "exit"),
            ("curl -sS https://inner.test/", "403"),
        ] {
            let said = it.online.run(&format!("{script} || echo exit $?"));
            assert!(said.contains(why), "{script}: {said}");
        }
        let records = it.online.egress_records();
        let of = |stage: &str, host: &str| {
            records.iter().filter(|record| record["stage"] == stage && record["host"] == host).count()
        };
        assert!(of("intent", "site.test") >= 2 && of("outcome", "site.test") >= 2, "{records:#?}");
        assert!(of("denied", "other.test") >= 1 && of("denied", "site.test") == 1, "{records:#?}");
        assert!(records.iter().all(|record| record.get("headers").is_none()), "{records:#?}");
    });
}

/// The JSON that a command printed.
fn json_in(said: &str) -> Value {
    let inner = said.find('{').zip(said.rfind('}')).map(|(start, end)| &said[start..=end]);
    inner.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| panic!("no JSON: {said}"))
}

#[test]
fn a_change_of_the_rules_reaches_a_sandbox_that_runs() {
    all_inside("network::a_change_of_the_rules_reaches_a_sandbox_that_runs", &ADDRESSES, || {
        let it = Played::new("", &[]);
        let ask = "curl -sS -m 5 https://site.test/ || echo exit $?";
        let said = it.online.run(ask);
        assert!(said.contains("403"), "{said}");
        it.reload(SITE_RULE);
        let said = it.online.run(ask);
        assert!(said.contains("\"uri\":\"/\""), "{said}");
        // A transfer that is under way ends within a second of the rule's end.
        it.online.run(
            "(curl -sS -N https://site.test/slow > slow.txt 2>&1; echo ended $? >> slow.txt) & sleep 1; cat slow.txt",
        );
        it.reload("");
        let said = it
            .online
            .run("for i in 1 2 3 4 5 6 7 8 9 10; do grep -q ended slow.txt && break; sleep 0.2; done; cat slow.txt");
        assert!(said.contains("ended") && !said.contains("ended 0"), "{said}");
    });
}

#[test]
fn programs_only_read_where_foreign_text_is_until_the_owner_trusts_it() {
    let name = "network::programs_only_read_where_foreign_text_is_until_the_owner_trusts_it";
    all_inside(name, &ADDRESSES, || {
        let it = Played::new(SITE_RULE, &[]);
        let got = json_in(&it.online.run("curl -sS https://site.test/read"));
        assert_eq!(got["uri"], "/read");
        // What came back may have left this.
        let send = "echo 'curl -sS https://site.test/sent -d \"$(id)\"' > build.sh; sh build.sh";
        let refused = it.online.run(send);
        assert!(refused.contains("POST at site.test") && refused.contains("trust_foreign"), "{refused}");
        assert_eq!(json_in(&it.online.run("curl -sS https://site.test/again"))["uri"], "/again");
        it.reload(&format!("trust_foreign = true\n{SITE_RULE}"));
        assert_eq!(json_in(&it.online.run(send))["uri"], "/sent");
        it.reload(SITE_RULE);
        assert!(it.online.run(send).contains("trust_foreign"));
        let records = it.online.egress_records();
        assert!(
            records.iter().any(|record| record["reason"] == "foreign" && record["host"] == "site.test"),
            "{records:#?}"
        );
    });
}

#[test]
fn python_and_node_reach_what_is_allowed() {
    all_inside("network::python_and_node_reach_what_is_allowed", &ADDRESSES, || {
        let it = Played::new(&format!("trust_foreign = true\n{SITE_RULE}"), &[]);
        let node = |code: &str| format!("node -e '{code}'");
        // The copy of Requests that pip carries with it is Requests.
        let requests = "try:\n import requests\nexcept ImportError:\n from pip._vendor import requests\n";
        let cases = [
            (
                "python3",
                format!(
                    "/usr/bin/python3 -c '{requests}print(requests.post(\"https://site.test/r\", data=\"body\").text)'"
                ),
                "\"uri\":\"/r\"",
            ),
            (
                "python3",
                format!("/usr/bin/python3 -c '{requests}print(requests.get(\"https://other.test/\"))' 2>&1 | tail -1"),
                "403",
            ),
            (
                "python3",
                "/usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen(\"https://site.test/u\").read())'"
                    .to_owned(),
                "\"uri\":\"/u\"",
            ),
            ("node", node("fetch(\"https://site.test/n\").then(r => r.text()).then(console.log)"), "\"uri\":\"/n\""),
            ("node", node("fetch(\"http://site.test/p\").then(r => r.text()).then(console.log)"), "\"uri\":\"/p\""),
            (
                "node",
                node(
                    "fetch(\"https://site.test/b\", {method: \"POST\", body: \"words\"}).then(r => r.text()).then(console.log)",
                ),
                "\"body\":\"words\"",
            ),
            ("node", node("fetch(\"https://other.test/\").catch(e => console.log(String(e.cause)))"), "403"),
            (
                "node",
                node("require(\"https\").get(\"https://site.test/h\", r => r.pipe(process.stdout))"),
                "\"uri\":\"/h\"",
            ),
            (
                "node",
                node(
                    "Promise.all([...Array(20)].map((_, i) => fetch(\"https://site.test/bytes/\" + (i * 1000)).then(r => r.text()))).then(all => console.log(all.map(t => t.length).join()))",
                ),
                "0,1000,2000",
            ),
        ];
        for (program, script, wanted) in cases {
            if has(program) {
                let said = it.online.run(&script);
                assert!(said.contains(wanted), "{script}: {said}");
            }
        }
    });
}

/// A token that is bound to one repository.
fn token_for(repository: &str) -> (&'static str, &'static str, SecretSettings) {
    let repository: GithubRepository = repository.parse().unwrap();
    let settings =
        SecretSettings { bindings: Some(repository.bindings()), env: Some(EnvName::new("GITHUB_TOKEN").unwrap()) };
    ("github-token", TOKEN, settings)
}

#[test]
fn git_clones_fetches_and_pushes_one_repository_with_a_token_that_it_never_sees() {
    let name = "network::git_clones_fetches_and_pushes_one_repository_with_a_token_that_it_never_sees";
    all_inside(name, &ADDRESSES, || {
        let rules = "trust_foreign = true\npresets = [\"github\"]\nsecrets = [\"github-token\"]\n";
        let it = Played::new(rules, &[token_for("acme/app:rw")]);
        let server = GitServer::new(&it.online.home.path().join("git"));
        server.add("acme/app.git", "the app");
        server.add("acme/other.git", "another");
        it.runtime.block_on(serve_tls(&it.authority, &["github.com"], at(GIT, 443), server.router()));
        let said = it.online.run("git clone -q https://github.com/acme/app && cat app/README");
        assert!(said.contains("the app"), "{said}");
        let said = it.online.run(
            "cd app && for i in $(seq 3000); do echo line $i $RANDOM; done > big && git add . && git commit -qm second && \
             git push -q origin main 2>&1 && echo pushed",
        );
        assert!(said.contains("pushed"), "{said}");
        assert_eq!(server.log("acme/app.git"), "second\nfirst\n");
        let said = it.online.run("git clone -q https://github.com/acme/app again && cd again && git log --format=%s && git fetch 2>&1 && echo fetched");
        assert!(said.contains("second") && said.contains("fetched"), "{said}");
        // Another repository of the same account is none of the token's.
        let said = it.online.run("git clone https://github.com/acme/other 2>&1 || echo refused");
        assert!(said.contains("refused") && !said.contains("another"), "{said}");
        assert!(server.credentials("other").iter().all(|given| given.is_empty()), "{:?}", server.credentials("other"));
        let said = it.online.run(
            "env; git config -l --show-origin; cat /etc/gitconfig; cat app/.git/config; GIT_CURL_VERBOSE=1 GIT_TRACE_CURL=1 git -C app fetch 2>&1; \
             cat /proc/*/environ | tr '\\0' '\\n'; grep -rl ghp_ /workspace /home /tmp /etc 2>/dev/null",
        );
        use base64::Engine;
        let coded = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"));
        assert!(said.contains("GITHUB_TOKEN=fph_") && !said.contains(TOKEN) && !said.contains(&coded), "{said}");
        let log = it.online.egress_records();
        assert!(
            log.iter().any(|record| record["secret"] == "github-token" && record["host"] == "github.com"),
            "{log:#?}"
        );
        assert!(!serde_json::to_string(&log).unwrap().contains(TOKEN));
    });
}

#[test]
fn a_token_that_only_reads_pushes_nothing() {
    all_inside("network::a_token_that_only_reads_pushes_nothing", &ADDRESSES, || {
        let rules = "trust_foreign = true\npresets = [\"github\"]\nsecrets = [\"github-token\"]\n";
        let it = Played::new(rules, &[token_for("acme/app")]);
        let server = GitServer::new(&it.online.home.path().join("git"));
        server.add("acme/app.git", "the app");
        it.runtime.block_on(serve_tls(&it.authority, &["github.com"], at(GIT, 443), server.router()));
        let said = it.online.run(
            "git clone -q https://github.com/acme/app && cd app && echo x > x && git add x && git commit -qm second && \
             (git push origin main 2>&1 || echo not pushed)",
        );
        assert!(said.contains("not pushed"), "{said}");
        assert_eq!(server.log("acme/app.git"), "first\n");
    });
}

#[test]
fn the_fetch_tool_reads_pages_and_raises_the_session() {
    all_inside("network::the_fetch_tool_reads_pages_and_raises_the_session", &ADDRESSES, || {
        let bound = Binding {
            host: egress::HostPattern::parse("site.test").unwrap(),
            port: 443,
            methods: vec!["GET".to_owned()],
            paths: Vec::new(),
            slot: CredentialSlot::bearer(),
        };
        let settings = SecretSettings { bindings: Some(vec![bound]), env: None };
        let it = Played::new("secrets = [\"key\"]\n", &[("key", "value-0123456789", settings)]);
        // The address stands in the owner's message as a word of its own.
        let fetch =
            |input: Value| it.online.say(None, &format!("call fetch {input} {}", input["url"].as_str().unwrap()));
        let said = fetch(json!({"url": "https://site.test/page"}));
        assert!(said.contains("# A page") && said.contains("See more (/more)"), "{said}");
        // The session holds foreign text and the owner's own words: what is fetched now must be the owner's.
        let asked = it.online.asks("call fetch {\"url\":\"https://site.test/?words\"}");
        assert_eq!(asked.len(), 1, "{asked:#?}");
        let said = fetch(json!({"url": "https://site.test/echo", "credential": "key"}));
        assert!(said.contains("\"authorization\":\"Bearer ****************\""), "{said}");
        let refused = fetch(json!({"url": "https://inner.test/"}));
        assert!(refused.contains("nothing came back"), "{refused}");
        let refused = fetch(json!({"url": "https://site.test/away"}));
        assert!(refused.contains("leads to https://other.test"), "{refused}");
        let records = it.online.egress_records();
        assert!(records.iter().any(|record| record["client"] == "fetch" && record["secret"] == "key"), "{records:#?}");
    });
}

/// Whether a registry answers from this machine, by its ordinary client's way.
fn reaches(host: &str) -> bool {
    let url = format!("https://{host}/");
    let mut asked = std::process::Command::new("curl");
    let reached =
        asked.args(["-sS", "-o", "/dev/null", "-m", "10", &url]).status().is_ok_and(|status| status.success());
    if !reached {
        eprintln!("skipped: {host} cannot be reached from here");
    }
    reached
}

fn registry(presets: &str, more: &str) -> Online {
    let config = format!("[workspaces.online.egress]\npresets = [\"{presets}\"]\n{more}");
    Online::start(&scene::runtime(), &config, scene::with_mirrors(), &[])
}

#[test]
fn pip_installs_from_the_registry() {
    all_but_network_inside("network::pip_installs_from_the_registry", || {
        if !reaches("pypi.org") {
            return;
        }
        let it = registry("python", "");
        let said = it.run(
            "/usr/bin/python3 -m venv v 2>&1 && v/bin/pip install -q --disable-pip-version-check requests==2.32.3 2>&1 && \
             v/bin/python -c 'import requests; print(requests.__version__, requests.get(\"https://pypi.org/simple/idna/\").status_code)'",
        );
        assert!(said.contains("2.32.3 200"), "{said}");
        let said = it
            .run("curl -sS -X POST -d x https://pypi.org/simple/ || true; curl -sS https://crates.io/ || echo exit $?");
        assert!(said.contains("no rule allows POST") && said.contains("403"), "{said}");
    });
}

#[test]
fn npm_installs_from_the_registry() {
    all_but_network_inside("network::npm_installs_from_the_registry", || {
        if !has("npm") || !reaches("registry.npmjs.org") {
            return;
        }
        let it = registry("node", "");
        let said = it.run("npm init -y >/dev/null 2>&1; npm install --no-audit --no-fund is-odd@3.0.1 2>&1; node -e 'console.log(require(\"is-odd\")(3))'");
        assert!(said.contains("true"), "{said}");
    });
}

#[test]
fn cargo_builds_with_a_crate_from_the_registry() {
    all_but_network_inside("network::cargo_builds_with_a_crate_from_the_registry", || {
        let output = std::process::Command::new("rustc").args(["--print", "sysroot"]).output();
        let Some(sysroot) = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()) else {
            eprintln!("skipped: there is no rustc");
            return;
        };
        if !reaches("index.crates.io") {
            return;
        }
        // A mirror may keep the crates elsewhere than the index says by default.
        let index =
            std::process::Command::new("curl").args(["-sS", "https://index.crates.io/config.json"]).output().unwrap();
        let index: Value = serde_json::from_slice(&index.stdout).unwrap_or_default();
        let kept =
            index["dl"].as_str().unwrap_or_default().trim_start_matches("https://").split(['/', ':']).next().unwrap();
        let sysroot = std::fs::canonicalize(sysroot.trim()).unwrap();
        let sysroot = sysroot.display();
        let it = registry(
            "rust",
            &format!(
                "[[workspaces.online.egress.rules]]\nhost = \"{kept}\"\n[sandbox]\nmemory_mb = 4096\nread_only = [\"{sysroot}\"]\n"
            ),
        );
        let said = it.run(&format!(
            "export PATH={sysroot}/bin:$PATH; cargo init -q --name tried . 2>&1 && cargo add -q itoa@1 2>&1 && \
             echo 'fn main() {{ println!(\"{{}}\", itoa::Buffer::new().format(42)); }}' > src/main.rs && cargo run -q 2>&1"
        ));
        assert!(said.contains("42"), "{said}");
    });
}
