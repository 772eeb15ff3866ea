//! Discovery, registration and scopes, as in the official suite.

use serde_json::{Value, json};
use trunnion_proto::auth::credentials::AuthMethod;
use trunnion_proto::auth::dpop::ClientKey;
use trunnion_proto::auth::flow::{AGAIN_AFTER, Grant};
use trunnion_proto::auth::pkce;
use trunnion_proto::auth::registration::{Identity, Preregistered};
use trunnion_proto::auth::{AuthError, Challenge, Flow, HttpResponse, Input, Secret};

use crate::auth::world::*;

fn challenged_at(url: &str) -> Input {
    let resource_metadata = Some(url.to_owned());
    Input::Challenged(Challenge { status: 401, resource_metadata, ..Challenge::default() })
}

#[test]
fn metadata_is_found_in_order_and_resource_is_sent_as_it_came() {
    let well_known = "http://localhost:1/.well-known/oauth-protected-resource";
    let tenant = format!("{AS}/tenant1");
    // Place of the resource's metadata, its resource, is it in the challenge, issuer, place of its metadata.
    let table = [
        (
            format!("{well_known}/mcp"),
            MCP,
            true,
            AS,
            format!("{AS}/.well-known/oauth-authorization-server"),
            2,
        ),
        (format!("{well_known}/mcp"), MCP, false, AS, format!("{AS}/.well-known/openid-configuration"), 3),
        (
            well_known.to_owned(),
            "http://localhost:1",
            false,
            tenant.as_str(),
            format!("{AS}/.well-known/oauth-authorization-server/tenant1"),
            3,
        ),
        (
            "http://localhost:1/custom/metadata.json".to_owned(),
            MCP,
            true,
            tenant.as_str(),
            format!("{AS}/tenant1/.well-known/openid-configuration"),
            4,
        ),
    ];
    for (at, identifier, said, issuer, server_at, gets) in table {
        let mut world = World::new();
        world.documents.clear();
        world.put(&at, resource(identifier, issuer));
        world.put(&server_at, metadata(issuer, json!({})));
        let mut flow = Flow::new(config(), None).expect("a good configuration");
        let input = if said { challenged_at(&at) } else { unauthorized(None) };
        let record = world.play(&mut flow, input).expect("tokens");
        assert_eq!(world.log.iter().filter(|line| line.starts_with("GET")).count(), gets, "{:?}", world.log);
        assert!(!said || !world.log.contains(&format!("GET {well_known}")));
        assert!(
            issuer == AS || !world.log.contains(&format!("GET {AS}/.well-known/oauth-authorization-server"))
        );
        assert_eq!(world.pages[0]["resource"], identifier);
        assert_eq!(world.forms()[0]["resource"], identifier);
        assert_eq!(world.pages[0]["code_challenge_method"], "S256");
        assert_eq!(world.pages[0]["code_challenge"], pkce::challenge(&world.forms()[0]["code_verifier"]));
        assert_eq!(world.forms()[0]["redirect_uri"], REDIRECT);
        assert_eq!(record.tokens.expect("tokens").authorization().expose(), "Bearer acc3ss");
        assert_eq!(record.issuer, issuer);
    }
}

