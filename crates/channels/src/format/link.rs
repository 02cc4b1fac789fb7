//! Where a link leads, told from its address alone and only when that is beyond doubt.

/// What can be said about a link's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A web page: its host, and whether the address has more than the host.
    Web {
        /// The host, with the port if there is one.
        host: String,
        /// Whether there is a path, a query or a fragment.
        more: bool,
    },
    /// Anything else. It is shown as it is and must not be made clickable.
    Other,
}

/// Reads an address. One that two programs could read differently (a name before the host, a backslash, letters
/// outside ASCII) counts as [`Destination::Other`].
pub(super) fn destination(address: &str) -> Destination {
    let Some(rest) = strip_scheme(address) else { return Destination::Other };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '<' | '>' | '`');
    if !address.chars().all(plain) {
        return Destination::Other;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    let name = match host.split_once(':') {
        Some((name, port)) if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => name,
        Some(_) => return Destination::Other,
        None => host,
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')) {
        return Destination::Other;
    }
    Destination::Web { host: host.to_ascii_lowercase(), more: !matches!(tail, "" | "/") }
}

/// Whether a label says no less than the address itself.
pub(super) fn says_it_all(label: &str, address: &str) -> bool {
    let bare = |text: &str| {
        let text = text.trim();
        strip_scheme(text).or_else(|| text.strip_prefix("mailto:")).unwrap_or(text).trim_end_matches('/').to_owned()
    };
    bare(label) == bare(address)
}

fn strip_scheme(address: &str) -> Option<&str> {
    let (scheme, rest) = address.split_once("://")?;
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(host: &str, more: bool) -> Destination {
        Destination::Web { host: host.to_owned(), more }
    }

    #[test]
    fn only_plain_addresses_have_a_host() {
        for (address, expected) in [
            ("https://example.org", web("example.org", false)),
            ("HTTPS://Example.org/", web("example.org", false)),
            ("http://example.org:8080/a?b#c", web("example.org:8080", true)),
            ("https://example.org?q=1", web("example.org", true)),
            ("https://good.org@evil.org/", Destination::Other),
            ("https://good.org\\@evil.org/", Destination::Other),
            ("https://exämple.org/", Destination::Other),
            ("https://[::1]/", Destination::Other),
            ("javascript:alert(1)", Destination::Other),
            ("tg://resolve?domain=x", Destination::Other),
            ("src/main.rs", Destination::Other),
            ("https:///path", Destination::Other),
            ("https://a.org/b c", Destination::Other),
        ] {
            assert_eq!(destination(address), expected, "{address}");
        }
    }

    #[test]
    fn a_label_that_is_the_address_needs_no_more() {
        assert!(says_it_all("https://example.org/a", "https://example.org/a"));
        assert!(says_it_all("example.org", "https://example.org/"));
        assert!(!says_it_all("example.org", "https://evil.org/"));
    }
}
