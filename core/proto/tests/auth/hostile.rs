//! Refused input, and the step at which the flow stops.

use serde_json::json;
use trunnion_proto::auth::flow::Grant;
use trunnion_proto::auth::registration::Preregistered;
use trunnion_proto::auth::url::{AddressClass, AddressPolicy};
use trunnion_proto::auth::{AuthError, Challenge, Flow, HttpResponse, Input, MAX_RESPONSE_BYTES, Secret};

use crate::auth::world::*;

const PRM: &str = "http://localhost:1/.well-known/oauth-protected-resource/mcp";
const META: &str = "http://localhost:2/.well-known/oauth-authorization-server";

/// Ends with an error that `wanted` knows, without a page opened or anything posted.
fn stops(mut world: World, wanted: impl Fn(&AuthError) -> bool) -> World {
    let error = world.run(config()).expect_err("must not work");
    assert!(wanted(&error), "{error:?}");
    assert!(!world.reached("BROWSER") && world.posted.is_empty(), "{:?}", world.log);
    world
}

#[test]
fn a_foreign_resource() {
    let mut world = World::new();
    world.put(PRM, resource("https://evil.example.com/mcp", AS));
    let world = stops(world, |error| matches!(error, AuthError::ResourceMismatch { .. }));
    assert_eq!(world.log, [format!("GET {PRM}")]);
}

#[test]
fn a_foreign_issuer() {
    for issuer in ["https://evil.example", "http://localhost:2/", "HTTP://localhost:2"] {
        let mut world = World::new();
        world.put(META, metadata(AS, json!({"issuer": issuer})));
        let world = stops(world, |error| matches!(error, AuthError::IssuerMismatch { .. }));
        // One bad document ends it: no other place is asked.
        assert_eq!(world.log.len(), 2, "{issuer}");
    }
}

#[test]
fn no_s256() {
    for methods in [json!(null), json!([]), json!(["plain"])] {
        let world = World::with(json!({"code_challenge_methods_supported": methods}));
        stops(world, |error| *error == AuthError::NoS256 { issuer: AS.into() });
    }
}

#[test]
fn endpoints_that_no_client_should_go_to() {
    for (name, url) in [
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", "file:///etc/passwd"),
        ("authorization_endpoint", "http://as.example/authorize"),
        ("authorization_endpoint", "http://localhost:2/authorize?client_id=evil"),
        ("authorization_endpoint", "http://localhost:2/authorize#x"),
        ("token_endpoint", "http://as.example/token"),
        ("token_endpoint", "https://user:pass@as.example/token"),
        ("token_endpoint", "https://169.254.169.254/latest"),
        ("registration_endpoint", "https://2130706433/"),
    ] {
        stops(World::with(json!({ name: url })), |error| {
            matches!(
                error,
                AuthError::BadUrl { .. }
                    | AuthError::NotHttps { .. }
                    | AuthError::AddressRefused { .. }
                    | AuthError::PoisonedEndpoint { .. }
            )
        });
    }
    for name in ["authorization_endpoint", "token_endpoint"] {
        let world = World::with(json!({ name: null }));
        stops(world, |error| matches!(error, AuthError::NoEndpoint { endpoint, .. } if *endpoint == name));
    }
}

#[test]
fn a_public_server_points_to_private_addresses() {
    let refused = |at: &str, issuer: &str| {
        let server = "https://mcp.example/mcp";
        let mut config = config();
        config.server = server.into();
        config.addresses = AddressPolicy { server: AddressClass::Public };
        let mut flow = Flow::new(config, None).expect("a good configuration");
        let mut world = World::new();
        world.put("https://mcp.example/.well-known/oauth-protected-resource/mcp", resource(server, issuer));
        let challenge = Challenge {
            status: 401,
            resource_metadata: (!at.is_empty()).then(|| at.to_owned()),
            ..Challenge::default()
        };
        let error = world.play(&mut flow, Input::Challenged(challenge)).expect_err("must not work");
        assert!(world.log.len() <= 1, "{:?}", world.log);
        error
    };
    for address in ["https://10.1.2.3", "https://[::1]", "https://[::ffff:192.168.0.1]", "https://localhost"]
    {
        assert!(matches!(refused(address, AS), AuthError::AddressRefused { .. }), "{address}");
        assert!(matches!(refused("", address), AuthError::AddressRefused { .. }), "{address}");
    }
    assert!(matches!(refused("http://mcp.example/prm", AS), AuthError::NotHttps { .. }));
}

