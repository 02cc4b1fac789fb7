//! The one parser of targets and paths: what it takes, what it refuses, and that it means one thing.

use egress::{DnsName, Host, PathError, PathPattern, RequestPath, Scheme, Target, TargetError as E, WebTarget};
use proptest::prelude::*;

#[test]
fn authorities_are_read_into_one_form() {
    for (given, expected) in [
        ("example.com:443", "example.com:443"),
        ("EXAMPLE.Com.:443", "example.com:443"),
        ("a-b.c3.example:1", "a-b.c3.example:1"),
        ("r3---sn-x.example.com:443", "r3---sn-x.example.com:443"),
        ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
        ("XN--BCHER-KVA.example:443", "xn--bcher-kva.example:443"),
        ("192.0.2.1:65535", "192.0.2.1:65535"),
        ("[::1]:443", "[::1]:443"),
        ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
        ("[::ffff:10.0.0.1]:443", "[::ffff:10.0.0.1]:443"),
        ("localhost:8080", "localhost:8080"),
        ("1e100.net:443", "1e100.net:443"),
        ("0x7f.example:443", "0x7f.example:443"),
    ] {
        let target = Target::parse_authority(given).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(target.to_string(), expected);
    }
}

#[test]
fn authorities_with_two_readings_are_refused() {
    for (given, expected) in [
        ("", E::NoHost),
        (":443", E::NoHost),
        (".:443", E::NoHost),
        ("example.com", E::Port),
        ("example.com:", E::Port),
        ("example.com:0", E::Port),
        ("example.com:65536", E::Port),
        ("example.com:+443", E::Port),
        ("example.com:0443", E::Port),
        ("example.com: 443", E::Port),
        ("example.com:443:443", E::Port),
        ("example.com:4\u{0664}3", E::Port),
        ("user@example.com:443", E::UserInfo),
        ("user:pass@example.com:443", E::Port),
        ("example.com%00.evil.example:443", E::Percent),
        ("ex%61mple.com:443", E::Percent),
        ("example.com\0.evil.example:443", E::Characters),
        ("example.com\r\n:443", E::Characters),
        ("exa mple.com:443", E::Characters),
        ("b\u{fc}cher.example:443", E::Characters),
        ("example\u{3002}com:443", E::Characters),
        ("example..com:443", E::Name),
        ("example.com..:443", E::Name),
        ("-example.com:443", E::Name),
        ("example-.com:443", E::Name),
        ("under_score.example:443", E::Name),
        ("exam!ple.com:443", E::Name),
        ("*.example.com:443", E::Name),
        ("example.com/path:443", E::Name),
        ("example.com\\evil:443", E::Name),
        ("xn--a.example:443", E::Name),
        ("xn--zzzzzzzzz99999999.example:443", E::Name),
        ("0x7f.1:443", E::Address),
        ("0x7f000001:443", E::Address),
        ("017700000001:443", E::Address),
        ("2130706433:443", E::Address),
        ("127.1:443", E::Address),
        ("127.0.0.1.:443", E::Address),
        ("127.0.0.01:443", E::Address),
        ("0177.0.0.1:443", E::Address),
        ("0x7f.0.0.0x1:443", E::Address),
        ("256.0.0.1:443", E::Address),
        ("1.2.3.4.5:443", E::Address),
        ("example.0x:443", E::Address),
        ("[fe80::1%25eth0]:443", E::Percent),
        ("[fe80::1%eth0]:443", E::Percent),
        ("[::1:443", E::Address),
        ("[::1]443", E::Address),
        ("[::1]x:443", E::Address),
        ("[127.0.0.1]:443", E::Address),
        ("[v1.x]:443", E::Address),
        ("[]:443", E::Address),
    ] {
        assert_eq!(Target::parse_authority(given), Err(expected), "{given:?}");
    }
    assert_eq!(Target::parse_authority("::1:443"), Err(E::NoHost));
    let long = format!("{}.example:443", "a".repeat(64));
    assert_eq!(Target::parse_authority(&long), Err(E::Name));
    assert_eq!(Target::parse_authority(&format!("{}:443", "a.".repeat(200))), Err(E::TooLong));
}

