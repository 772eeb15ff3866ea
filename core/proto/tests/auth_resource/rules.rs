//! Claims, and the items that a caller may see.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use trunnion_proto::auth::resource::claims::Rules;
use trunnion_proto::auth::resource::{Access, Caller, Refusal, Visibility};

const NOW: u64 = 1_800_000_000;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn rules() -> Rules {
    Rules {
        audiences: vec!["https://MCP.example/mcp".into()],
        issuers: vec!["https://as.example".into()],
        leeway: 60,
        must_expire: true,
    }
}

fn caller(change: Value) -> Result<Caller, Refusal> {
    let mut claims = object(
        json!({"iss": "https://as.example", "aud": "https://mcp.example/mcp/", "sub": "ann", "exp": NOW + 1}),
    );
    for (name, value) in object(change) {
        if value.is_null() {
            claims.remove(&name)
        } else {
            claims.insert(name, value)
        };
    }
    rules().caller(claims, "https://default.example", NOW)
}

#[test]
fn time_has_a_leeway_and_an_end() {
    assert!(caller(json!({"exp": NOW - 59})).is_ok());
    assert_eq!(caller(json!({"exp": NOW - 60})), Err(Refusal::Expired));
    assert!(caller(json!({"nbf": NOW + 60})).is_ok());
    assert_eq!(caller(json!({"nbf": NOW + 61})), Err(Refusal::NotYetValid));
    assert!(caller(json!({"exp": NOW as f64 + 0.5})).is_ok());
    assert_eq!(caller(json!({"exp": "soon"})), Err(Refusal::Malformed));
    let known = caller(json!({})).expect("good");
    assert!(known.check_time(NOW + 60).is_ok());
    assert_eq!(known.check_time(NOW + 61), Err(Refusal::Expired), "what is remembered ends too");
    assert!(caller(json!({"exp": u64::MAX})).is_ok() && caller(json!({"nbf": -5})).is_ok());
}

#[test]
fn an_audience_is_a_text_or_one_of_several() {
    assert!(caller(json!({"aud": ["x", "https://mcp.example/mcp"]})).is_ok());
    for aud in [
        json!("https://mcp.example"),
        json!("https://mcp.example/mcp/x"),
        json!("https://mcp.example/MCP"),
        json!(7),
        json!([]),
        json!([["https://mcp.example/mcp"]]),
        json!(null),
        json!("https://mcp.example/mcp?x"),
    ] {
        assert_eq!(caller(json!({ "aud": aud.clone() })), Err(Refusal::Audience), "{aud}");
    }
}

#[test]
fn principals_are_not_confused() {
    let of = |change: Value| caller(change).expect("good").principal().to_string();
    assert_eq!(of(json!({})), r#"["https://as.example","sub:ann"]"#);
    assert_eq!(of(json!({"sub": null, "client_id": "ann"})), r#"["https://as.example","client:ann"]"#);
    assert_ne!(of(json!({"sub": "client:ann"})), of(json!({"sub": null, "client_id": "ann"})));
    assert_eq!(caller(json!({"sub": null})), Err(Refusal::NoSubject));
    assert_eq!(caller(json!({"sub": ""})), Err(Refusal::NoSubject));
    let own = Rules { issuers: Vec::new(), ..rules() };
    let claims = object(json!({"aud": "https://mcp.example/mcp", "sub": "ann", "exp": NOW}));
    let principal = own.caller(claims, "https://default.example", NOW).expect("good").principal().to_string();
    assert_eq!(principal, r#"["https://default.example","sub:ann"]"#);
}

#[test]
fn what_a_token_is_bound_to() {
    for (claims, key, bound) in [
        (json!({}), None, false),
        (json!({"cnf": {"jkt": "AA"}}), Some("AA"), true),
        (json!({"cnf": {"jkt": 5}}), None, true),
        (json!({"cnf": {"x5t#S256": "AA"}}), None, true),
        (json!({"cnf": "AA"}), None, true),
    ] {
        let caller = caller(claims.clone()).expect("good");
        assert_eq!((caller.key(), caller.is_bound()), (key, bound), "{claims}");
    }
}

#[test]
fn nothing_shows_the_claims() {
    let shown = format!("{:?}", caller(json!({"email": "ann@example.com"})).expect("good"));
    assert!(!shown.contains("example.com\"") && !shown.contains("email"), "{shown}");
}

#[test]
fn who_sees_what() {
    let access = |claims: Value| Access::Known(Arc::new(caller(claims).expect("good")));
    let ann = access(
        json!({"scope": "read  write", "groups": ["all", "staff"], "level": 3, "realm": {"roles": ["admin"]}}),
    );
    let bob = access(json!({"scp": ["read"]}));
    for (text, sees) in [
        (json!({"scope": "write"}), [true, false]),
        (json!({"scope": ["write", "read"]}), [true, true]),
        (json!({"claim": "groups", "is": "staff"}), [true, false]),
        (json!({"claim": "groups", "is": ["none", "all"]}), [true, false]),
        (json!({"claim": "level", "is": 3}), [true, false]),
        (json!({"claim": ["realm", "roles"], "is": "admin"}), [true, false]),
        (json!({"claim": "realm", "is": "admin"}), [false, false]),
        (json!({"not": {"scope": "write"}}), [false, true]),
        (json!({"all": [{"scope": "read"}, {"not": {"claim": "level", "is": 3}}]}), [false, true]),
        (json!({"any": [{"claim": "sub", "is": "eve"}, {"claim": "level", "is": 3}]}), [true, false]),
    ] {
        let visible = Visibility::parse(&text).expect("a predicate");
        assert_eq!([visible.fits(&ann), visible.fits(&bob)], sees, "{text}");
        assert!(visible.fits(&Access::Local) && !visible.fits(&Access::Anybody), "{text}");
        assert_eq!(Visibility::parse(&visible.to_json()), Ok(visible));
    }
    assert_eq!(
        Visibility::parse(&json!({"any": [{"claim": "groups", "is": "staff"}, {"scope": "admin"}]})),
        Ok(Visibility::any([Visibility::claim("groups", "staff"), Visibility::scope("admin")]))
    );
}

#[test]
fn predicates_that_are_none() {
    for text in [
        json!("admin"),
        json!({}),
        json!({"scope": ""}),
        json!({"scope": []}),
        json!({"scope": 1}),
        json!({"claim": "x"}),
        json!({"claim": "x", "is": []}),
        json!({"any": []}),
        json!({"any": {}}),
        json!({"scope": "a", "not": {"scope": "b"}}),
        json!({"scopes": "a"}),
    ] {
        assert!(Visibility::parse(&text).is_err(), "{text}");
    }
    let nest = |depth: usize| (1..depth).fold(json!({"scope": "a"}), |inner, _| json!({ "not": inner }));
    assert!(Visibility::parse(&nest(16)).is_ok());
    assert!(Visibility::parse(&nest(17)).expect_err("too deep").contains("16"));
}
