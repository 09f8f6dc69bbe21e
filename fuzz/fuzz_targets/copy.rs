//! No COPY text panics, and its pieces' sizes do not matter. Input: columns, piece size, text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tributary::decode::CopyDecoder;

fuzz_target!(|data: &[u8]| {
    let [width, size, text @ ..] = data else { return };
    let read = |size: usize| {
        let mut decoder = CopyDecoder::new(usize::from(*width).max(1));
        let mut rows = Vec::new();
        for piece in text.chunks(size.max(1)) {
            decoder.push(piece, &mut rows).ok()?;
        }
        decoder.finish().ok()?;
        Some(rows)
    };
    assert_eq!(read(usize::from(*size)), read(text.len()));
});