#[test]
fn urls_are_read_whole_or_not_at_all() {
    let read = |text| WebTarget::parse(text).map(|url| url.to_string());
    for (given, expected) in [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A?b=c", "https://example.com/A?b=c"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://example.com?x", "http://example.com/?x"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
    ] {
        assert_eq!(read(given).as_deref(), Ok(expected));
    }
    for (given, expected) in [
        ("ftp://example.com/", E::Scheme),
        ("file:///etc/passwd", E::Scheme),
        ("//example.com/", E::Scheme),
        ("https:example.com", E::Scheme),
        ("https:///x", E::NoHost),
        ("https://a@b.example/", E::UserInfo),
        ("https://good.example\\@evil.example/", E::Path(PathError::Characters)),
        ("https://good.example#@evil.example/", E::Path(PathError::Characters)),
        ("https://example.com/a b", E::Path(PathError::Characters)),
        ("https://example.com/\t", E::Path(PathError::Characters)),
        ("https://example.com/\u{e4}", E::Path(PathError::Characters)),
        ("https://example.com/a/../b", E::Path(PathError::Dots)),
    ] {
        assert_eq!(read(given), Err(expected), "{given}");
    }
}

#[test]
fn written_urls_are_shown_as_they_are_dialled() {
    let read = |text| WebTarget::parse_written(text).map(|url| url.to_string());
    assert_eq!(
        read(" https://b\u{fc}cher.example/\u{e4} x#part ").as_deref(),
        Ok("https://xn--bcher-kva.example/%C3%A4%20x")
    );
    // Digits and dots of other scripts become what a resolver would make of them, and are read again as that.
    assert_eq!(
        WebTarget::parse_written("http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/").unwrap().target.host(),
        &Host::parse("127.0.0.1").unwrap()
    );
    assert_eq!(read("http://\u{ff10}x7f.1/"), Err(E::Address));
    assert_eq!(read("https://ex\u{200b}ample.com\u{2028}/"), Err(E::Name));
    assert_eq!(read("https://us\u{e9}r@example.com/"), Err(E::UserInfo));
    // A look-alike of a slash is a letter of the name, and shown as what it is.
    assert!(read("https://example.com\u{2044}x/").unwrap().starts_with("https://example.xn--"));
}

#[test]
fn locations_are_joined_like_a_browser_would_or_refused() {
    let from = WebTarget::parse("https://a.example/x/y?z").unwrap();
    let join = |location| from.join(location).map(|url| url.to_string());
    assert_eq!(join("/q#f").as_deref(), Ok("https://a.example/q"));
    assert_eq!(join("q").as_deref(), Ok("https://a.example/x/q"));
    assert_eq!(join("?w").as_deref(), Ok("https://a.example/x/y?w"));
    assert_eq!(join("//b.example/q").as_deref(), Ok("https://b.example/q"));
    assert_eq!(join("http://169.254.169.254/latest").as_deref(), Ok("http://169.254.169.254/latest"));
    assert_eq!(join("/q?back=https://b.example/").as_deref(), Ok("https://a.example/q?back=https://b.example/"));
    assert_eq!(join("javascript:alert(1)"), Err(E::Scheme));
    assert_eq!(join("file:///etc/passwd"), Err(E::Scheme));
    assert_eq!(join("../q"), Err(E::Path(PathError::Dots)));
    assert_eq!(join("\\\\b.example/q"), Err(E::Path(PathError::Characters)));
}

