//! `WWW-Authenticate`: the grammar, known deviations of servers, hostile values.

use trunnion_proto::auth::challenge::{Asked, MAX_BYTES, MAX_CHALLENGES, Scheme, read, summary, wants_nonce};
use trunnion_proto::auth::{Challenge, Flow, Input};

use crate::auth::world::*;

fn of(values: &[&str]) -> Vec<Asked> {
    read(values.iter().map(|value| value.as_bytes()))
}

/// Challenges as one text: `bearer error=x scope=y`.
fn told(values: &[&str]) -> String {
    let one = |asked: Asked| {
        let scheme = if asked.scheme == Scheme::Bearer { "bearer" } else { "dpop" };
        let rest = [
            ("error", asked.error),
            ("description", asked.description),
            ("scope", asked.scope),
            ("resource_metadata", asked.resource_metadata),
        ];
        let rest = rest.into_iter().filter_map(|(name, value)| Some(format!(" {name}={}", value?)));
        scheme.to_owned() + &rest.collect::<String>()
    };
    of(values).into_iter().map(one).collect::<Vec<_>>().join(" | ")
}

#[test]
fn the_examples_of_the_documents() {
    // RFC 6750, section 3.
    assert_eq!(told(&[r#"Bearer realm="example""#]), "bearer");
    let expired =
        r#"Bearer realm="example", error="invalid_token", error_description="The access token expired""#;
    assert_eq!(told(&[expired]), "bearer error=invalid_token description=The access token expired");
    // RFC 9728, section 5.1.
    let resource =
        r#"Bearer resource_metadata="https://resource.example.com/.well-known/oauth-protected-resource""#;
    assert_eq!(
        told(&[resource]),
        "bearer resource_metadata=https://resource.example.com/.well-known/oauth-protected-resource"
    );
    // RFC 9449, sections 7.1 and 9.
    let dpop = r#"DPoP error="invalid_token", error_description="Invalid DPoP key binding", algs="ES256""#;
    assert_eq!(told(&[dpop]), "dpop error=invalid_token description=Invalid DPoP key binding");
    let nonce =
        r#"DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof""#;
    assert!(wants_nonce(&of(&[nonce])) && !wants_nonce(&of(&[dpop])));
    // RFC 9110, section 11.6.1.
    let basic = r#"Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"""#;
    assert_eq!(told(&[basic]), "");
    // The specification of 2025-11-25, authorization.
    let forbidden = r#"Bearer error="insufficient_scope",
        scope="files:read files:write user:profile",
        resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource",
        error_description="Additional file write permission required""#
        .replace('\n', "");
    assert_eq!(
        Challenge::of(403, &of(&[&forbidden])),
        Challenge {
            status: 403,
            error: Some("insufficient_scope".into()),
            scope: Some("files:read files:write user:profile".into()),
            resource_metadata: Some("https://mcp.example.com/.well-known/oauth-protected-resource".into()),
        }
    );
}

#[test]
fn the_grammar() {
    for (value, wanted) in [
        ("", ""),
        (" , ,, ", ""),
        ("Bearer", "bearer"),
        ("bEARER ERROR=a", "bearer error=a"),
        (",,Bearer ,, error=a,, ,scope=b,", "bearer error=a scope=b"),
        ("Bearer error \t=\t a", "bearer error=a"),
        ("Bearer\terror=a", "bearer error=a"),
        (r#"Bearer scope="a, b=\"c\" \\ Basic d""#, r#"bearer scope=a, b="c" \ Basic d"#),
        (r#"Bearer error="""#, "bearer"),
        // Several in one value; those of other schemes take their parameters with them.
        ("Bearer error=a, DPoP error=b", "bearer error=a | dpop error=b"),
        ("Basic error=a, Bearer scope=b, Digest error=c, scope=d", "bearer scope=b"),
        ("Negotiate, Bearer error=a", "bearer error=a"),
        // token68 is no parameter, and whatever follows is not of that challenge.
        ("Negotiate a87421000492aa874209af8bc028==, Bearer error=a", "bearer error=a"),
        ("Bearer abc=, error=a", "bearer"),
        ("Bearer error=, scope=a", "bearer"),
        ("Bearer abc , DPoP error=a", "bearer | dpop error=a"),
        // Twice the same is once, twice different is nothing.
        ("Bearer error=a, error=\"a\"", "bearer error=a"),
        ("Bearer scope=a, error=b, SCOPE=c, scope=a", "bearer error=b"),
        ("Bearer error=a, Bearer error=b", "bearer error=a | bearer error=b"),
    ] {
        assert_eq!(told(&[value]), wanted, "{value}");
    }
}

#[test]
fn several_headers_are_one() {
    assert_eq!(told(&["Basic realm=x", "Bearer error=a", "DPoP scope=b"]), "bearer error=a | dpop scope=b");
    // A proxy that splits at commas, and one that joins.
    assert_eq!(told(&["Bearer error=a", "scope=b"]), told(&["Bearer error=a, scope=b"]));
    assert_eq!(told(&["Basic realm=x", "scope=b"]), "");
    // A malformed header does not affect the other headers.
    assert_eq!(
        told(&["Bearer error=a, scope=\"b", "error=c, DPoP error=d"]),
        "bearer error=a | dpop error=d"
    );
}

#[test]
fn what_servers_send_beside_the_grammar() {
    let url = "https://mcp.example/.well-known/oauth-protected-resource?a=b";
    assert_eq!(
        told(&[&format!("Bearer resource_metadata={url}, error=a")]),
        format!("bearer error=a resource_metadata={url}")
    );
    assert_eq!(told(&[r#"Bearer error="a" scope="b c""#]), "bearer error=a scope=b c");
    assert_eq!(told(&["Bearer error_description=\"\u{e9}\u{2713}\""]), "bearer description=é✓");
}

#[test]
fn what_cannot_be_read() {
    for (value, wanted) in [
        ("Bearer error=a, scope=\"b", "bearer error=a"),
        ("Bearer error=a, scope=\"b\\", "bearer error=a"),
        ("Bearer error=a, =b, scope=c", "bearer error=a"),
        ("Bearer error=a, \"scope\"=c", "bearer error=a"),
        ("=", ""),
        ("\"Bearer error=a\"", ""),
        // Values that are not a name, a list of names or a URL.
        ("Bearer error=\u{e9}", "bearer"),
        ("Bearer scope=\"a\tb\"", "bearer"),
        ("Bearer resource_metadata=\"https://a\u{0}\"", "bearer"),
    ] {
        assert_eq!(told(&[value]), wanted, "{value:?}");
    }
    assert_eq!(read([&b"Bearer error_description=\"\xff\""[..]])[0].description.as_deref(), Some("\u{fffd}"));
}

#[test]
fn hostile_headers_are_bounded() {
    let padding = "x".repeat(MAX_BYTES - "Bearer error=a".len());
    assert_eq!(told(&["Bearer error=a", &padding, "Bearer error=b"]), "bearer error=a");
    assert_eq!(told(&["Bearer error=a", &format!("{padding}x")]), "bearer error=a");
    assert_eq!(told(&[&format!("Bearer error={padding}{padding}"), "Bearer error=b"]), "");

    let many = "Bearer error=a,".repeat(MAX_CHALLENGES + 1);
    assert_eq!(of(&[&many, "DPoP error=b"]).len(), MAX_CHALLENGES);
    // The parameters of a challenge that is not stored belong to none.
    let full = "Bearer,".repeat(MAX_CHALLENGES);
    assert!(of(&[&full, "Bearer error=a"]).iter().all(|asked| asked.error.is_none()));

    for piece in
        ["\"", "\\", "a ", "a=", "a=\"", "=", ",", "Bearer ", "Bearer a", "Bearer a==,", "\0", "\u{ff}"]
    {
        let value = piece.repeat(MAX_BYTES / piece.len());
        for asked in of(&[&value]) {
            assert!(asked.error.is_none() && asked.scope.is_none());
        }
    }
}

#[test]
fn which_challenge_counts() {
    let of = |values: &[&str]| Challenge::of(401, &of(values));
    let dpop = of(&["Bearer realm=a", "DPoP error=invalid_token, scope=b, resource_metadata=\"https://a\""]);
    assert_eq!(dpop.error.as_deref(), Some("invalid_token"));
    assert_eq!(dpop.scope.as_deref(), Some("b"));
    assert_eq!(dpop.resource_metadata.as_deref(), Some("https://a"));
    // A scope is not taken from another challenge than the error.
    let mixed = of(&["Bearer scope=a, resource_metadata=b", "DPoP error=insufficient_scope"]);
    assert_eq!((mixed.scope.as_deref(), mixed.resource_metadata.as_deref()), (None, Some("b")));
    assert!(mixed.is_step_up());
    assert_eq!(of(&["Basic realm=a"]), Challenge { status: 401, ..Challenge::default() });
}

#[test]
fn a_header_starts_a_flow() {
    let at = "http://localhost:1/elsewhere";
    let mut world = World::new();
    world.put(at, resource(MCP, AS));
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    let header = format!("Bearer scope=\"mcp:basic\", resource_metadata=\"{at}\"");
    let challenge = Challenge::of(401, &of(&[&header]));
    let record = world.play(&mut flow, Input::Challenged(challenge)).expect("tokens");
    assert_eq!(world.log[0], format!("GET {at}"));
    assert_eq!(record.scopes, ["mcp:basic"]);
}

#[test]
fn what_a_person_is_told() {
    let said = |values: &[&str]| summary(&of(values));
    assert_eq!(said(&[]), "");
    assert_eq!(said(&["Bearer realm=a"]), "");
    assert_eq!(said(&["Bearer error=a"]), " (a)");
    assert_eq!(said(&["Bearer scope=\"a b\""]), " (scope: a b)");
    assert_eq!(
        said(&["Bearer scope=\"a b\", error=c, error_description=\"d\u{1b}[31m e\""]),
        " (c: d[31m e; scope: a b)"
    );
    // A server that quotes the token it refuses; credentials of the scheme are not even stored.
    let quoted = format!("Bearer error_description=\"bad token eyJhbGciOi{}\"", "J9.".repeat(30));
    assert_eq!(said(&[&quoted]), " (bad token …)");
    assert_eq!(said(&["Bearer c2VjcmV0LXRva2Vu="]), "");
    let long = format!("Bearer error={}, error_description=\"{}\"", "e".repeat(5000), "d ".repeat(4000));
    assert!(said(&[&long]).len() < 420);
}
