//! No stream of messages panics. Input: each message preceded by its length as two bytes, big-endian.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tributary::decode::{Assembler, Watched, message};
use tributary::facts::{Column, ColumnKind, Columns, Feed};

fuzz_target!(|data: &[u8]| {
    let column = |name: &str, kind| Column { name: name.into(), kind };
    let list = vec![column("id", ColumnKind::Instant), column("x", ColumnKind::Text)];
    let columns = Columns::new(list, vec![0]);
    let watched = [(1, "systemeio"), (2, "xendit")]
        .map(|(number, name)| Watched::new(Feed::new(number), "s", name, &columns));
    let mut assembler = Assembler::new(watched.to_vec());
    let mut rest = Bytes::copy_from_slice(data);
    while rest.len() >= 2 {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]])).min(rest.len() - 2);
        let bytes = rest.slice(2..2 + length);
        rest = rest.slice(2 + length..);
        if let Ok(message) = message(&bytes) {
            let _ = assembler.push(message);
        }
    }
});
