//! What may be opened, and that one host alone is spoken to: the one that was judged.

use std::{sync::atomic::Ordering, time::Duration};

use egress::{Limits, Stage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::world::{HOST, OTHER, RULES, World, read_all};

in_private_network! { "tunnels":
    a_request_goes_through_and_is_recorded_before_and_after
    several_requests_share_a_tunnel_and_a_connection
    plain_http_goes_in_absolute_form_where_a_rule_allows_it
    what_no_rule_allows_is_refused_in_words
    no_other_host_can_be_fronted
    only_tls_is_spoken_in_a_tunnel
    a_name_that_leads_to_a_private_address_is_not_dialled
    what_cannot_be_recorded_is_not_sent
    tls_passes_through_for_untainted_sessions_alone
    what_holds_foreign_text_may_only_read
    a_change_of_protocol_needs_a_rule
    an_untrusted_server_gets_nothing
    stopping_closes_everything_at_once
}

async fn a_request_goes_through_and_is_recorded_before_and_after() {
    let world = World::new().await;
    let answer = world.get(HOST, "/a?b=c", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
    let got = world.servers.got();
    assert_eq!((got[0].method.as_str(), got[0].path.as_str(), got[0].header("host")), ("GET", "/a?b=c", vec![HOST]));
    let outcome = world.log.wait_for(Stage::Outcome, |_| true).await;
    let intent = &world.log.of(Stage::Intent)[0];
    assert_eq!((intent.host.as_str(), intent.port, intent.method.as_str()), (HOST, 443, "GET"));
    assert_eq!((intent.rule.as_deref(), intent.address.as_deref()), (Some("rules/1"), Some("203.0.113.10:443")));
    assert_eq!((outcome.status, outcome.moved.down, outcome.reason), (Some(200), 5, None));
    assert!(world.log.of(Stage::Denied).is_empty());
}

async fn several_requests_share_a_tunnel_and_a_connection() {
    let world = World::new().await;
    let mut stream = world.tls(HOST).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    for path in ["/1", "/2", "/3"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            answer.push(stream.read_u8().await.unwrap());
        }
    }
    assert_eq!(world.servers.got().len(), 3);
    assert_eq!(world.servers.opened.lock().unwrap()[HOST], 1);
    assert_eq!(world.log.of(Stage::Intent).len(), 3);
}

async fn plain_http_goes_in_absolute_form_where_a_rule_allows_it() {
    let world = World::new().await;
    let ask = |host: &str| format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(world.raw(ask(OTHER)).await.ends_with("hello"));
    assert_eq!(world.servers.got()[0].path, "/x");
    let refused = world.raw(ask(HOST)).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("no rule allows"), "{refused}");
    for (head, why) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "this is a proxy"),
        ("GET https://other.example.com/ HTTP/1.1\r\nHost: other.example.com\r\n\r\n", "CONNECT"),
        ("GET ftp://other.example.com/ HTTP/1.1\r\nHost: other.example.com\r\n\r\n", "only http and https"),
        ("GET http://other.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "another host"),
        ("GET http://me@other.example.com/ HTTP/1.1\r\nHost: other.example.com\r\n\r\n", "user name"),
    ] {
        let refused = world.raw(head).await;
        assert!(refused.starts_with("HTTP/1.1 4") && refused.contains(why), "{head}: {refused}");
    }
    assert_eq!(world.servers.got().len(), 1);
}

