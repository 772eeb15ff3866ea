#![no_main]
//! `WWW-Authenticate` of a refusal. Each line of the input is a header's value.

use libfuzzer_sys::fuzz_target;
use trunnion_proto::auth::challenge::{Asked, MAX_BYTES, MAX_CHALLENGES, Scheme, read, summary};
use trunnion_proto::auth::flow::Grant;
use trunnion_proto::auth::registration::Identity;
use trunnion_proto::auth::{Challenge, Config, Flow, Fresh, Input, Step};

fuzz_target!(|input: &[u8]| {
    let asked = read(input.split(|&byte| byte == b'\n'));
    assert!(asked.len() <= MAX_CHALLENGES);
    for text in asked.iter().flat_map(texts) {
        assert!(!text.is_empty() && text.len() <= 3 * MAX_BYTES);
    }
    let said = summary(&asked);
    assert!(said.chars().count() < 700 && !said.chars().any(char::is_control), "{said:?}");

    let headers: Vec<String> = asked.iter().map(written).collect();
    if headers.iter().map(String::len).sum::<usize>() + 2 * headers.len() <= MAX_BYTES {
        assert_eq!(read(headers.iter().map(String::as_bytes)), asked, "{headers:?}");
        assert_eq!(read([headers.join(", ").as_bytes()]), asked, "{headers:?}");
    }

    let challenge = Challenge::of(401, &asked);
    assert!(challenge.scope.is_none() || asked.iter().any(|asked| asked.scope == challenge.scope));
    let grant = Grant::Browser { redirect_uri: "http://localhost:3000/callback".to_owned() };
    let config = Config::new("https://mcp.example/mcp", grant, Identity::default());
    let mut flow = Flow::new(config, None).expect("a good configuration");
    match flow.step(Input::Challenged(challenge), &Fresh { now: 0, random: [0; 64] }) {
        Step::Http(request) => {
            assert!(request.url.to_ascii_lowercase().starts_with("https://"), "{}", request.url)
        }
        Step::Failed(_) => {}
        step => panic!("{step:?}"),
    }
});

fn texts(asked: &Asked) -> impl Iterator<Item = &String> {
    [&asked.error, &asked.description, &asked.scope, &asked.resource_metadata].into_iter().flatten()
}

fn written(asked: &Asked) -> String {
    let scheme = if asked.scheme == Scheme::Bearer { "Bearer " } else { "DPoP " };
    let parameters = [
        ("error", &asked.error),
        ("error_description", &asked.description),
        ("scope", &asked.scope),
        ("resource_metadata", &asked.resource_metadata),
    ];
    let quoted = parameters.into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?.replace('\\', "\\\\").replace('"', "\\\"");
        Some(format!("{name}=\"{value}\""))
    });
    scheme.to_owned() + &quoted.collect::<Vec<_>>().join(", ")
}
