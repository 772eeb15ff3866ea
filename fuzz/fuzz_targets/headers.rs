#![no_main]
//! Mirrored header values. The input is a text, and from the first NUL on a schema and the arguments for it.

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use trunnion_proto::header::{decode, encode, param_headers};

fuzz_target!(|input: &str| {
    let (text, json) = input.split_once('\0').unwrap_or((input, ""));
    survives(text);
    let _ = decode(text).map(|value| survives(&value));

    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
    let (Some(Ok(schema)), Some(Ok(arguments))) = (values.next(), values.next()) else { return };
    let Ok(params) = param_headers(&schema) else { return };
    for param in params {
        assert!(param.header.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
        assert!(param.display.eq_ignore_ascii_case(&param.header));
        match param.value_in(&arguments) {
            Some(value) => {
                survives(&value);
                assert!(param.matches(&value, &arguments), "{value:?} is what the arguments hold");
            }
            None => assert!(!param.matches(text, &arguments)),
        }
    }
});

fn survives(value: &str) {
    let header = encode(value);
    assert!(header.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{header:?} is a header value");
    assert_eq!(decode(&header).as_deref(), Some(value));
}
