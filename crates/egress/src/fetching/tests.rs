//! What git says when it fetches, and what it does not, by table and by properties.

use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

use super::*;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// Lines as packets; `|` is a flush, `,` a delimiter.
fn packets(lines: &[&str]) -> Vec<u8> {
    let packet = |line: &&str| match *line {
        "|" => "0000".to_owned(),
        "," => "0001".to_owned(),
        line => format!("{:04x}{line}\n", line.len() + 5),
    };
    lines.iter().map(packet).collect::<String>().into_bytes()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).expect("it is small");
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    [&head[..], &compress_to_vec(body, 6), &[0; 4], &size.to_le_bytes()].concat()
}

fn good() -> Vec<Vec<u8>> {
    let able = format!(
        "want {ONE} multi_ack_detailed no-done side-band-64k thin-pack no-progress include-tag ofs-delta deepen-since \
         deepen-not filter object-format=sha1 agent=git/2.47.3-Linux"
    );
    let (want, have, shallow) = (format!("want {ONE}"), format!("have {TWO}"), format!("shallow {ONE}"));
    [
        vec!["|"],
        vec![&*able, "|", "done"],
        vec![&able, &want, &shallow, "deepen 1", "filter blob:none", "|"],
        vec![&want, "deepen-since 1700000000", "deepen-not refs/heads/ünï", "|", &have, &have, "|", &have, "done"],
        vec!["command=ls-refs", "agent=git/2.47.3", "object-format=sha1", ",", "peel", "symrefs", "unborn", "|"],
        vec!["command=ls-refs", ",", "ref-prefix HEAD", "ref-prefix refs/heads/", "|"],
        vec!["command=ls-refs", "|"],
        vec!["command=fetch", "agent=x", "session-id=y", ",", "thin-pack", "ofs-delta", &want, &have, "done", "|"],
        vec!["command=fetch", ",", "want-ref refs/heads/main", &shallow, "deepen 3", "deepen-relative", "|"],
        vec!["command=fetch", ",", "no-progress", "include-tag", "filter combine:tree:0+blob:limit=1k", &want, "|"],
    ]
    .map(|lines| packets(&lines))
    .into()
}

#[test]
fn what_git_says_when_it_fetches_passes() {
    for body in good() {
        assert!(inspect(&body, Encoding::Plain), "{}", String::from_utf8_lossy(&body));
        assert!(inspect(&gzip(&body), Encoding::Gzip), "{}", String::from_utf8_lossy(&body));
        assert!(!inspect(&gzip(&body), Encoding::Plain) && !inspect(&body, Encoding::Gzip));
    }
    // Without line feeds, as some programs write it.
    assert!(inspect(format!("0031want {ONE}00000008done").as_bytes(), Encoding::Plain));
}

#[test]
fn everything_else_is_refused() {
    let (want, have) = (format!("want {ONE}"), format!("have {ONE}"));
    for lines in [
        vec![","],
        vec!["|", "|"],
        vec!["done"],
        vec![&*have, "|"],
        vec![&want],
        vec![&want, "done"],
        vec![&want, &have, "|"],
        vec![&want, "|", &want],
        vec![&want, ",", "done"],
        vec![&want, "|", "{\"title\": \"x\"}"],
        vec![&want, "", "|"],
        vec!["want 1111", "|"],
        vec!["want ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD", "|"],
        vec!["want-ref refs/heads/main", "|"],
        vec!["deepen 1", "|"],
        vec!["command=ls-refs"],
        vec!["command=ls-refs", ","],
        vec!["command=ls-refs", "peel", "|"],
        vec!["command=ls-refs", ",", "peel", ",", "|"],
        vec!["command=ls-refs", ",", "peel", "|", "|"],
        vec!["command=ls-refs", ",", &want, "|"],
        vec!["command=ls-refs", ",", "ref-prefix a b", "|"],
        vec!["command=fetch", "server-option=x", ",", &want, "|"],
        vec!["command=fetch", ",", "packfile-uris https", &want, "|"],
        vec!["command=fetch", ",", "anything", "|"],
        vec!["command=fetch", ",", "deepen -1", "|"],
        vec!["command=fetch", ",", "filter ", "|"],
        vec!["command=push", ",", &want, "|"],
        vec!["command=fetch x", "|"],
    ] {
        assert!(!inspect(&packets(&lines), Encoding::Plain), "{lines:?}");
    }
    let able = |word: &str| packets(&[&format!("want {ONE} {word}"), "|", "done"]);
    for word in ["push-options", "agent", "agent=", "text=x", "symref=HEAD:x", "thin-pack=1"] {
        assert!(!inspect(&able(word), Encoding::Plain), "{word}");
    }
    for body in ["", "000", "0002", "0003", "0004", "fffff", "zzzz", "+000", "{}", "title=x", "0009don", "0000x"] {
        assert!(!inspect(body.as_bytes(), Encoding::Plain), "{body}");
    }
    let push = packets(&[&format!("{ONE} {ONE} refs/heads/main\0 report-status"), "|"]);
    assert!(!inspect(&push, Encoding::Plain));
}

#[test]
fn what_is_compressed_is_one_plain_member_of_a_bounded_size() {
    let body = packets(&[&format!("want {ONE}"), "|", "done"]);
    let good = gzip(&body);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        inspect(&bytes, Encoding::Gzip)
    };
    assert!(with(&|_| {}));
    assert!(!with(&|bytes| bytes.push(0)), "something behind it");
    assert!(!with(&|bytes| bytes.extend_from_slice(&gzip(b"0000"))), "a second member");
    assert!(!with(&|bytes| bytes[3] = 8), "a name");
    assert!(!with(&|bytes| bytes.truncate(12)), "cut off");
    assert!(!with(&|bytes| bytes[12] ^= 0xff), "broken");
    let at = good.len() - 4;
    for size in [0, 1, u32::try_from(body.len() + 1).expect("it is small"), u32::MAX] {
        assert!(!with(&|bytes| bytes[at..].copy_from_slice(&size.to_le_bytes())), "{size} bytes");
    }
    // Much of nothing.
    let bomb = gzip(&vec![b'0'; usize::try_from(MAX_BODY).expect("it fits") + 4]);
    assert!(bomb.len() < 20_000 && !inspect(&bomb, Encoding::Gzip));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = inspect(&bytes, Encoding::Plain);
        let _ = inspect(&[&[0x1f, 0x8b, 8, 0][..], &bytes].concat(), Encoding::Gzip);
    }

    /// One byte of another kind anywhere is not hidden by what stands around it.
    #[test]
    fn nothing_foreign_hides_in_a_fetch(which in 0_usize..10, at in 0_usize..400, byte in prop_oneof![Just(0_u8), Just(b'{'), Just(0xff)]) {
        let mut body = good()[which].clone();
        let at = at % (body.len() + 1);
        body.insert(at, byte);
        prop_assert!(!inspect(&body, Encoding::Plain), "{:?}", String::from_utf8_lossy(&body));
    }
}
