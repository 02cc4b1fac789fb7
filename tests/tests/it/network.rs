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
use egress::SecretSettings;
use harness::{
    all_inside,
    online::{Authority, Online, scene, serve_plain, serve_tls},
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
    let away = async || axum::response::Redirect::temporary("https://other.test/echo");
    Router::new()
        .route("/bytes/{count}", get(bytes))
        .route("/page", get(page))
        .route("/away", get(away))
        .fallback(any(echo))
}

/// A scene in which `site.test` and `other.test` are public HTTPS servers.
struct Played {
    online: Online,
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
        Self { online }
    }
}

const SITE_RULE: &str =
    "[[workspaces.online.egress.rules]]\nhost = \"site.test\"\nplain_http = true\nmethods = [\"GET\", \"POST\"]\n";

#[test]
fn curl_reaches_what_is_allowed_and_nothing_else() {
    all_inside("network::curl_reaches_what_is_allowed_and_nothing_else", &ADDRESSES, || {
        let it = Played::new(SITE_RULE, &[]);
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
