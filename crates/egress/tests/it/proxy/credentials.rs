//! A credential goes to its own host, method, path and header alone, and foreign ones do not go at all.

use base64::{Engine, engine::general_purpose::STANDARD};
use egress::{CredentialSlot, Placeholders, SecretSettings, SecretValue, Stage};
use tokio::io::AsyncWriteExt;
use types::Clock;

use super::world::{HOST, OTHER, RULES, VALUE, Wall, World, binding, name, read_all};

in_private_network! { "credentials":
    a_placeholder_in_its_slot_becomes_the_value
    git_sends_it_as_a_password
    a_placeholder_anywhere_else_stays_what_it_is
    outside_of_its_binding_it_is_refused
    another_sandboxes_placeholder_is_worth_nothing
    an_attackers_own_key_does_not_reach_the_host
    a_host_without_credentials_takes_any
    rotation_and_death_act_on_the_next_request
    a_rule_may_ask_for_a_secret
    a_secret_does_not_travel_in_the_clear
}

async fn a_placeholder_in_its_slot_becomes_the_value() {
    let world = World::new().await;
    let placeholder = &world.placeholder;
    assert!(placeholder.len() == 36 && placeholder.starts_with("fph_"));
    world.get(HOST, "/v1/x", &format!("Authorization: Bearer {placeholder}\r\n")).await;
    world.get(HOST, "/v1/x", &format!("authorization: token {placeholder}\r\n")).await;
    world.get(HOST, "/keyed", &format!("X-Api-Key: {placeholder}\r\n")).await;
    let got = world.servers.got();
    assert_eq!(got[0].header("authorization"), [format!("Bearer {VALUE}")]);
    assert_eq!(got[1].header("authorization"), [format!("Bearer {VALUE}")]);
    assert_eq!(got[2].header("x-api-key"), [VALUE]);
    assert_eq!(world.log.of(Stage::Intent)[0].secret.as_deref(), Some("key"));
    assert!(!format!("{:?}", world.log.records).contains(VALUE));
}