#[test]
fn paths_that_servers_read_in_different_ways_are_refused() {
    for (given, expected) in [
        ("x", PathError::NotAbsolute),
        ("", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("/a/./b", PathError::Dots),
        ("/a/..", PathError::Dots),
        ("/a/%2e%2E/b", PathError::Dots),
        ("/a/.%2e/b", PathError::Dots),
        ("/a%2f..%2fb", PathError::Dots),
        ("/a%5c..%5cb", PathError::Dots),
        ("/a/..;x=1/b", PathError::Dots),
        ("/a/%252e%252e/b", PathError::Encoding),
        ("/a%252fb", PathError::Encoding),
        ("/a%", PathError::Encoding),
        ("/a%4", PathError::Encoding),
        ("/a%zz", PathError::Encoding),
        ("/a%00", PathError::Encoding),
        ("/a%0d%0aX", PathError::Encoding),
        ("/a%ff", PathError::Encoding),
        ("/a%c0%ae", PathError::Encoding),
        ("/a\\b", PathError::Characters),
        ("/a#b", PathError::Characters),
        ("/a\0", PathError::Characters),
    ] {
        assert_eq!(RequestPath::parse(given), Err(expected), "{given:?}");
    }
    assert_eq!(RequestPath::parse(&"/a".repeat(10_000)), Err(PathError::TooLong));
    assert_eq!(RequestPath::parse(&"/a".repeat(129)), Err(PathError::TooLong));
    let path = RequestPath::parse("/a/b..c/...?q=/../&r").unwrap();
    assert_eq!((path.path(), path.query()), ("/a/b..c/...", Some("q=/../&r")));
}

#[test]
fn patterns_cover_what_they_say() {
    let covers = |pattern, path| {
        let patterns = [PathPattern::parse(pattern).unwrap()];
        PathPattern::cover(&patterns, &RequestPath::parse(path).unwrap())
    };
    for (pattern, path, expected) in [
        ("/a/b", "/a/b", true),
        ("/a/b", "/a/b?c", true),
        ("/a/b", "/a/b/", false),
        ("/a/b", "/A/b", false),
        ("/a/b", "/a/%62", true),
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/", false),
        ("/a/*", "/a/b/c", false),
        ("/a/*", "/a/b%2fc", false),
        ("/a/**", "/a", true),
        ("/a/**", "/a/b%2fc", true),
        ("/a/**", "/ab", false),
        ("/**", "/", true),
        ("/*.git/info/refs", "/x.git/info/refs", true),
        ("/*.git/info/refs", "/.git/info/refs", false),
        ("/@*/*", "/@scope/name", true),
        ("/o/r/**", "/o%2fr/x", false),
        ("/", "/", true),
    ] {
        assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
    }
    for pattern in ["", "a", "/a**", "/**/a", "/a/../b", "/a?b", "/%61", "/a*b*c", "/\u{e4}"] {
        assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
    }
    // What denies counts in every reading, what allows must hold in each.
    let [deny] = [PathPattern::parse("/o/r/**").unwrap()];
    assert!(PathPattern::touch(&[deny], &RequestPath::parse("/o%2fr/x").unwrap()));
}

/// Text that is likely to come close to a host.
fn hostlike() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9-]{0,5}",
        Just(".".to_owned()),
        Just("xn--".to_owned()),
        Just("0x7f".to_owned()),
        Just("127.0.0.1".to_owned()),
        Just("[::1]".to_owned()),
        Just("%00".to_owned()),
        Just("@".to_owned()),
        Just(":443".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_accepted_is_accepted_again_as_the_same(text in hostlike()) {
        if let Ok(target) = Target::parse_authority(&format!("{text}:443")) {
            let shown = target.to_string();
            prop_assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
            prop_assert_eq!(Target::parse_authority(&shown), Ok(target));
        }
    }

    #[test]
    fn written_urls_are_idempotent(text in hostlike(), path in ".{0,12}") {
        if let Ok(url) = WebTarget::parse_written(&format!("https://{text}/{path}")) {
            let shown = url.to_string();
            prop_assert!(shown.is_ascii());
            prop_assert_eq!(WebTarget::parse(&shown), Ok(url.clone()));
            prop_assert_eq!(WebTarget::parse_written(&shown), Ok(url));
        }
    }

    #[test]
    fn no_name_is_an_address_to_any_resolver(text in hostlike()) {
        if let Ok(name) = DnsName::parse(&text) {
            let last = name.as_str().rsplit('.').next().unwrap_or_default();
            prop_assert!(last.parse::<u64>().is_err());
            prop_assert!(name.as_str().parse::<std::net::IpAddr>().is_err());
        }
    }

    #[test]
    fn accepted_paths_have_no_step_up(path in "(/|\\.|%2e|%2f|%5c|;|a|%25|\\?){0,12}") {
        if let Ok(read) = RequestPath::parse(&format!("/{path}")) {
            let decoded = read.path().to_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
            prop_assert!(!decoded.split('/').any(|segment| matches!(segment, "." | "..")), "{}", decoded);
        }
    }

    #[test]
    fn the_default_port_is_left_out_of_the_host_header_alone(port in 1_u16..) {
        let target = Target::parse_authority(&format!("a.example:{port}")).unwrap();
        for scheme in [Scheme::Http, Scheme::Https] {
            let header = target.host_header(scheme);
            prop_assert_eq!(Target::parse_host(&header, scheme), Ok(target.clone()));
        }
    }
}