#[test]
fn documents_of_wrong_shape() {
    let huge = vec![b'['; MAX_RESPONSE_BYTES + 1];
    let deep = format!("{{\"resource\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let bodies: [Vec<u8>; 9] = [
        "".into(),
        "[]".into(),
        "null".into(),
        "{\"resource\":1}".into(),
        "{}".into(),
        deep.into_bytes(),
        b"{\"resource\":\"\xff\"}".to_vec(),
        br#"{"resource":"http://localhost:1/mcp","authorization_servers":"http://localhost:2"}"#.to_vec(),
        br#"{"resource":"http://localhost:1/mcp","authorization_servers":[1]}"#.to_vec(),
    ];
    for body in bodies {
        for at in [PRM, META] {
            let mut world = World::new();
            world.put(at, HttpResponse::json(200, body.clone()));
            stops(world, |error| matches!(error, AuthError::Malformed { .. }));
        }
    }
    for at in [PRM, META] {
        let mut world = World::new();
        world.put(at, HttpResponse::json(404, huge.clone()));
        stops(world, |error| matches!(error, AuthError::ResponseTooLarge { .. }));
    }
    let mut world = World::new();
    world
        .put(PRM, HttpResponse::json(200, json!({"resource": MCP, "authorization_servers": []}).to_string()));
    stops(world, |error| *error == AuthError::NoAuthorizationServer);
}

#[test]
fn redirects_and_errors_of_servers() {
    // Nowhere is metadata, only redirects: the places that exist are asked once each.
    let mut world = World::new();
    for url in world.documents.keys().cloned().collect::<Vec<_>>() {
        world.put(&url, HttpResponse { status: 302, ..HttpResponse::default() });
    }
    world.put(PRM, resource(MCP, AS));
    let world = stops(world, |error| *error == AuthError::NoServerMetadata { issuer: AS.into() });
    assert_eq!(world.log.len(), 3);

    for at in [PRM, META] {
        let mut world = World::new();
        world.put(at, HttpResponse { status: 503, ..HttpResponse::default() });
        stops(world, |error| matches!(error, AuthError::Status { status: 503, .. }));
    }

    let mut world = World::new();
    world.put("http://localhost:1/prm", HttpResponse { status: 302, ..HttpResponse::default() });
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    let challenge =
        Challenge { resource_metadata: Some("http://localhost:1/prm".into()), ..Challenge::default() };
    let error = world.play(&mut flow, Input::Challenged(challenge)).expect_err("a redirect");
    assert!(matches!(error, AuthError::Redirect { status: 302, .. }));

    let redirect = HttpResponse { status: 307, ..HttpResponse::default() };
    let mut world = World::new();
    world.tokens = vec![redirect.clone()];
    assert!(matches!(world.run(config()), Err(AuthError::Redirect { status: 307, .. })));
    let mut world = World::new();
    world.registration = redirect;
    assert!(matches!(world.run(config()), Err(AuthError::Redirect { status: 307, .. })));
}

#[test]
fn answers_of_token_endpoints() {
    for (response, wanted) in [
        (oauth_error(400, "invalid_grant"), "the token endpoint answered with status 400: invalid_grant"),
        (HttpResponse::json(500, "boom"), "the token endpoint answered with status 500"),
        (HttpResponse::json(200, "{}"), "token response is malformed: missing field `access_token`"),
        (token(json!({"access_token": 7})), "token response is malformed: a member has the wrong type"),
        (
            token(json!({"access_token": ""})),
            "token response is malformed: a token is empty or not visible ASCII",
        ),
        (
            token(json!({"access_token": "a\r\nx-evil: 1"})),
            "token response is malformed: a token is empty or not visible ASCII",
        ),
        (
            token(json!({"token_type": "mac"})),
            "the token endpoint gave a token of type mac where Bearer was wanted",
        ),
    ] {
        let mut world = World::new();
        world.tokens = vec![response];
        let error = world.run(config()).expect_err("must not work");
        assert_eq!(error.to_string(), wanted);
        assert_eq!(world.forms().len(), 1, "it is not tried again");
    }
}

