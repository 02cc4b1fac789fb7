//! One function per fuzz target: it panics when what must hold does not. Input is arbitrary bytes.

use egress::{Host, PathPattern, RequestPath, Target, WebTarget, read_head};
use policy::Redactor;
use types::{Confidentiality, Integrity, Label, SecretName};

/// A value that the redactor knows, and that no input has by chance.
pub const SECRET: &str = "k3y+with/signs=%Z-0123456789";

/// What the parser accepts has one form, which it accepts again as the same.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(target) = Target::parse_authority(&text) {
        let shown = target.to_string();
        assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown:?}");
        assert_eq!(Target::parse_authority(&shown), Ok(target.clone()));
        if let Host::Dns(name) = target.host() {
            assert!(name.as_str().parse::<std::net::IpAddr>().is_err(), "{name}");
        }
    }
    for url in [WebTarget::parse(&text), WebTarget::parse_written(&text)].into_iter().flatten() {
        let shown = url.to_string();
        assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown:?}");
        assert_eq!(WebTarget::parse(&shown).as_ref(), Ok(&url));
        assert_eq!(WebTarget::parse_written(&shown), Ok(url));
    }
    if let Ok(path) = RequestPath::parse(&text) {
        let up = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        assert!(!path.path().split('/').any(up), "{path}");
        let everything = [PathPattern::parse("/**").expect("a pattern")];
        assert!(PathPattern::cover(&everything, &path) && PathPattern::touch(&everything, &path));
    }
}

/// A head is incomplete, refused, or means one thing that can be printed.
pub fn head(data: &[u8]) {
    match read_head(data) {
        Some(Ok(meaning)) => assert!(!meaning.contains(char::is_control) && meaning.is_ascii(), "{meaning:?}"),
        Some(Err(refusal)) => assert!(!refusal.is_empty()),
        None => {}
    }
}

/// Labels form a lattice: joining only rises, in whatever order things come.
pub fn labels(data: &[u8]) {
    let label = |byte: u8| Label {
        integrity: if byte & 1 == 0 { Integrity::Trusted } else { Integrity::Untrusted },
        confidentiality: if byte & 2 == 0 { Confidentiality::Public } else { Confidentiality::Private },
    };
    let mut session = Label::CLEAN;
    for byte in data {
        let risen = session.join(label(*byte));
        assert!(risen.covers(session) && risen.covers(label(*byte)));
        assert_eq!(risen, label(*byte).join(session));
        assert_eq!(risen.join(session), risen);
        session = risen;
    }
    let backwards = data.iter().rev().fold(Label::CLEAN, |sum, byte| sum.join(label(*byte)));
    assert_eq!(session, backwards);
}

/// No cut of a stream shows a value, and none changes what is masked. The first two bytes say where the value stands and
/// how long the pieces are.
pub fn redactor(data: &[u8]) {
    let [at, piece, rest @ ..] = data else { return };
    let name = SecretName::new("fuzzed").expect("a name");
    let redactor = Redactor::new([(name, SECRET.to_owned())]);
    let mut text = rest.to_vec();
    let at = usize::from(*at).min(text.len());
    text.splice(at..at, SECRET.bytes());
    let mut whole = text.clone();
    redactor.mask(&mut whole);
    assert_eq!(whole.len(), text.len());
    assert!(!contains(&whole, SECRET.as_bytes()), "{:?}", String::from_utf8_lossy(&whole));
    assert_eq!(in_pieces(&redactor, &text, usize::from(*piece) + 1), whole);
    let readable = String::from_utf8_lossy(&text);
    let redacted = redactor.redact(&readable);
    assert!(!redacted.contains(SECRET), "{redacted:?}");
    assert!(redactor.settled(&readable) <= readable.len());
}

/// Masks a stream that comes in pieces of this size.
fn in_pieces(redactor: &Redactor, text: &[u8], size: usize) -> Vec<u8> {
    let (mut done, mut held) = (Vec::new(), Vec::new());
    for piece in text.chunks(size) {
        held.extend_from_slice(piece);
        let settled = redactor.mask_settled(&mut held);
        done.extend(held.drain(..settled));
    }
    redactor.mask(&mut held);
    done.extend(held);
    done
}

fn contains(text: &[u8], value: &[u8]) -> bool {
    text.windows(value.len()).any(|window| window == value)
}
