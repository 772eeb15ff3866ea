#![no_main]
//! A stream of server-sent events: the first two bytes say the limit and where it is cut.

use libfuzzer_sys::fuzz_target;
use trunnion_proto::sse::{SseDecoder, SseEvent, SseOverflow, encode_event};

fuzz_target!(|input: &[u8]| {
    let [limit, cut, stream @ ..] = input else { return };
    let limit = usize::from(*limit) * 8;
    let (whole, outcome) = decode(limit, &[stream]);
    let (head, tail) = stream.split_at(usize::from(*cut).min(stream.len()));
    let (pieces, outcome_of_pieces) = decode(limit, &[head, tail]);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let (trickled, outcome_of_bytes) = decode(limit, &bytes);
    if outcome.is_ok() {
        // How much a chunk may add is judged when it comes: what passes whole, passes in pieces.
        assert!(outcome_of_pieces.is_ok() && outcome_of_bytes.is_ok());
        assert_eq!((&pieces, &trickled), (&whole, &whole));
    }
    for event in whole.iter().chain(&trickled) {
        assert!(!event.data.is_empty() && event.data.len() <= limit + 64);
        assert!(!event.data.contains(&b'\r'));
        let mut written = Vec::new();
        encode_event(&mut written, Some("id"), &event.data);
        let (read, outcome) = decode(usize::MAX, &[&written]);
        assert!(outcome.is_ok());
        assert_eq!(read.iter().map(|event| &event.data).collect::<Vec<_>>(), [&event.data]);
    }
});

fn decode(limit: usize, chunks: &[&[u8]]) -> (Vec<SseEvent>, Result<(), SseOverflow>) {
    let (mut decoder, mut events) = (SseDecoder::new(limit), Vec::new());
    for chunk in chunks {
        if let Err(overflow) = decoder.feed(chunk, |event| events.push(event)) {
            return (events, Err(overflow));
        }
    }
    (events, Ok(()))
}
