//! The tap's framer finds the ends of frames where two other implementations do, wherever the bytes are cut.
//!
//! `FRAMER_CUTS` is how many cuts are tried; without it, few enough for a gate.

use std::env;
use std::ops::Range;

use bytes::Bytes;

// The file itself: a copy would be another framer.
#[path = "../../../src/tap/framer.rs"]
#[allow(dead_code, reason = "what is not used here")]
mod ours;

use ours::{Framer, Side};

/// How many cuts a gate tries.
const CUTS: usize = 300_000;

/// What a decoder makes of bytes that begin with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    End(usize),
    /// More bytes are needed.
    Incomplete,
    Rejected,
}

use Found::{End, Incomplete, Rejected};

/// What frames can contain that not every decoder accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Features(u8);

/// A type that RESP2 lacks.
const RESP3: Features = Features(1);
/// `$-1` or `*-1`.
const NULL_OF_RESP2: Features = Features(2);
const ATTRIBUTE: Features = Features(4);
/// `$?`, `*?` and their like.
const STREAMED: Features = Features(8);
/// An array, a set or a map as the key of a map or in a set.
const AGGREGATE_KEY: Features = Features(16);
/// Attributes of a `_`.
const ATTRIBUTE_OF_NULL: Features = Features(64);
/// A `\n` in a line, or a `\r` that no `\n` follows.
const CONTROL_IN_LINE: Features = Features(32);

impl Features {
    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

struct Peer {
    name: &'static str,
    decode: fn(&[u8]) -> Found,
    /// See `known_differences`.
    lacks: Features,
}

const PEERS: [Peer; 4] = [
    Peer { name: "redis-protocol, RESP2", decode: redis_protocol_2, lacks: RESP3.and(ATTRIBUTE).and(STREAMED) },
    Peer {
        name: "redis-protocol, RESP3",
        decode: redis_protocol_3,
        lacks: NULL_OF_RESP2.and(STREAMED).and(AGGREGATE_KEY).and(ATTRIBUTE_OF_NULL),
    },
    Peer { name: "resp-rs, RESP2", decode: resp_rs_2, lacks: RESP3.and(ATTRIBUTE).and(STREAMED) },
    Peer { name: "resp-rs, RESP3", decode: resp_rs_3, lacks: ATTRIBUTE.and(STREAMED) },
];

fn redis_protocol_2(bytes: &[u8]) -> Found {
    match redis_protocol::resp2::decode::decode(bytes) {
        Ok(found) => found.map_or(Incomplete, |(_, length)| End(length)),
        Err(_) => Rejected,
    }
}

fn redis_protocol_3(bytes: &[u8]) -> Found {
    match redis_protocol::resp3::decode::complete::decode(bytes) {
        Ok(found) => found.map_or(Incomplete, |(_, length)| End(length)),
        Err(_) => Rejected,
    }
}

fn resp_rs_2(bytes: &[u8]) -> Found {
    match resp_rs::resp2::parse_frame(Bytes::copy_from_slice(bytes)) {
        Ok((_, rest)) => End(bytes.len() - rest.len()),
        Err(resp_rs::ParseError::Incomplete) => Incomplete,
        Err(_) => Rejected,
    }
}

fn resp_rs_3(bytes: &[u8]) -> Found {
    match resp_rs::resp3::parse_frame(Bytes::copy_from_slice(bytes)) {
        Ok((_, rest)) => End(bytes.len() - rest.len()),
        Err(resp_rs::ParseError::Incomplete) => Incomplete,
        Err(_) => Rejected,
    }
}

fn ours(side: Side, bytes: &[u8]) -> Found {
    match Framer::new(side).end_of_frame(bytes) {
        Ok(found) => found.map_or(Incomplete, End),
        Err(_) => Rejected,
    }
}

/// xorshift64*: equal on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).expect("48 bits") % end
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// A stream of frames that are valid by construction.
struct Stream {
    random: Random,
    is_resp3: bool,
    bytes: Vec<u8>,
    features: Features,
    /// Whether attributes have just ended.
    is_described: bool,
}

impl Stream {
    fn new(is_resp3: bool, seed: u64) -> Self {
        let features = Features::default();
        Self { random: Random(seed), is_resp3, bytes: Vec::new(), features, is_described: false }
    }

    fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A string with its length, whose bytes look like the protocol.
    fn string(&mut self, kind: char, prefix: &str) {
        const PIECES: [&str; 10] = ["\r\n", "$3\r\n", "*2\r\n", ":1\r\n", "å", "x", "\0", "-1", ".\r\n", ";0\r\n"];
        let mut content = prefix.to_owned();
        for _ in 0..self.random.below(5) {
            content.push_str(self.random.pick(&PIECES));
        }
        if self.random.one_in(40) {
            content.push_str(&"long ".repeat(self.random.below(40)));
        }
        self.put(&format!("{kind}{}\r\n{content}\r\n", content.len()));
    }

    fn line(&mut self, kind: char) {
        const PIECES: [&str; 6] = ["OK", "ERR no", "ö", " ", "$3", ""];
        let mut line = self.random.pick(&PIECES).to_owned();
        if self.random.one_in(8) {
            self.features = self.features.and(CONTROL_IN_LINE);
            line.push_str(self.random.pick(&["\n", "\r ", "\r\r", "\n\n"]));
        }
        self.put(&format!("{kind}{line}\r\n"));
    }

    fn scalar(&mut self) {
        let number = self.random.below(100_000).cast_signed() - 50_000;
        match self.random.below(if self.is_resp3 { 14 } else { 7 }) {
            0..=2 => self.string('$', ""),
            3 => self.line('+'),
            4 => self.line('-'),
            5 => self.put(&format!(":{number}\r\n")),
            6 => {
                self.features = self.features.and(NULL_OF_RESP2);
                let null = self.random.pick(&["$-1\r\n", "*-1\r\n"]);
                self.put(null);
            }
            other => {
                self.features = self.features.and(RESP3);
                match other {
                    7 => {
                        if self.is_described {
                            self.features = self.features.and(ATTRIBUTE_OF_NULL);
                        }
                        self.put("_\r\n");
                    }
                    8 => {
                        let boolean = self.random.pick(&["#t\r\n", "#f\r\n"]);
                        self.put(boolean);
                    }
                    9 => {
                        let double =
                            self.random.pick(&[",1.5\r\n", ",-inf\r\n", ",inf\r\n", ",-1e-320\r\n", ",10\r\n"]);
                        self.put(double);
                    }
                    10 => self.put(&format!("({number}000000000000000000000000000001\r\n")),
                    11 => self.string('!', "ERR "),
                    12 => self.string('=', "txt:"),
                    _ => self.streamed_string(),
                }
            }
        }
    }

    fn streamed_string(&mut self) {
        self.features = self.features.and(STREAMED);
        self.put("$?\r\n");
        for _ in 0..self.random.below(3) {
            self.string(';', "x");
        }
        self.put(";0\r\n");
    }

    fn attribute(&mut self, depth: usize) {
        self.features = self.features.and(RESP3).and(ATTRIBUTE);
        let pairs = self.random.below(3);
        self.put(&format!("|{pairs}\r\n"));
        for _ in 0..pairs {
            self.value(depth + 1, true);
            self.value(depth + 1, false);
        }
    }

    /// `is_key`: of a map, or in a set.
    fn value(&mut self, depth: usize, is_key: bool) {
        let is_described = self.is_resp3 && self.random.one_in(12);
        if is_described {
            self.attribute(depth);
        }
        self.is_described = is_described;
        if depth > 3 || self.random.below(3) > 0 {
            return self.scalar();
        }
        if is_key {
            self.features = self.features.and(AGGREGATE_KEY);
        }
        let kind = if self.is_resp3 { self.random.pick(&["*", "%", "~", "*"]) } else { "*" };
        if kind != "*" {
            self.features = self.features.and(RESP3);
        }
        let is_streamed = self.is_resp3 && self.random.one_in(8);
        let elements = self.random.below(4);
        if is_streamed {
            self.features = self.features.and(RESP3).and(STREAMED);
            self.put(&format!("{kind}?\r\n"));
        } else {
            self.put(&format!("{kind}{elements}\r\n"));
        }
        for _ in 0..elements {
            if kind == "%" {
                self.value(depth + 1, true);
            }
            self.value(depth + 1, kind == "~");
        }
        if is_streamed {
            self.put(".\r\n");
        }
    }

    fn push(&mut self) {
        self.features = self.features.and(RESP3);
        let kind = self.random.pick(&["invalidate", "pubsub", "x"]);
        let elements = self.random.below(3);
        self.put(&format!(">{}\r\n+{kind}\r\n", elements + 1));
        for _ in 0..elements {
            self.value(1, false);
        }
    }