#[test]
fn client_ids() {
    let mut world = World::with(json!({"client_id_metadata_document_supported": true}));
    world.run(config()).expect("tokens");
    assert_eq!(world.pages[0]["client_id"], CIMD);
    assert!(!world.reached("/register"));

    let mut world = World::new();
    world.run(config()).expect("tokens");
    assert_eq!(world.pages[0]["client_id"], "dcr");
    let sent: Value = serde_json::from_str(&world.posted[0].body).expect("JSON");
    assert_eq!(sent["application_type"], "native");
    assert_eq!(sent["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(sent["redirect_uris"], json!([REDIRECT]));

    let by_hand = |issuer: Option<&str>| {
        let mut config = config();
        config.identity.preregistered = Some(Preregistered {
            issuer: issuer.map(str::to_owned),
            trust_first_issuer: false,
            id: "pre".into(),
            secret: Some(Secret::new("s3cr3t")),
            method: None,
        });
        config
    };
    let mut world = World::with(json!({
        "registration_endpoint": null, "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }));
    world.run(by_hand(Some(AS))).expect("tokens");
    assert_eq!(world.posted[0].header("authorization"), Some("Basic cHJlOnMzY3IzdA=="));
    let error = world.run(by_hand(Some("https://other.example"))).expect_err("another issuer");
    assert!(matches!(error, AuthError::ClientOfAnotherIssuer { .. }), "{error}");

    let mut world = World::with(json!({"registration_endpoint": null}));
    let error = world.run(config()).expect_err("no way to a client id");
    assert_eq!(error, AuthError::NoRegistration { issuer: AS.into() });

    let mut world = World::new();
    world.registration =
        HttpResponse::json(400, r#"{"error":"invalid_redirect_uri","error_description":"no loopback"}"#);
    let error = world.run(config()).expect_err("refused").to_string();
    assert_eq!(error, "registration was refused with status 400: invalid_redirect_uri: no loopback");
}

#[test]
fn the_registered_authentication_is_obeyed() {
    for method in [AuthMethod::None, AuthMethod::ClientSecretPost, AuthMethod::ClientSecretBasic] {
        let name = method.as_str();
        let mut world = World::with(json!({"token_endpoint_auth_methods_supported": [name]}));
        let body = json!({"client_id": "dcr", "client_secret": "s", "token_endpoint_auth_method": name});
        world.registration = HttpResponse::json(201, body.to_string());
        world.run(config()).expect("tokens");
        let sent: Value = serde_json::from_str(&world.posted[0].body).expect("JSON");
        assert_eq!(sent["token_endpoint_auth_method"], name);
        let (post, form) = (&world.posted[1], &world.forms()[0]);
        assert_eq!(post.header("authorization").is_some(), method == AuthMethod::ClientSecretBasic);
        assert_eq!(form.contains_key("client_secret"), method == AuthMethod::ClientSecretPost);
        assert_eq!(form.contains_key("client_id"), method != AuthMethod::ClientSecretBasic);
    }
}

#[test]
fn scopes() {
    let scoped = |more: Value| {
        let mut all = json!({"resource": MCP, "authorization_servers": [AS]});
        if !more.is_null() {
            all["scopes_supported"] = more;
        }
        HttpResponse::json(200, all.to_string())
    };
    let at = "http://localhost:1/.well-known/oauth-protected-resource/mcp";
    // Challenge, the resource's scopes, the authorization server's, the requested ones.
    for (challenge, resource, server, wanted) in [
        (Some("mcp:basic"), json!(["a", "b"]), json!(null), Some("mcp:basic")),
        (None, json!(["a", "b"]), json!(null), Some("a b")),
        (None, json!(null), json!(["a", "offline_access"]), None),
        (Some("a"), json!(null), json!(["a", "offline_access"]), Some("a offline_access")),
        (Some("a"), json!(null), json!(["a"]), Some("a")),
        (None, json!(["a", "offline_access"]), json!(["a"]), Some("a")),
    ] {
        let mut world = World::with(json!({"scopes_supported": server}));
        world.put(at, scoped(resource));
        let mut config = config();
        config.offline = true;
        let mut flow = Flow::new(config, None).expect("a good configuration");
        world.play(&mut flow, unauthorized(challenge)).expect("tokens");
        assert_eq!(world.pages[0].get("scope").map(String::as_str), wanted);
    }
}

#[test]
fn a_step_up_keeps_what_was_asked_for() {
    let mut world = World::new();
    let decoy = json!({"resource": MCP, "authorization_servers": [AS], "scopes_supported": ["mcp:profile"]});
    world.put(
        "http://localhost:1/.well-known/oauth-protected-resource/mcp",
        HttpResponse::json(200, decoy.to_string()),
    );
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    world.play(&mut flow, unauthorized(Some("mcp:basic"))).expect("tokens");
    flow.accepted();
    let record = world.play(&mut flow, forbidden("mcp:write")).expect("tokens");
    assert_eq!(world.pages[1]["scope"], "mcp:basic mcp:write");
    assert_eq!(record.version, 2);
    assert_eq!(world.posted.iter().filter(|post| post.url.ends_with("/register")).count(), 1);
}

#[test]
fn endless_refusals_end() {
    let mut world = World::new();
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    world.play(&mut flow, unauthorized(Some("a"))).expect("tokens");
    world.play(&mut flow, forbidden("b")).expect("tokens");
    world.play(&mut flow, forbidden("c")).expect("tokens");
    let error = world.play(&mut flow, forbidden("d")).expect_err("too many");
    assert_eq!(error, AuthError::TooManyAuthorizations { attempts: 3 });
    assert_eq!(world.pages.len(), 3);
    flow.accepted();
    world.play(&mut flow, forbidden("d")).expect("tokens");
    world.play(&mut flow, forbidden("e")).expect("tokens");
    world.play(&mut flow, forbidden("f")).expect("tokens");
    // Not indefinitely: an administrator may have repaired the server.
    world.now += AGAIN_AFTER - 1;
    world.play(&mut flow, forbidden("g")).expect_err("too many");
    world.now += 1;
    world.play(&mut flow, forbidden("g")).expect("tokens");
    assert_eq!(world.pages.len(), 7);
}

#[test]
fn another_authorization_server_never_sees_the_first_ones_client() {
    let mut world = World::new();
    world.tokens = vec![token(json!({"refresh_token": "r3fresh"}))];
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    world.play(&mut flow, unauthorized(Some("old"))).expect("tokens");
    flow.accepted();
    let second = "http://localhost:4";
    world.put("http://localhost:1/.well-known/oauth-protected-resource/mcp", resource(MCP, second));
    world.put(&format!("{second}/.well-known/oauth-authorization-server"), metadata(second, json!({})));
    world.registration = HttpResponse::json(201, r#"{"client_id":"second"}"#);
    let record = world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert_eq!((record.issuer.as_str(), world.pages[1]["client_id"].as_str()), (second, "second"));
    assert!(!world.pages[1].contains_key("scope"));
    assert!(
        world.posted[2..].iter().all(|post| post.url.starts_with(second) && !post.body.contains("r3fresh"))
    );

    // A client that was configured without an issuer belongs to the first it was used at.
    let mut config = config();
    config.identity = Identity {
        preregistered: Some(Preregistered {
            issuer: None,
            trust_first_issuer: false,
            id: "pre".into(),
            secret: None,
            method: None,
        }),
        ..Identity::default()
    };
    let mut world = World::new();
    let mut flow = Flow::new(config, None).expect("a good configuration");
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    world.put("http://localhost:1/.well-known/oauth-protected-resource/mcp", resource(MCP, second));
    world.put(&format!("{second}/.well-known/oauth-authorization-server"), metadata(second, json!({})));
    let error = world.play(&mut flow, unauthorized(None)).expect_err("another issuer");
    assert!(matches!(error, AuthError::ClientOfAnotherIssuer { .. }), "{error}");
}

#[test]
fn secrets_go_to_no_authorization_server_that_was_not_named() {
    let of = |grant: Grant, issuer: Option<&str>, secret: Option<&str>, key: bool| {
        let mut config = config();
        config.grant = grant;
        config.client_key = key.then(|| ClientKey { algorithm: "ES256".into(), id: None });
        config.identity.preregistered = Some(Preregistered {
            issuer: issuer.map(str::to_owned),
            trust_first_issuer: false,
            id: "me".into(),
            secret: secret.map(Secret::new),
            method: None,
        });
        config
    };
    let browser = || Grant::Browser { redirect_uri: REDIRECT.into() };
    let assertion = || Grant::JwtBearer { assertion: Secret::new("h.e.y") };
    let methods = json!(["client_secret_basic", "private_key_jwt", "none"]);
    let world = || World::with(json!({"token_endpoint_auth_methods_supported": methods}));
    for (grant, secret, key) in [
        (browser(), Some("s3cr3t"), false),
        (Grant::ClientCredentials, Some("s3cr3t"), false),
        (Grant::ClientCredentials, None, true),
        (assertion(), None, false),
    ] {
        let mut first = world();
        let error = first.run(of(grant.clone(), None, secret, key)).expect_err("nobody said where");
        assert_eq!(error, AuthError::IssuerNotNamed { issuer: AS.into() });
        assert!(error.to_string().contains(AS), "{error}");
        assert!(first.posted.is_empty() && !first.reached("BROWSER"), "nothing was shown");

        // Named, or trusted explicitly; and from then on bound to it by the record.
        let record = world().run(of(grant.clone(), Some(AS), secret, key)).expect("tokens");
        let mut trusting = of(grant.clone(), None, secret, key);
        trusting.identity.preregistered.as_mut().expect("a client").trust_first_issuer = true;
        world().run(trusting).expect("tokens");
        let mut flow = Flow::new(of(grant, None, secret, key), Some(record)).expect("a good configuration");
        world().play(&mut flow, unauthorized(None)).expect("the issuer is in the record");
    }
    // A public client has nothing to hide.
    world().run(of(browser(), None, None, false)).expect("tokens");
}

#[test]
fn iss_of_the_callback() {
    let slash = format!("{AS}/");
    for (promised, iss, good) in [
        (true, Some(AS), true),
        (false, None, true),
        (false, Some(AS), true),
        (true, None, false),
        (true, Some("https://evil.example"), false),
        (false, Some("https://evil.example"), false),
        (true, Some(slash.as_str()), false),
    ] {
        let mut world = World::with(json!({"authorization_response_iss_parameter_supported": promised}));
        world.iss = iss.map(str::to_owned);
        let ended = world.run(config());
        assert_eq!(ended.is_ok(), good, "{promised} {iss:?}");
        assert!(world.reached("BROWSER"));
        assert_eq!(world.reached("/token"), good);
    }
}

#[test]
fn servers_of_2025_03_26() {
    let base = "http://localhost:1";
    let prefixed = json!({
        "authorization_endpoint": format!("{base}/oauth/authorize"), "token_endpoint": format!("{base}/oauth/token"),
        "registration_endpoint": format!("{base}/oauth/register"),
    });
    for (document, token) in [(Some(prefixed), "/oauth/token"), (None, "/token")] {
        let mut world = World::new();
        world.documents.clear();
        if let Some(document) = document {
            world.put(&format!("{base}/.well-known/oauth-authorization-server"), metadata(base, document));
        }
        world.run(config()).expect("tokens");
        assert_eq!(world.log.last(), Some(&format!("POST {base}{token}")));
        assert!(!world.pages[0].contains_key("resource"));
        let mut strict = config();
        strict.legacy = false;
        let error = world.run(strict).expect_err("no metadata");
        assert!(matches!(error, AuthError::NoResourceMetadata { .. }), "{error}");
    }
}
