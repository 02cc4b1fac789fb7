//! The bodies of the fuzz targets over mutated seeds: the same sequence in every run, so that a failure comes again.

#[path = "../../../../fuzz/src/bodies.rs"]
mod bodies;

/// Mutated inputs per target.
const INPUTS: usize = 4_000;

/// Pieces that mutations put in: what parsers of hosts, paths and heads stumble over.
const PIECES: [&[u8]; 24] = [
    b"\0",
    b"%",
    b"%00",
    b"%2e",
    b"%2f",
    b"%252e",
    b"..",
    b"/",
    b"\\",
    b"@",
    b":",
    b"[",
    b"]",
    b"xn--",
    b"0x7f",
    b"#",
    b"\r\n",
    b"\n",
    b" ",
    b"\xff",
    b"\xe2\x80\x8b",
    b"\xc3\xbc",
    b";",
    b"?",
];

/// A generator after Marsaglia's xorshift: enough to spread mutations, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }

    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut data = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(data.len() + 1);
            match self.below(5) {
                0 => drop(data.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
                1 if at < data.len() => data[at] ^= 1 << self.below(8),
                2 => data.truncate(at),
                3 => {
                    let copy = data[at..].to_vec();
                    data.extend(copy.into_iter().take(256));
                }
                _ => data.insert(at, u8::try_from(self.below(256)).unwrap()),
            }
        }
        data
    }
}

fn run(seeds: &[&[u8]], body: fn(&[u8])) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut corpus: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    corpus.iter().for_each(|seed| body(seed));
    for _ in 0..INPUTS {
        let parent = random.below(corpus.len());
        let mutated = random.mutate(&corpus[parent]);
        body(&mutated);
        // Mutations of mutations, within bounds.
        if corpus.len() < 256 && mutated.len() < 512 {
            corpus.push(mutated);
        }
    }
}

#[test]
fn the_parser_of_targets_holds() {
    run(
        &[
            b"example.com:443",
            b"[2001:db8::1]:8443",
            b"192.0.2.1:80",
            b"https://xn--bcher-kva.example:8443/a/b?c=d",
            b"HTTP://b\xc3\xbccher.example/\xc3\xa4#f",
            b"/a/%62/c;d=e?f#g",
        ],
        bodies::target,
    );
}

#[test]
fn the_reader_of_heads_holds() {
    run(
        &[
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
            b"GET http://example.com/x?y HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n",
            b"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc",
            b"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ],
        bodies::head,
    );
}

#[test]
fn the_algebra_of_labels_holds() {
    run(&[&[0, 1, 2, 3], &[3, 0, 0], &[1, 2]], bodies::labels);
}

#[test]
fn the_redactor_holds() {
    run(
        &[
            b"\x03\x05some text around it",
            b"\x00\x00",
            b"\x10\x01k3y+with/signs=%Z-012345678",
            b"\x20\x02azN5K3dpdGgvc2lnbnM9JVotMDEyMzQ1Njc4OQ==",
            b"\x05\x07k3y%2Bwith%2Fsigns%3D%25Z-0123456789",
        ],
        bodies::redactor,
    );
}
