//! Where a secret may go: hosts, methods, paths, and the scope of a GitHub token.

use egress::{Binding, CredentialSlot, EnvName, GithubRepository, PathPattern, RequestPath, Scheme, Target};
use proptest::prelude::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

fn github(text: &str) -> Vec<Binding> {
    text.parse::<GithubRepository>().unwrap().bindings()
}

fn target(host: &str) -> Target {
    Target::parse_host(host, Scheme::Https).unwrap()
}

/// As the proxy asks: a path that cannot be read is no request at all.
fn allows(binding: &Binding, host: &str, method: &str, path: &str) -> bool {
    RequestPath::parse(path).is_ok_and(|path| binding.allows(&target(host), method, &path))
}

fn allowed(bindings: &[Binding], host: &str, method: &str, path: &str) -> bool {
    bindings.iter().any(|binding| allows(binding, host, method, path))
}

#[test]
fn a_path_that_readers_understand_differently_gets_no_secret() {
    let binding = Binding { paths: vec![pattern("/a/**")], ..Binding::to("x.example").unwrap() };
    for path in ["/a/../b", "/a/./b", "/a/..", "/a/%2e%2e/b", "/a/%2E./b", "/a/b\\c", "/a/%252e", "/a/b#c", "/a/%00"] {
        assert!(!allows(&binding, "x.example", "GET", path), "{path:?}");
    }
    for path in ["/b/%2fa/c", "/A/b", "/ab", "/"] {
        assert!(!allows(&binding, "x.example", "GET", path), "{path:?}");
    }
    assert!(allows(&binding, "x.example", "GET", "/a/b%20c?q=/../b"));
}

#[test]
fn malformed_bindings_are_refused() {
    for host in [
        "",
        "a b",
        "a_b.example",
        "*.com",
        "*",
        "a.*.example",
        "EXAMPLE..com",
        "-a.example",
        "[::1",
        "a:0",
        "a:x",
        "0x7f.1",
    ] {
        assert!(Binding::to(host).is_err(), "{host}");
    }
    for path in ["", "a", "/a?b", "/a/../b", "/a**b", "/**/a", "/%2e", "/a b"] {
        assert!(PathPattern::parse(path).is_err(), "{path}");
    }
    for header in ["host", "content-length", "proxy-authorization", "transfer-encoding", "Upper", "a b", ""] {
        let slot = CredentialSlot::Header { name: header.to_owned(), prefix: String::new() };
        assert!(Binding { slot, ..Binding::to("a.example").unwrap() }.check().is_err(), "{header}");
    }
    for name in ["PATH", "LD_PRELOAD", "GIT_SSH_COMMAND", "1A", "a", "A-B", ""] {
        assert!(EnvName::new(name).is_err(), "{name}");
    }
    for text in ["a", "a/b/c", "a/b:x", "../b", "a/..", "a b/c", "/b", "a/"] {
        assert!(text.parse::<GithubRepository>().is_err(), "{text}");
    }
}

#[test]
fn hosts_and_ports_are_exact_or_one_label() {
    let one = Binding::to("*.example.com").unwrap();
    assert!(one.is_for(&target("a.example.com")) && one.is_for(&target("A.example.com.")));
    for other in ["example.com", "a.b.example.com", "aexample.com", "a.example.com:80"] {
        assert!(!one.is_for(&target(other)), "{other}");
    }
    assert_eq!(Binding::to("API.example.com:8443").unwrap().port, 8443);
    assert!(Binding::to("[::1]:8443").unwrap().is_for(&target("[::1]:8443")));
}

#[test]
fn a_github_token_serves_its_repository_alone() {
    let (read, write) = (github("octo/cat"), github("octo/cat.git:rw"));
    for (method, host, path) in [
        ("GET", "github.com", "/octo/cat.git/info/refs"),
        ("GET", "github.com", "/octo/cat/info/refs"),
        ("POST", "github.com", "/octo/cat.git/git-upload-pack"),
        ("GET", "api.github.com", "/repos/octo/cat"),
        ("GET", "api.github.com", "/repos/octo/cat/pulls/7/files"),
    ] {
        assert!(allowed(&read, host, method, path) && allowed(&write, host, method, path), "{path}");
    }
    for (method, host, path) in [
        ("POST", "github.com", "/octo/cat.git/git-receive-pack"),
        ("POST", "api.github.com", "/repos/octo/cat/pulls"),
        ("PUT", "api.github.com", "/repos/octo/cat/contents/a/b.txt"),
    ] {
        assert!(!allowed(&read, host, method, path) && allowed(&write, host, method, path), "{path}");
    }
    for (method, host, path) in [
        ("GET", "github.com", "/octo/dog.git/info/refs"),
        ("GET", "github.com", "/octo/cat.git.git/info/refs"),
        ("POST", "github.com", "/octo/cat.git/../dog.git/git-receive-pack"),
        ("GET", "api.github.com", "/repos/octo/cats"),
        ("GET", "api.github.com", "/user"),
        ("POST", "api.github.com", "/graphql"),
        ("DELETE", "api.github.com", "/repos/octo/cat"),
        ("POST", "api.github.com", "/repos/octo/cat/keys"),
        ("PUT", "api.github.com", "/repos/octo/cat/collaborators/eve"),
        ("POST", "api.github.com", "/repos/octo/cat/transfer"),
        ("POST", "api.github.com", "/repos/octo/cat/hooks"),
        ("GET", "gist.github.com", "/octo/cat.git/info/refs"),
        ("GET", "uploads.github.com", "/repos/octo/cat/releases"),
    ] {
        assert!(!allowed(&write, host, method, path), "{method} {host}{path}");
    }
    assert!(write.iter().all(|binding| binding.check().is_ok()));
}

#[test]
fn bindings_read_back_as_they_were_written() {
    for binding in github("octo/cat:rw") {
        let text = serde_json::to_string(&binding).unwrap();
        assert_eq!(serde_json::from_str::<Binding>(&text).unwrap(), binding);
    }
    assert!(
        serde_json::from_str::<Binding>(r#"{"host":"a.example","slot":{"kind":"basic"},"paths":["/a/../b"]}"#).is_err()
    );
}

proptest! {
    /// Whatever the path: with a repository's token nothing outside of the repository is reached, as GitHub would read it.
    #[test]
    fn no_path_reaches_another_repository(path in "(/(octo|cat|dog|repos|\\.\\.|\\.|%2e%2e|%2f|cat.git|info|refs|keys)){1,7}/?") {
        let bindings = github("octo/cat:rw");
        for method in ["GET", "POST", "DELETE"] {
            if allowed(&bindings, "github.com", method, &path) {
                prop_assert!(path.starts_with("/octo/cat/") || path.starts_with("/octo/cat.git/"), "{}", path);
                prop_assert!(!path.contains(".."), "{}", path);
            }
            if allowed(&bindings, "api.github.com", method, &path) {
                prop_assert!(path == "/repos/octo/cat" || path.starts_with("/repos/octo/cat/"), "{}", path);
                prop_assert!(!path.contains("..") && !path.contains('%'), "{}", path);
            }
        }
    }
}