async fn git_sends_it_as_a_password() {
    let world = World::new().await;
    let basic = STANDARD.encode(format!("x-access-token:{}", world.git));
    let path = "/owner/repo.git/info/refs?service=git-upload-pack";
    world.get(HOST, path, &format!("Authorization: Basic {basic}\r\n")).await;
    let expected = format!("Basic {}", STANDARD.encode("x-access-token:git-token-0123456789"));
    assert_eq!(world.servers.got()[0].header("authorization"), [expected]);
    // Another repository, and a push where only fetching is allowed.
    for path in ["/owner/other.git/info/refs?service=git-upload-pack", "/owner/repo.git/git-receive-pack"] {
        let answer = world.get(HOST, path, &format!("Authorization: Basic {basic}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("`git` is not bound"), "{answer}");
    }
    assert_eq!(world.servers.got().len(), 1);
}

async fn a_placeholder_anywhere_else_stays_what_it_is() {
    let world = World::new().await;
    let p = world.placeholder.clone();
    let body = format!("{{\"title\":\"{p}\",\"authorization\":\"Bearer {p}\"}}");
    let head = format!(
        "POST /v1/{p}?q={p} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nX-Note: {p}\r\nUser-Agent: Bearer {p}\r\n"
    );
    world.ask(HOST, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    let got = &world.servers.got()[0];
    assert_eq!(got.path, format!("/v1/{p}?q={p}"));
    assert_eq!(got.body, body.as_bytes());
    assert_eq!(
        (got.header("x-note"), got.header("user-agent")),
        (vec![p.as_str()], vec![format!("Bearer {p}").as_str()])
    );
    assert!(!format!("{got:?}").contains(VALUE));
}

async fn outside_of_its_binding_it_is_refused() {
    let world = World::new().await;
    let p = world.placeholder.clone();
    for (method, path, line) in [
        ("PUT", "/v1/x", format!("Authorization: Bearer {p}")),
        ("GET", "/v2/x", format!("Authorization: Bearer {p}")),
        ("GET", "/v1/x", format!("Authorization: Digest {p}")),
        ("GET", "/v1/x", format!("X-Api-Key: {p}")),
        ("GET", "/v1/x", format!("Cookie: session={p}")),
        ("GET", "/v1/x", format!("Authorization: Basic {}", STANDARD.encode(format!("user:{p}")))),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{line}\r\n\r\n");
        let answer = world.ask(HOST, head).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("not bound"), "{line}: {answer}");
    }
    // To another host it goes as it is, and in the clear as well.
    world.get(OTHER, "/v1/x", &format!("Authorization: Bearer {p}\r\n")).await;
    let plain = format!(
        "GET http://{OTHER}/ HTTP/1.1\r\nHost: {OTHER}\r\nAuthorization: Bearer {p}\r\nConnection: close\r\n\r\n"
    );
    world.raw(plain).await;
    let got = world.servers.got();
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|got| got.header("authorization") == [format!("Bearer {p}")]));
    // A workspace that may not use the secret.
    world.replace(&RULES.replace("\"key\", ", ""));
    let answer = world.get(HOST, "/v1/x", &format!("Authorization: Bearer {p}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("may not use"), "{answer}");
}

async fn another_sandboxes_placeholder_is_worth_nothing() {
    let world = World::new().await;
    let others = Placeholders::new([(name("key"), None)]).unwrap();
    let other = others.of(&name("key")).unwrap();
    assert_ne!(other, world.placeholder);
    world.get(HOST, "/v1/x", &format!("Authorization: Bearer {other}\r\n")).await;
    assert!(world.servers.got()[0].header("authorization").is_empty());
}

async fn an_attackers_own_key_does_not_reach_the_host() {
    let world = World::new().await;
    let lines = "Authorization: Bearer attacker\r\nCookie: session=attacker\r\nX-Api-Key: attacker\r\nApi-Key: attacker\r\n\
                 Proxy-Authorization: Basic attacker\r\nX-Goog-Api-Key: attacker\r\nPrivate-Token: attacker\r\n\
                 X-Vendor-Access-Token: attacker\r\n";
    assert!(world.get(HOST, "/v1/files", lines).await.ends_with("hello"));
    // Beside a placeholder of ours it does not go either, in whichever order.
    let p = &world.placeholder;
    for lines in [
        format!("Authorization: Bearer attacker\r\nAuthorization: Bearer {p}\r\nX-Api-Key: attacker\r\n"),
        format!("Authorization: Bearer {p}\r\nAuthorization: Bearer attacker\r\n"),
    ] {
        world.get(HOST, "/v1/files", &lines).await;
    }
    let got = world.servers.got();
    assert!(!format!("{got:?}").contains("attacker"), "{got:#?}");
    assert!(got[1..].iter().all(|got| got.header("authorization") == [format!("Bearer {VALUE}")]));
    for query in
        ["key=a", "a=b&access_token=x", "API-Key=x", "%6bey=x", "a;token=x", "X-Amz-Signature=x", "auth[token]=x"]
    {
        let answer = world.get(HOST, &format!("/v1/files?{query}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("carries a credential"), "{query}: {answer}");
        assert!(!answer.contains(query));
    }
    assert_eq!(world.servers.got().len(), 3);
}

async fn a_host_without_credentials_takes_any() {
    let world = World::new().await;
    world.get(OTHER, "/?token=mine", "Authorization: Bearer mine\r\nCookie: mine\r\n").await;
    let got = &world.servers.got()[0];
    assert_eq!((got.header("authorization"), got.header("cookie")), (vec!["Bearer mine"], vec!["mine"]));
}

async fn rotation_and_death_act_on_the_next_request() {
    let world = World::new().await;
    let line = format!("Authorization: Bearer {}", world.placeholder);
    let mut stream = world.tls(HOST).await;
    let ask = format!("GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\n{line}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    world.vault.rotate(&name("key"), SecretValue::new("another-value-123").unwrap(), Wall.now()).unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    let dead = egress::Dead::new(Wall.now(), "seen in a test", "a test");
    world.vault.mark_dead(&name("key"), dead).unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    let refused = read_all(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("dead"), "{refused}");
    let got = world.servers.got();
    assert_eq!(got.len(), 2);
    assert_eq!(got[1].header("authorization"), ["Bearer another-value-123"]);
}

async fn a_rule_may_ask_for_a_secret() {
    let world = World::new().await;
    world.replace(&RULES.replace("methods = [\"*\"]", "methods = [\"*\"]\nneeds_secret = true"));
    let refused = world.get(HOST, "/v1/x", "").await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("needs a secret"), "{refused}");
    let line = format!("Authorization: Bearer {}\r\n", world.placeholder);
    assert!(world.get(HOST, "/v1/x", &line).await.ends_with("hello"));
    // One that is bound to another port is not bound here.
    let elsewhere = vec![binding("api.example.com:8443", &[], &[], CredentialSlot::bearer())];
    let settings = SecretSettings { bindings: Some(elsewhere), ..SecretSettings::default() };
    world.vault.configure(&name("key"), settings).unwrap();
    assert!(world.get(HOST, "/v1/x", &line).await.starts_with("HTTP/1.1 403"));
}

async fn a_secret_does_not_travel_in_the_clear() {
    let world = World::new().await;
    let bindings = vec![binding("other.example.com:80", &[], &[], CredentialSlot::bearer())];
    let settings = SecretSettings { bindings: Some(bindings), ..SecretSettings::default() };
    world.vault.configure(&name("key"), settings).unwrap();
    let ask = |token: &str| {
        format!(
            "GET http://{OTHER}/ HTTP/1.1\r\nHost: {OTHER}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
    };
    let refused = world.raw(ask(&world.placeholder)).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("in the clear"), "{refused}");
    // Another port of the same host is no drop box either.
    assert!(world.raw(ask("attacker")).await.ends_with("hello"));
    world.get(OTHER, "/", "Authorization: Bearer attacker\r\n").await;
    let got = world.servers.got();
    assert!(got.len() == 2 && got.iter().all(|got| got.header("authorization").is_empty()), "{got:#?}");
}
