//! What a head means, as a table, and for any bytes at all.

use hyper::header::HeaderValue;
use proptest::prelude::*;

use super::*;

fn meaning_of(head: &str) -> Result<String, String> {
    read_head(head.as_bytes()).expect("the head is whole")
}

#[test]
fn a_tunnel_and_an_absolute_address_are_understood() {
    assert_eq!(
        meaning_of("CONNECT API.example.com.:443 HTTP/1.1\r\n\r\n"),
        Ok("tunnel api.example.com:443".to_owned())
    );
    let plain = meaning_of("GET http://EXAMPLE.com/a?b HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(plain, Ok("GET http://example.com/a?b".to_owned()));
}

#[test]
fn everything_else_is_refused() {
    for head in [
        "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET https://example.com/ HTTP/1.1\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\n\r\n",
        "GET http://user@example.com/ HTTP/1.1\r\n\r\n",
        "CONNECT example.com HTTP/1.1\r\n\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "CONNECT 0x7f000001:443 HTTP/1.1\r\n\r\n",
        "POST http://example.com/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert!(meaning_of(head).is_err(), "{head}");
    }
}

#[test]
fn no_header_makes_another_method_of_it() {
    for name in
        ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override", "X_HTTP_Method_Override", "x-http_METHOD"]
    {
        let head = format!("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n{name}: DELETE\r\n\r\n");
        assert!(meaning_of(&head).is_err_and(|why| why.contains("another method")), "{name}");
        let headers = HeaderMap::from_iter([
            (HOST, HeaderValue::from_static("example.com")),
            (name.parse().expect("a name"), HeaderValue::from_static("DELETE")),
        ]);
        let target = Target::parse_authority("example.com:443").expect("a target");
        let refused = in_tunnel(&target, &Method::GET, &Uri::from_static("/"), &headers).expect_err("refused");
        assert_eq!((refused.code, refused.status), ("protocol", StatusCode::BAD_REQUEST), "{name}");
    }
    let head = "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nX-HTTP-Methods: DELETE\r\n\r\n";
    assert_eq!(meaning_of(head), Ok("POST http://example.com/".to_owned()));
}

#[test]
fn what_a_connection_names_as_its_own_is_removed_but_never_the_framing() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "x-a, Content-Length"),
        ("connection", "upgrade"),
        ("x-a", "1"),
        ("content-length", "2"),
        ("upgrade", "w"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    assert_eq!(strip_connection(&mut headers), Some(HeaderValue::from_static("w")));
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[CONTENT_LENGTH], "2");
}

proptest! {
    #[test]
    fn no_head_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_head(&bytes);
    }

    #[test]
    fn a_tunnel_goes_where_the_line_says(host in "[a-z0-9.:@%\\[\\]-]{0,20}", port in "[0-9+]{0,6}") {
        let head = format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n");
        if let Some(Ok(meaning)) = read_head(head.as_bytes()) {
            prop_assert_eq!(meaning, format!("tunnel {}:{}", host.trim_end_matches('.'), port));
        }
    }
}