async fn what_no_rule_allows_is_refused_in_words() {
    let world =
        World::with("[[rules]]\nhost = 'api.example.com'\nmethods = ['GET']\npaths = ['/open/**']", Limits::default())
            .await;
    for authority in ["evil.example.com:443", "api.example.com:22", "169.254.169.254:443", "[::1]:443", "localhost:443"]
    {
        let refused = world.tunnel(authority).await.unwrap_err();
        assert!(
            refused.starts_with("HTTP/1.1 403")
                && refused.contains("workspaces.NAME.egress") | refused.contains("`ports`"),
            "{refused}"
        );
    }
    for authority in
        ["0x7f.1:443", "2130706433:443", "127.1:443", "a%2eb:443", "x@api.example.com:443", "api.example.com:0"]
    {
        let refused = world.tunnel(authority).await.unwrap_err();
        assert!(refused.starts_with("HTTP/1.1 400"), "{authority}: {refused}");
    }
    assert!(world.get(HOST, "/closed", "").await.contains("no rule allows this path"));
    assert!(world.get(HOST, "/open/../closed", "").await.starts_with("HTTP/1.1 400"));
    assert!(world.get(HOST, "/open/%2e%2e/closed", "").await.starts_with("HTTP/1.1 400"));
    let refused =
        world.ask(HOST, format!("DELETE /open/x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(refused.contains("no rule allows DELETE"), "{refused}");
    assert!(world.get(HOST, "/open/x", "").await.ends_with("hello"));
    assert_eq!(world.servers.got().len(), 1);
    assert!(world.log.of(Stage::Denied).len() >= 12);
}

async fn no_other_host_can_be_fronted() {
    let world = World::new().await;
    // TLS asks for another host than CONNECT, or for none.
    for name in [OTHER, "evil.example.com", "203.0.113.10"] {
        let stream = world.tunnel(&format!("{HOST}:443")).await.unwrap();
        assert!(world.shake(stream, name).await.is_err(), "{name}");
    }
    // The request names another host than TLS.
    for host in [OTHER, "evil.example.com", "api.example.com:444", "api.example.com.evil.example"] {
        let answer = world.ask(HOST, format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 421"), "{host}: {answer}");
    }
    let absolute = format!("GET https://{OTHER}/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    assert!(world.ask(HOST, absolute).await.starts_with("HTTP/1.1 400"));
    let two = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {OTHER}\r\nConnection: close\r\n\r\n");
    assert!(world.ask(HOST, two).await.starts_with("HTTP/1.1 400"));
    let none = world.ask(HOST, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(none.starts_with("HTTP/1.1 400"), "{none}");
    let nested = format!("CONNECT {OTHER}:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    assert!(world.ask(HOST, nested).await.starts_with("HTTP/1.1 400"));
    assert!(world.servers.got().is_empty());
    assert!(world.log.of(Stage::Intent).is_empty());
}

async fn only_tls_is_spoken_in_a_tunnel() {
    let world = World::new().await;
    for bytes in ["GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n", "\0\0\0"] {
        let mut stream = world.tunnel(&format!("{HOST}:443")).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
    }
    let denied = world.log.wait_for(Stage::Denied, |_| true).await;
    assert_eq!((denied.method.as_str(), denied.reason), ("CONNECT", Some("protocol")));
    assert!(world.servers.opened.lock().unwrap().is_empty());
}

async fn a_name_that_leads_to_a_private_address_is_not_dialled() {
    let world = World::new().await;
    for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"] {
        world.replace("[[rules]]\nhost = 'rebound.example.com'");
        // The last answer stays, and each is asked for once.
        world.resolver.add("rebound.example.com", &[address]);
        let answer = world.get("rebound.example.com", "/", "").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{address}: {answer}");
    }
    assert!(world.log.of(Stage::Intent).is_empty());
}

async fn what_cannot_be_recorded_is_not_sent() {
    let world = World::new().await;
    world.log.fails.store(true, Ordering::Relaxed);
    let answer = world.get(HOST, "/", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("audit log"), "{answer}");
    assert!(world.servers.got().is_empty() && world.servers.opened.lock().unwrap().is_empty());
    world.log.fails.store(false, Ordering::Relaxed);
    assert!(world.get(HOST, "/", "").await.ends_with("hello"));
}

async fn tls_passes_through_for_untainted_sessions_alone() {
    let world = World::new().await;
    world.replace("[[rules]]\nhost = 'api.example.com'\npass_through = true");
    let stream = world.tunnel(&format!("{HOST}:443")).await.unwrap();
    // The server's own certificate comes through, which the sandbox does not trust.
    let error = world.shake(stream, HOST).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert_eq!(world.servers.opened.lock().unwrap()[HOST], 1);
    let intent = world.log.wait_for(Stage::Intent, |_| true).await;
    assert_eq!((intent.method.as_str(), intent.rule.as_deref()), ("CONNECT", Some("rules/1")));
    // Another name within the tunnel, and a session that has read foreign text.
    let stream = world.tunnel(&format!("{HOST}:443")).await.unwrap();
    assert!(world.shake(stream, OTHER).await.is_err());
    world.untainted.store(false, Ordering::Relaxed);
    let stream = world.tunnel(&format!("{HOST}:443")).await.unwrap();
    assert!(world.shake(stream, HOST).await.is_err());
    world.log.wait_for(Stage::Denied, |record| record.reason == Some("pass-through-tainted")).await;
    assert_eq!(world.servers.opened.lock().unwrap()[HOST], 1);
}

async fn what_holds_foreign_text_may_only_read() {
    let world = World::new().await;
    world.replace(&RULES.replace("methods = [\"*\"]", "methods = [\"*\"]\nupgrade = true"));
    let post = format!("POST /v1/x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi");
    let mut stream = world.tls(HOST).await;
    stream.write_all(post.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        answer.push(stream.read_u8().await.unwrap());
    }
    // The next request on the very same connection.
    world.untainted.store(false, Ordering::Relaxed);
    stream.write_all(post.as_bytes()).await.unwrap();
    let refused = read_all(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("trust_foreign = true"), "{refused}");
    assert!(refused.contains("POST at api.example.com") && refused.contains("`rules/1`"), "{refused}");
    world.log.wait_for(Stage::Denied, |record| record.reason == Some("foreign")).await;
    let upgrade = format!("GET /upgrade HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let refused = world.ask(HOST, &upgrade).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("trust_foreign"), "{refused}");
    assert!(world.get(HOST, "/", "").await.ends_with("hello"));
    assert_eq!(world.servers.got().iter().filter(|got| got.method == "POST").count(), 1);
    world.replace(&format!("trust_foreign = true\n{RULES}"));
    let answer = world.ask(HOST, &post).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

async fn a_change_of_protocol_needs_a_rule() {
    let world = World::new().await;
    let head = format!("GET /upgrade HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let refused = world.ask(HOST, &head).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("change of protocol"), "{refused}");
    world.replace(&RULES.replace("methods = [\"*\"]", "methods = [\"*\"]\nupgrade = true\nmax_up_kib = 1"));
    let mut stream = world.tls(HOST).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"ping.").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping.");
    // More than the rule lets one request send.
    stream.write_all(&[b'x'; 2000]).await.unwrap();
    assert!(read_all(&mut stream).await.len() < 2000);
    let outcome = world.log.wait_for(Stage::Outcome, |record| record.reason.is_some()).await;
    assert_eq!(outcome.reason, Some("too-much"));
}

async fn an_untrusted_server_gets_nothing() {
    let world = World::new().await;
    // The right address, another server's certificate.
    world.resolver.add("wrong.example.com", &["203.0.113.11"]);
    world.replace("[[rules]]\nhost = 'wrong.example.com'\nmethods = ['*']");
    let answer = world.get("wrong.example.com", "/", "").await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("secure connection"), "{answer}");
    assert!(world.servers.got().is_empty());
}

async fn stopping_closes_everything_at_once() {
    let world = World::new().await;
    let mut busy = world.tls(HOST).await;
    busy.write_all(format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let mut idle = world.dial().await;
    busy.read_u8().await.unwrap();
    world.stop().await;
    for stream in [busy.get_mut().0, &mut idle] {
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await.unwrap();
    }
}
