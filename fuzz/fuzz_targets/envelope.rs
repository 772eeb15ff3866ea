#![no_main]
//! A frame is read, or refused with a message that can be read.

use libfuzzer_sys::fuzz_target;
use trunnion_proto::Limits;
use trunnion_proto::jsonrpc::{self, Message};

fuzz_target!(|frame: &[u8]| {
    let limits = Limits { message_bytes: 4096, depth: 32, ..Limits::default() };
    match jsonrpc::parse(frame, &limits) {
        Ok(Message::Request { id, method, params }) => {
            let written = jsonrpc::request(&id, &method, params.map_or("", |params| params.get()));
            // Writing adds what a lenient message left out, nothing else.
            let limits = Limits { message_bytes: 2 * limits.message_bytes, ..limits };
            match jsonrpc::parse(&written, &limits) {
                Ok(Message::Request { id: again, method: same, params: whole }) => {
                    assert_eq!((again, &same), (id, &method));
                    assert_eq!(whole.map(|raw| raw.get()), params.map(|raw| raw.get()));
                }
                other => panic!("a request became {other:?}"),
            }
        }
        Ok(Message::Notification { .. } | Message::Response { .. }) => {}
        Err(malformed) => {
            let answer = jsonrpc::error(malformed.id.as_ref(), &malformed.error);
            assert!(!answer.contains(&b'\n'));
            match jsonrpc::parse(&answer, &Limits::default()) {
                Ok(Message::Response { id, result: Err(error) }) => {
                    assert_eq!((id, error.code), (malformed.id, malformed.error.code));
                }
                other => panic!("a refusal became {other:?}"),
            }
        }
    }
});
