//! The first message of a TLS client, read far enough to know where it wants to go. Pure. The TLS library reads the same
//! bytes again and must agree; what is passed through unread has only this.

/// The most bytes that are looked at for a whole first message. Real ones have under two kibibytes, with post-quantum keys
/// about as many again.
pub const MAX_HELLO: usize = 16 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// What the first bytes on a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a first message.
    Incomplete,
    /// Something else, or malformed.
    NotTls,
    /// A whole first message.
    Client {
        /// The host name that it asks for, as written.
        server_name: Option<String>,
        /// It hides a second host name.
        encrypted: bool,
    },
}

/// Looks at the bytes that a client sent first.
pub fn read_hello(bytes: &[u8]) -> Hello {
    let message = match handshake(bytes) {
        Ok(Some(message)) => message,
        Ok(None) if bytes.len() >= MAX_HELLO => return Hello::NotTls,
        Ok(None) => return Hello::Incomplete,
        Err(NotTls) => return Hello::NotTls,
    };
    client_hello(&message).unwrap_or(Hello::NotTls)
}

struct NotTls;

/// The first handshake message, put together from its records; none while bytes are missing.
fn handshake(bytes: &[u8]) -> Result<Option<Vec<u8>>, NotTls> {
    let mut message = Vec::new();
    let mut records = Reader(bytes);
    loop {
        let Some(&kind) = records.0.first() else { return Ok(None) };
        if kind != HANDSHAKE || records.0.get(1).is_some_and(|&major| major != 3) {
            return Err(NotTls);
        }
        let mut next = Reader(records.0.get(3..).unwrap_or_default());
        let fragment = match next.block16() {
            Some([]) => return Err(NotTls),
            Some(fragment) => fragment,
            // A record that is not there yet may be longer than any record can be.
            None if next.0.len() >= 2 && usize::from(u16::from_be_bytes([next.0[0], next.0[1]])) > MAX_HELLO => {
                return Err(NotTls);
            }
            None => return if kind_is_wrong(&message, next.0) { Err(NotTls) } else { Ok(None) },
        };
        records = next;
        message.extend_from_slice(fragment);
        if message[0] != CLIENT_HELLO {
            return Err(NotTls);
        }
        if let [_, a, b, c, body @ ..] = message.as_slice() {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if length > MAX_HELLO {
                return Err(NotTls);
            }
            if body.len() > length {
                // Nothing may follow before the answer.
                return Err(NotTls);
            }
            if body.len() == length {
                return Ok(Some(body.to_vec()));
            }
        }
    }
}

/// Whether the part of a record that is there already begins another message.
fn kind_is_wrong(message: &[u8], record: &[u8]) -> bool {
    message.is_empty() && record.get(2).is_some_and(|&kind| kind != CLIENT_HELLO)
}

fn client_hello(message: &[u8]) -> Option<Hello> {
    let mut reader = Reader(message);
    reader.take(2 + 32)?;
    reader.block8()?;
    reader.block16()?;
    reader.block8()?;
    let mut hello = (None, false);
    if reader.0.is_empty() {
        return Some(Hello::Client { server_name: None, encrypted: false });
    }
    let mut extensions = Reader(reader.block16()?);
    if !reader.0.is_empty() {
        return None;
    }
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let body = extensions.block16()?;
        match kind {
            SERVER_NAME if hello.0.is_some() => return None,
            SERVER_NAME => hello.0 = Some(server_name(body)?),
            ENCRYPTED_CLIENT_HELLO => hello.1 = true,
            _ => {}
        }
    }
    Some(Hello::Client { server_name: hello.0, encrypted: hello.1 })
}

/// The one host name of the extension.
fn server_name(body: &[u8]) -> Option<String> {
    let mut body = Reader(body);
    let mut list = Reader(body.block16()?);
    let kind = list.take(1)?[0];
    let name = list.block16()?;
    let alone = list.0.is_empty() && body.0.is_empty();
    (kind == 0 && alone).then(|| String::from_utf8(name.to_vec()).ok())?
}

/// Takes fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn block8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    /// A field with its length before it. Takes nothing while the field is not whole.
    fn block16(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        let length = self.number16()?;
        let block = self.take(usize::from(length));
        if block.is_none() {
            self.0 = before;
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};

    use super::*;

    /// What a real client sends first.
    fn sent(name: &'static str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name).expect("the name is valid");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("the configuration is whole");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("a vector takes everything");
        bytes
    }

    #[test]
    fn the_name_is_read_and_every_beginning_is_incomplete() {
        let bytes = sent("api.example.com");
        let whole = Hello::Client { server_name: Some("api.example.com".to_owned()), encrypted: false };
        assert_eq!(read_hello(&bytes), whole);
        for end in 0..bytes.len() {
            assert_eq!(read_hello(&bytes[..end]), Hello::Incomplete, "{end}");
        }
    }

    #[test]
    fn a_message_in_several_records_is_the_same() {
        let bytes = sent("api.example.com");
        let records = bytes[5..].chunks(100).flat_map(|part| {
            let length = u16::try_from(part.len()).expect("a part is short").to_be_bytes();
            [&[22, 3, 1], length.as_slice(), part].concat()
        });
        let records: Vec<u8> = records.collect();
        assert_eq!(read_hello(&records), read_hello(&bytes));
        for end in 0..records.len() {
            assert_eq!(read_hello(&records[..end]), Hello::Incomplete, "{end}");
        }
    }

    #[test]
    fn an_address_has_no_name() {
        assert_eq!(read_hello(&sent("192.0.2.1")), Hello::Client { server_name: None, encrypted: false });
    }

    #[test]
    fn other_protocols_are_known_at_their_first_bytes() {
        for bytes in ["GET / HTTP/1.1\r\n", "SSH-2.0-x", "\x16\x02", "\x16\x03\x01\x00\x00", "\x16\x03\x01\x00\x05\x02"]
        {
            assert_eq!(read_hello(bytes.as_bytes()), Hello::NotTls, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), real in any::<bool>()) {
            if real {
                // A real one with noise written over some of it.
                let mut hello = sent("api.example.com");
                for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte < 8) {
                    let length = hello.len();
                    hello[at * 7 % length] = *byte;
                }
                bytes = hello;
            }
            let _ = read_hello(&bytes);
        }
    }
}