    /// Some frames: where each is, and what is in it.
    fn frames(&mut self) -> Vec<(Range<usize>, Features)> {
        self.bytes.clear();
        let mut frames = Vec::new();
        for _ in 0..=self.random.below(5) {
            let start = self.bytes.len();
            self.features = Features::default();
            if self.is_resp3 && self.random.one_in(10) {
                self.push();
            } else {
                self.value(0, false);
            }
            frames.push((start..self.bytes.len(), self.features));
        }
        frames
    }
}

/// Feeds the framer pieces of random sizes: the ends that it finds, and the cuts between.
fn in_pieces(side: Side, bytes: &[u8], random: &mut Random) -> (Vec<usize>, Vec<usize>, bool) {
    let mut framer = Framer::new(side);
    let (mut ends, mut cuts, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        let longest = random.pick(&[&1_usize, &4, &16, &64]);
        let cut = (at + 1 + random.below(*longest)).min(bytes.len());
        while at < cut {
            match framer.end_of_frame(&bytes[at..cut]) {
                Ok(Some(length)) => {
                    at += length;
                    ends.push(at);
                }
                Ok(None) => at = cut,
                Err(_) => return (ends, cuts, true),
            }
        }
        cuts.push(cut);
    }
    (ends, cuts, false)
}

#[test]
fn frames_end_where_other_decoders_find_their_ends() {
    let wanted = env::var("FRAMER_CUTS").map_or(CUTS, |cuts| cuts.parse().expect("a number of cuts"));
    let (mut tried, mut compared) = (0, [0_usize; PEERS.len()]);
    let mut streams = [Stream::new(false, 7), Stream::new(true, 11)];
    let mut random = Random(13);
    while tried < wanted {
        for stream in &mut streams {
            let frames = stream.frames();
            let bytes = &stream.bytes;
            let shown = || bytes.escape_ascii().to_string();
            let (ends, cuts, is_malformed) = in_pieces(Side::Server, bytes, &mut random);
            let expected: Vec<_> = frames.iter().map(|(frame, _)| frame.end).collect();
            assert!(!is_malformed && ends == expected, "{ends:?}, not {expected:?}: {}", shown());
            for (frame, features) in &frames {
                for (peer, compared) in PEERS.iter().zip(&mut compared) {
                    if !peer.lacks.overlaps(*features) {
                        // With the frames after it: it must not take more.
                        let found = (peer.decode)(&bytes[frame.start..]);
                        assert_eq!(found, End(frame.len()), "{}, from {}: {}", peer.name, frame.start, shown());
                        *compared += 1;
                    }
                }
            }
            for cut in cuts {
                tried += 1;
                let Some((frame, features)) = frames.iter().find(|(frame, _)| frame.contains(&cut)) else { continue };
                // One of them: they are slow.
                let peer = random.below(PEERS.len());
                if frame.start < cut && !PEERS[peer].lacks.overlaps(*features) {
                    let found = (PEERS[peer].decode)(&bytes[frame.start..cut]);
                    assert_eq!(found, Incomplete, "{}, {frame:?} cut at {cut}: {}", PEERS[peer].name, shown());
                    compared[peer] += 1;
                }
            }
        }
    }
    println!("{tried} cuts; compared: {compared:?}");
    assert!(compared.iter().all(|compared| *compared > wanted / 30), "{compared:?}");
}

/// What the peers make of frames in which they differ from ours, and so from each other. One that is mended fails here:
/// then the streams above can have it.
#[test]
fn known_differences() {
    for (bytes, ours_found, found) in [
        // RESP2 lacks RESP3's types.
        ("_\r\n", End(3), [Rejected, End(3), Rejected, End(3)]),
        ("%1\r\n+a\r\n:1\r\n", End(12), [Rejected, End(12), Rejected, End(12)]),
        (">1\r\n+a\r\n", End(8), [Rejected, End(8), Rejected, End(8)]),
        // redis-protocol's RESP3 has no nulls of RESP2, which servers send to clients that did not say HELLO 3.
        ("$-1\r\n", End(5), [End(5), Rejected, End(5), End(5)]),
        ("*1\r\n*-1\r\n", End(9), [End(9), Rejected, End(9), End(9)]),
        // It takes no aggregate for a key, and loses the first of two equal keys.
        ("%1\r\n*0\r\n:1\r\n", End(12), [Rejected, Rejected, Rejected, End(12)]),
        ("~1\r\n%0\r\n", End(8), [Rejected, Rejected, Rejected, End(8)]),
        // Its null has no attributes.
        ("|1\r\n+a\r\n:1\r\n_\r\n", End(15), [Rejected, Rejected, Rejected, End(12)]),
        // resp-rs ends a frame with its attributes, before the value that they describe.
        ("|1\r\n+a\r\n:1\r\n:2\r\n", End(16), [Rejected, End(16), Rejected, End(12)]),
        ("|0\r\n:2\r\n", End(8), [Rejected, End(8), Rejected, End(4)]),
        // Streamed types: redis-protocol has another decoder for them, and so has resp-rs; neither has them nested.
        ("$?\r\n;1\r\na\r\n;0\r\n", End(15), [Rejected, Rejected, Rejected, End(4)]),
        ("*?\r\n:1\r\n.\r\n", End(11), [Rejected, Rejected, Rejected, End(4)]),
        // Ours does not read the values of lines, and looks at no string's end: neither moves a frame's end.
        (":\r\n", End(3), [Rejected; 4]),
        ("#x\r\n", End(4), [Rejected; 4]),
        ("=3\r\ntxt\r\n", End(9), [Rejected; 4]),
        ("$1\r\naxx", End(7), [End(7), End(7), Rejected, Rejected]),
    ] {
        assert_eq!(ours(Side::Server, bytes.as_bytes()), ours_found, "{bytes:?}");
        let theirs = PEERS.map(|peer| (peer.decode)(bytes.as_bytes()));
        assert_eq!(theirs, found, "{bytes:?}");
    }
    let equal_keys = b"%2\r\n+a\r\n:1\r\n+a\r\n:2\r\n";
    let (frame, _) = redis_protocol::resp3::decode::complete::decode(equal_keys).expect("a map").expect("all of it");
    let redis_protocol::resp3::types::OwnedFrame::Map { data, .. } = frame else { panic!("{frame:?}") };
    assert_eq!(data.len(), 1);
}

/// Commands are arrays of strings in either version.
#[test]
fn commands_end_where_other_decoders_find_their_ends() {
    let mut stream = Stream::new(false, 17);
    let mut random = Random(19);
    for _ in 0..2_000 {
        stream.bytes.clear();
        let mut expected = Vec::new();
        for _ in 0..=stream.random.below(4) {
            let words = 1 + stream.random.below(4);
            stream.put(&format!("*{words}\r\n"));
            for _ in 0..words {
                stream.string('$', "");
            }
            expected.push(stream.bytes.len());
        }
        let (ends, _, is_malformed) = in_pieces(Side::Client, &stream.bytes, &mut random);
        assert!(!is_malformed && ends == expected, "{ends:?}: {}", stream.bytes.escape_ascii());
        for peer in &PEERS {
            assert_eq!((peer.decode)(&stream.bytes), End(expected[0]), "{}", peer.name);
        }
    }
}

/// Whatever comes: no panic, and the same frames and the same end however it is cut.
#[test]
fn hostile_bytes_are_cut_like_others() {
    const PIECES: [&str; 30] = [
        "\r\n",
        "\r",
        "\n",
        "*",
        "$",
        "%",
        "~",
        ">",
        "|",
        "!",
        "=",
        ";",
        ".",
        "?",
        "-",
        "+",
        ":",
        "_",
        "#",
        ",",
        "(",
        "0",
        "1",
        "2",
        "3",
        "9223372036854775807",
        "18446744073709551615",
        "PING",
        "\r\n$1\r\n",
        "ÿ",
    ];
    let wanted = env::var("FRAMER_CUTS").map_or(CUTS, |cuts| cuts.parse().expect("a number of cuts"));
    let mut random = Random(23);
    let mut tried = 0;
    while tried < wanted {
        let mut bytes = Vec::new();
        for _ in 0..random.below(60) {
            if random.one_in(10) {
                bytes.push(random.next().to_le_bytes()[0]);
            } else {
                bytes.extend_from_slice(random.pick(&PIECES).as_bytes());
            }
        }
        for side in [Side::Client, Side::Server] {
            let (ends, cuts, is_malformed) = in_pieces(side, &bytes, &mut random);
            let mut framer = Framer::new(side);
            let (mut at_once, mut at, mut is_malformed_at_once) = (Vec::new(), 0, false);
            while at < bytes.len() {
                match framer.end_of_frame(&bytes[at..]) {
                    Ok(Some(length)) => {
                        at += length;
                        at_once.push(at);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        is_malformed_at_once = true;
                        break;
                    }
                }
            }
            assert_eq!((ends, is_malformed), (at_once, is_malformed_at_once), "{}", bytes.escape_ascii());
            tried += 1 + cuts.len();
        }
    }
}
