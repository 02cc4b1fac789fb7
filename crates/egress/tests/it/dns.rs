//! A name server that lies as it is told, over UDP at 127.0.0.1 (RFC 1035, as much of it as a stub resolver needs).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use tokio::{net::UdpSocket, task::JoinSet};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

#[derive(Clone, Default)]
struct Answer {
    alias: Option<String>,
    addresses: Vec<IpAddr>,
}

/// The answers that a name still has, and the kinds that were asked for of the present one.
type Script = (Vec<Answer>, Vec<u16>);

/// The server. For each name the answers are given in order, one for each pair of questions; the last one stays.
#[derive(Clone, Default)]
pub struct Server {
    names: Arc<Mutex<BTreeMap<String, Script>>>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "a double of a server, inside")]
    pub async fn start(tasks: &mut JoinSet<()>) -> Self {
        let server = Self::default();
        let socket = UdpSocket::bind("127.0.0.1:53").await.unwrap();
        let answering = server.clone();
        tasks.spawn(async move {
            let mut packet = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                socket.send_to(&answering.reply(&packet[..length]), from).await.unwrap();
            }
        });
        server
    }

    pub fn answer(&self, name: &str, addresses: &[&str]) {
        self.add(name, Answer { alias: None, addresses: parse(addresses) });
    }

    pub fn alias(&self, name: &str, canonical: &str, addresses: &[&str]) {
        self.add(name, Answer { alias: Some(canonical.to_owned()), addresses: parse(addresses) });
    }

    fn add(&self, name: &str, answer: Answer) {
        self.names.lock().unwrap().entry(name.to_owned()).or_default().0.push(answer);
    }

    fn reply(&self, question: &[u8]) -> Vec<u8> {
        let (name, end) = read_name(question, 12);
        let kind = u16::from_be_bytes([question[end], question[end + 1]]);
        let answer = self.next(&name, kind);
        let mut records = Vec::new();
        let mut count = 0_u16;
        let mut owner = name.clone();
        if let Some(alias) = answer.as_ref().and_then(|answer| answer.alias.clone()) {
            push(&mut records, &owner, CNAME, &write_name(&alias));
            (count, owner) = (count + 1, alias);
        }
        for address in answer.iter().flat_map(|answer| &answer.addresses) {
            let (of_kind, data) = match address {
                IpAddr::V4(v4) => (A, v4.octets().to_vec()),
                IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
            };
            // A reply without EDNS has 512 bytes.
            if of_kind == kind && records.len() < 400 {
                push(&mut records, &owner, of_kind, &data);
                count += 1;
            }
        }
        let code = if answer.is_some() { 0x80 } else { 0x83 };
        let mut reply = question[..2].to_vec();
        reply.extend([0x81, code, 0, 1]);
        reply.extend(count.to_be_bytes());
        reply.extend([0, 0, 0, 0]);
        reply.extend(&question[12..end + 4]);
        reply.extend(records);
        reply
    }

    /// A stub asks for both kinds of address; the second kind gets the same answer as the first.
    fn next(&self, name: &str, kind: u16) -> Option<Answer> {
        let mut names = self.names.lock().unwrap();
        let (answers, asked) = names.get_mut(name)?;
        if asked.contains(&kind) {
            asked.clear();
            if answers.len() > 1 {
                answers.remove(0);
            }
        }
        asked.push(kind);
        answers.first().cloned()
    }
}

fn parse(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn read_name(packet: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8(packet[at + 1..=at + length].to_vec()).unwrap());
        at += length + 1;
    }
    (labels.join(".").to_lowercase(), at + 1)
}

fn write_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn push(records: &mut Vec<u8>, owner: &str, kind: u16, data: &[u8]) {
    records.extend(write_name(owner));
    records.extend(kind.to_be_bytes());
    records.extend([0, 1, 0, 0, 0, 0]);
    records.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    records.extend(data);
}