#[test]
fn what_servers_say_of_secrets_is_not_repeated() {
    let long = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2ln";
    let check = |error: AuthError, secrets: &[&str]| {
        let text = format!("{error} {error:?}");
        assert!(text.contains("Unknown"), "{text}");
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    };
    // Short ones are known from the request.
    let mut world = World::new();
    world.tokens = vec![token(json!({"refresh_token": "r3fresh"}))];
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    let said = format!("Unknown refresh token r3fresh, 'r3fresh', not {long}");
    world.tokens = vec![described(400, "invalid_grant", &said)];
    check(world.play(&mut flow, Input::Refresh).expect_err("refused"), &["r3fresh", long]);

    let mut world = World::new();
    world.tokens = vec![described(400, long, "Unknown code (c0de)")];
    check(world.run(config()).expect_err("refused"), &["c0de", long]);

    let mut world = World::with(json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    world.tokens = vec![described(401, "invalid_client", "Unknown secret s3cr3t")];
    let mut with_secret = config();
    with_secret.grant = Grant::ClientCredentials;
    with_secret.identity.preregistered = Some(Preregistered {
        issuer: Some(AS.into()),
        trust_first_issuer: false,
        id: "me".into(),
        secret: Some(Secret::new("s3cr3t")),
        method: None,
    });
    check(world.run(with_secret).expect_err("refused"), &["s3cr3t"]);

    let mut world = World::new();
    world.registration = described(400, "invalid_client_metadata", &format!("Unknown statement {long}"));
    check(world.run(config()).expect_err("refused"), &[long]);

    // Names of errors are longer than tokens are.
    let mut world = World::new();
    world.tokens = vec![described(400, "unmet_authentication_requirements", "Unknown user")];
    let text = world.run(config()).expect_err("refused").to_string();
    assert!(text.ends_with("400: unmet_authentication_requirements: Unknown user"), "{text}");
}

#[test]
fn odd_answers_of_authorization_servers_are_understood() {
    // Tokens that were "created", and a refresh token that is none.
    let mut world = World::new();
    let mut created = token(json!({"refresh_token": "", "expires_in": "60"}));
    created.status = 201;
    created.body.splice(0..0, *b"\xef\xbb\xbf");
    world.tokens = vec![created];
    let tokens = world.run(config()).expect("tokens").tokens.expect("tokens");
    assert_eq!((tokens.refresh, tokens.expires_at.is_some()), (None, true));

    // An error is one by its name, whatever the status.
    let mut world = World::new();
    world.tokens = vec![described(200, "invalid_grant", "the code is used")];
    let error = world.run(config()).expect_err("refused");
    assert!(
        matches!(&error, AuthError::TokenEndpoint { status: 200, code, .. } if code == "invalid_grant"),
        "{error}"
    );
    let mut world = World::new();
    world.registration = described(200, "invalid_redirect_uri", "no");
    let error = world.run(config()).expect_err("refused");
    assert!(
        matches!(&error, AuthError::RegistrationRefused { code, .. } if code == "invalid_redirect_uri"),
        "{error}"
    );

    // A time as a number with a fraction.
    let mut world = World::new();
    world.registration =
        HttpResponse::json(201, r#"{"client_id":"dcr","client_secret_expires_at":1999999999.0}"#);
    let client = world.run(config()).expect("tokens").client.expect("a client");
    assert_eq!(client.secret_expires_at, Some(1_999_999_999));

    // A page without a type where the metadata could be: the next place has them.
    for page in ["<!doctype html><title>Not found</title>", "", "\u{feff} <html>"] {
        let mut world = World::new();
        let at_path = "http://localhost:1/.well-known/oauth-protected-resource/mcp";
        let body = page.as_bytes().to_vec();
        world.put(at_path, HttpResponse { status: 200, body, ..HttpResponse::default() });
        world.put(
            "http://localhost:1/.well-known/oauth-protected-resource",
            resource("http://localhost:1", AS),
        );
        world.run(config()).expect("tokens");
    }
}

#[test]
fn options_that_are_wrong() {
    let wrong = |change: &dyn Fn(&mut trunnion_proto::auth::Config)| {
        let mut config = config();
        change(&mut config);
        assert!(Flow::new(config, None).is_err());
    };
    wrong(&|config| config.server = "http://mcp.example/mcp".into());
    wrong(&|config| config.server = "mcp".into());
    for redirect_uri in ["http://app.example/cb", "app:/cb", "http://localhost/cb#x"] {
        wrong(&|config| config.grant = Grant::Browser { redirect_uri: redirect_uri.into() });
    }
    for url in
        ["http://app.example/c.json", "https://app.example", "https://app.example/", "https://a.example/../c"]
    {
        wrong(&|config| config.identity.metadata_url = Some(url.into()));
    }
}

#[test]
fn inputs_out_of_turn() {
    let mut world = World::new();
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    for input in [
        Input::Response(HttpResponse::json(200, "{}")),
        Input::Callback("code=c&state=s".into()),
        Input::Signature(vec![1]),
        Input::Reloaded(None),
    ] {
        assert!(matches!(world.play(&mut flow, input), Err(AuthError::UnexpectedInput { .. })));
    }
    assert_eq!(world.play(&mut flow, Input::Refresh), Err(AuthError::NoRefreshToken));
    world.play(&mut flow, unauthorized(None)).expect("it still works");
}
