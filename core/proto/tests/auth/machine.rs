//! Refreshing, the grants without a user, signed requests.

use base64::Engine as _;
use serde_json::{Value, json};
use trunnion_proto::auth::credentials::{AuthMethod, Client};
use trunnion_proto::auth::dpop::{ClientKey, DpopKey, Proof};
use trunnion_proto::auth::flow::Grant;
use trunnion_proto::auth::registration::Preregistered;
use trunnion_proto::auth::token::{ID_JAG, ID_TOKEN};
use trunnion_proto::auth::{AuthError, Config, Credentials, Flow, Fresh, HttpResponse, Input, Secret};

use crate::auth::world::*;

/// Header and claims of a text that was signed.
fn jwt(input: &str) -> (Value, Value) {
    let part = |text: &str| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let (header, claims) = input.split_once('.').expect("two parts");
    (part(header), part(claims))
}

fn of(grant: Grant, secret: Option<&str>) -> Config {
    let mut config = config();
    config.grant = grant;
    config.identity.preregistered = Some(Preregistered {
        issuer: Some(AS.into()),
        trust_first_issuer: false,
        id: "me".into(),
        secret: secret.map(Secret::new),
        method: None,
    });
    config
}

fn refreshable() -> (World, Flow, Credentials) {
    let mut world = World::new();
    world.tokens = vec![token(json!({"refresh_token": "r3fresh"}))];
    let mut flow = Flow::new(config(), None).expect("a good configuration");
    let record = world.play(&mut flow, unauthorized(Some("a b"))).expect("tokens");
    world.log.clear();
    (world, flow, record)
}

#[test]
fn tokens_are_refreshed() {
    let (mut world, mut flow, record) = refreshable();
    assert!(record.tokens.as_ref().expect("tokens").expires_within(1050, 10));
    world.tokens = vec![token(json!({"access_token": "n3w"}))];
    let early = world.play(&mut flow, Input::Refresh).expect("tokens");
    assert_eq!(world.log, [format!("POST {AS}/token")]);
    let form = world.forms().pop().expect("a form");
    assert_eq!((form["grant_type"].as_str(), form["refresh_token"].as_str()), ("refresh_token", "r3fresh"));
    assert_eq!(form["resource"], MCP);
    let tokens = early.tokens.clone().expect("tokens");
    assert_eq!(tokens.access.expose(), "n3w");
    assert_eq!(tokens.refresh.expect("the old one stays").expose(), "r3fresh");
    assert_eq!((early.version, early.scopes.join(" ")), (2, "a b".into()));

    // From a store, after a refusal: both servers are asked who they are, the user is not.
    let mut flow = Flow::new(config(), Some(early)).expect("a good configuration");
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert!(!world.reached("BROWSER"));
    // Refused again although fresh: refreshing is no help.
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert!(world.reached("BROWSER"));
}

#[test]
fn the_loser_of_a_race_takes_the_winners_tokens() {
    let (mut world, mut flow, record) = refreshable();
    world.tokens = vec![oauth_error(400, "invalid_grant"), token(json!({}))];
    let mut theirs = record.clone();
    theirs.version += 1;
    theirs.tokens.as_mut().expect("tokens").access = Secret::new("theirs");
    theirs.tokens.as_mut().expect("tokens").expires_at = Some(9999);
    world.stored = Some(theirs.clone());
    assert_eq!(world.play(&mut flow, unauthorized(None)), Ok(theirs));
    assert!(!world.reached("BROWSER"));

    // No other process has changed it: the user is asked, or an error is returned if there was no refusal
    // yet.
    let (mut world, mut flow, record) = refreshable();
    world.tokens = vec![oauth_error(400, "invalid_grant"), token(json!({}))];
    world.stored = Some(record);
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert!(world.reached("RELOAD") && world.reached("BROWSER"));

    let (mut world, mut flow, _) = refreshable();
    world.tokens = vec![oauth_error(400, "invalid_grant")];
    let error = world.play(&mut flow, Input::Refresh).expect_err("refused");
    assert!(matches!(error, AuthError::TokenEndpoint { ref code, .. } if code == "invalid_grant"));

    // The client itself was removed: it registers anew.
    let (mut world, mut flow, _) = refreshable();
    world.tokens = vec![oauth_error(401, "invalid_client"), token(json!({}))];
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert!(world.reached("/register"));
}

#[test]
fn what_another_process_has_got_is_taken_over() {
    let (mut world, mut flow, record) = refreshable();
    assert!(!flow.adopt(&record), "it is the same");
    let mut theirs = Credentials { version: record.version + 1, ..record.clone() };
    assert!(!flow.adopt(&Credentials { server: "https://h/other".into(), ..theirs.clone() }));
    theirs.tokens.as_mut().expect("tokens").refresh = Some(Secret::new("theirs"));
    assert!(flow.adopt(&theirs) && !flow.adopt(&theirs));
    world.play(&mut flow, Input::Refresh).expect("tokens");
    assert_eq!(world.forms().pop().expect("a form")["refresh_token"], "theirs");

    // After signing out and in again, versions count from one.
    let theirs = Credentials { version: 1, ..theirs };
    assert!(flow.adopt(&theirs));
    assert_eq!(world.play(&mut flow, Input::Refresh).expect("tokens").version, 2);
}

#[test]
fn a_record_that_the_store_did_not_take_is_made_again() {
    let (mut world, mut flow, record) = refreshable();
    world.keeps = false;
    for access in ["f1rst", "s3cond"] {
        world.tokens = vec![token(json!({"access_token": access, "refresh_token": access}))];
        let made = world.play(&mut flow, Input::Refresh).expect("tokens");
        assert_eq!(made.version, record.version + 1, "it follows what the store has");
        assert!(!flow.is_kept(&made) && flow.is_kept(&record));
        // A record that the store has had all along is not a new sign-in.
        assert!(!flow.adopt(&record));
    }
    let of = |flow: &Flow| {
        let tokens = flow.credentials().and_then(|record| record.tokens.clone());
        tokens.map(|tokens| tokens.access.expose().to_owned())
    };
    assert_eq!(of(&flow).as_deref(), Some("s3cond"));
    // The store did accept it, but reported that it had not.
    let made = flow.credentials().cloned().expect("a record");
    assert!(!flow.adopt(&made) && flow.is_kept(&made), "it is the same");
}

#[test]
fn who_was_faster_is_found_out() {
    let fails_to_swap = |theirs: Option<Credentials>, asked| {
        let (mut world, mut flow, record) = refreshable();
        world.keeps = false;
        world.tokens = vec![token(json!({"access_token": "ours"}))];
        world.play(&mut flow, Input::Refresh).expect("tokens");
        let again = flow.outrun(theirs.map(|theirs| Credentials { server: record.server, ..theirs }), asked);
        let now = flow.credentials().and_then(|record| record.tokens.clone());
        (again.map(|record| record.version), now.map(|tokens| tokens.access.expose().to_owned()))
    };
    let (_, _, record) = refreshable();
    let of = |version: u64, access: &str| {
        let mut record = Credentials { version, ..record.clone() };
        record.tokens.as_mut().expect("tokens").access = Secret::new(access);
        Some(record)
    };
    let ours = || Some("ours".to_owned());
    // Someone else, with a higher version or a lower one.
    assert_eq!(fails_to_swap(of(7, "theirs"), false), (None, Some("theirs".into())));
    assert_eq!(fails_to_swap(of(1, "theirs"), false), (None, Some("theirs".into())));
    // Signed out; but not by someone who has agreed since.
    assert_eq!(fails_to_swap(None, false), (None, None));
    assert_eq!(fails_to_swap(None, true), (Some(1), ours()));
    // There are no tokens, or not for this client.
    let empty = Credentials { version: 9, tokens: None, ..record.clone() };
    assert_eq!(fails_to_swap(Some(empty), false), (Some(10), ours()));
    let foreign = Credentials { grant: Some("client_credentials".into()), ..of(4, "x").expect("a record") };
    assert_eq!(fails_to_swap(Some(foreign), false), (Some(5), ours()));
    // The record that the store held before.
    assert_eq!(fails_to_swap(Some(record.clone()), false), (Some(record.version + 1), ours()));
}

/// A user who agrees to the configured client `me`.
fn by_hand(id: &str, secret: Option<&str>) -> Config {
    let browser = Grant::Browser { redirect_uri: REDIRECT.into() };
    let mut config = of(browser, secret);
    config.identity.preregistered.as_mut().expect("a client").id = id.into();
    config
}

#[test]
fn tokens_are_for_their_grant_and_client() {
    let mut world =
        World::with(json!({"token_endpoint_auth_methods_supported": ["client_secret_basic", "none"]}));
    world.tokens = vec![token(json!({"refresh_token": "r3fresh"}))];
    let record = world.run(by_hand("me", Some("s3cr3t"))).expect("tokens");
    assert_eq!(record.grant.as_deref(), Some("authorization_code"));
    let legacy = Credentials { grant: None, ..record.clone() };
    let uses = |config: Config, record: &Credentials| {
        let flow = Flow::new(config, Some(record.clone())).expect("a good configuration");
        flow.credentials().is_some()
    };
    let program = || of(Grant::ClientCredentials, Some("s3cr3t"));
    assert!(uses(by_hand("me", None), &record) && uses(by_hand("me", None), &legacy));
    assert!(!uses(by_hand("you", None), &record) && !uses(by_hand("you", None), &legacy));
    assert!(!uses(config(), &record) && !uses(program(), &record) && !uses(program(), &legacy));
    let mut elsewhere = by_hand("me", Some("s3cr3t"));
    elsewhere.identity.preregistered.as_mut().expect("a client").issuer = Some("https://as.example".into());
    assert!(!uses(elsewhere, &record), "another issuer is not shown the secret");

    // A program's tokens are no reason to send the user to the page again.
    let mut flow = Flow::new(program(), Some(record.clone())).expect("a good configuration");
    let own = world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert_eq!(own.grant.as_deref(), Some("client_credentials"));
    assert!(flow.yields() && !flow.is_kept(&own));
    // The other way round they are.
    let mut flow = Flow::new(by_hand("me", Some("s3cr3t")), Some(own)).expect("a good configuration");
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert!(!flow.yields());
}

#[test]
fn a_configured_secret_is_the_configured_one() {
    let mut world = World::with(json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    world.tokens = vec![token(json!({"refresh_token": "r3fresh"}))];
    let mut record = world.run(by_hand("me", Some("0ld-secret"))).expect("tokens");
    assert!(!serde_json::to_string(&record).expect("JSON").contains("0ld-secret"));
    // As records of before have it.
    record.client.as_mut().expect("a client").secret = Some(Secret::new("0ld-secret"));
    for input in [Input::Refresh, unauthorized(None)] {
        let config = by_hand("me", Some("n3w-secret"));
        let mut flow = Flow::new(config, Some(record.clone())).expect("a good configuration");
        let made = world.play(&mut flow, input).expect("tokens");
        let form = world.forms().pop().expect("a form");
        assert_eq!((&form["grant_type"][..], &form["client_secret"][..]), ("refresh_token", "n3w-secret"));
        assert!(!serde_json::to_string(&made).expect("JSON").contains("secret\":"));
    }
    // There is a secret now, or none any more.
    let client = record.client.as_mut().expect("a client");
    (client.method, client.secret) = (AuthMethod::None, None);
    let config = by_hand("me", Some("n3w-secret"));
    let mut flow = Flow::new(config, Some(record.clone())).expect("a good configuration");
    world.play(&mut flow, Input::Refresh).expect("tokens");
    assert!(world.posted.last().expect("a post").header("authorization").is_some());
}

#[test]
fn a_client_that_registered_itself_keeps_its_redirect_uri() {
    let elsewhere = "http://localhost:3001/callback";
    let mut world = World::new();
    world.tokens = vec![token(json!({"refresh_token": "r3fresh"}))];
    let record = world.run(config()).expect("tokens");
    assert_eq!(record.redirect_uri.as_deref(), Some(REDIRECT));
    let mut moved = config();
    moved.grant = Grant::Browser { redirect_uri: elsewhere.into() };
    let registrations =
        |world: &World| world.posted.iter().filter(|post| post.url.ends_with("/register")).count();

    // Refreshing needs none.
    let mut flow = Flow::new(moved, Some(record.clone())).expect("a good configuration");
    let refreshed = world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert_eq!((registrations(&world), refreshed.redirect_uri.as_deref()), (1, Some(REDIRECT)));
    // A new authorization does.
    let record = world.play(&mut flow, forbidden("more")).expect("tokens");
    assert_eq!((registrations(&world), record.redirect_uri.as_deref()), (2, Some(elsewhere)));
    world.play(&mut flow, forbidden("still more")).expect("tokens");
    assert_eq!(registrations(&world), 2, "it is the one that it was registered with");
}

#[test]
fn a_refresh_before_the_end_says_nothing_of_the_next() {
    let (mut world, mut flow, _) = refreshable();
    world.play(&mut flow, Input::Refresh).expect("tokens");
    world.play(&mut flow, unauthorized(None)).expect("tokens");
    assert!(!world.reached("BROWSER"));
}

#[test]
fn clients_of_their_own() {
    let mut world = World::with(json!({
        "token_endpoint_auth_methods_supported": ["client_secret_basic"], "authorization_endpoint": null,
        "code_challenge_methods_supported": null,
    }));
    let config = of(Grant::ClientCredentials, Some("p:w d"));
    world.run(config).expect("tokens");
    assert_eq!(world.forms()[0]["grant_type"], "client_credentials");
    assert_eq!(world.forms()[0]["resource"], MCP);
    let basic = world.posted[0].header("authorization").expect("Basic").replace("Basic ", "");
    let pair = base64::engine::general_purpose::STANDARD.decode(basic).expect("base64");
    assert_eq!(pair, b"me:p%3Aw+d");

    let key = |algorithm: &str| ClientKey { algorithm: algorithm.into(), id: Some("k1".into()) };
    let mut world = World::with(json!({
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
    }));
    let mut config = of(Grant::ClientCredentials, None);
    config.client_key = Some(key("ES256"));
    world.run(config.clone()).expect("tokens");
    let (header, claims) = jwt(&world.signed[0]);
    assert_eq!(header, json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}));
    assert_eq!((&claims["iss"], &claims["sub"], &claims["aud"]), (&json!("me"), &json!("me"), &json!(AS)));
    assert!(world.forms()[0]["client_assertion"].starts_with(&world.signed[0]));
    config.client_key = Some(key("RS256"));
    assert!(matches!(world.run(config), Err(AuthError::ClientAuthentication { .. })));
}

#[test]
fn assertions_are_shown_once() {
    let grant = || Grant::JwtBearer { assertion: Secret::new("w0rkload") };
    let mut world = World::new();
    world.run(of(grant(), None)).expect("tokens");
    assert_eq!(world.forms()[0]["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(world.forms()[0]["assertion"], "w0rkload");

    let mut world = World::new();
    world.tokens = vec![oauth_error(400, "invalid_grant")];
    world.run(of(grant(), None)).expect_err("refused");
    assert_eq!(world.forms().len(), 1);
}

#[test]
fn an_identity_provider_vouches() {
    let idp = "http://localhost:9";
    let grant = || Grant::Enterprise {
        token_endpoint: format!("{idp}/token"),
        issuer: idp.into(),
        client: Client {
            id: "at-idp".into(),
            secret: None,
            method: AuthMethod::None,
            secret_expires_at: None,
        },
        subject: Secret::new("1d"),
        subject_type: ID_TOKEN.into(),
    };
    let exchanged =
        |kind: &str| token(json!({"access_token": "j4g", "token_type": "N_A", "issued_token_type": kind}));
    let more = || json!({"token_endpoint_auth_methods_supported": ["client_secret_basic"]});
    let mut world = World::with(more());
    world.tokens = vec![exchanged(ID_JAG), token(json!({}))];
    world.run(of(grant(), Some("s"))).expect("tokens");
    let forms = world.forms();
    assert_eq!(world.posted[0].url, format!("{idp}/token"));
    assert_eq!(forms[0]["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(
        (&forms[0]["requested_token_type"][..], &forms[0]["subject_token_type"][..]),
        (ID_JAG, ID_TOKEN)
    );
    assert_eq!((&forms[0]["audience"][..], &forms[0]["resource"][..]), (AS, MCP));
    assert_eq!((&forms[0]["client_id"][..], &forms[0]["subject_token"][..]), ("at-idp", "1d"));
    assert_eq!(world.posted[1].url, format!("{AS}/token"));
    assert_eq!(forms[1]["assertion"], "j4g");
    assert!(world.posted[1].header("authorization").is_some() && !world.posted[1].body.contains("1d&"));

    let mut world = World::with(more());
    world.tokens = vec![exchanged("urn:ietf:params:oauth:token-type:access_token")];
    let error = world.run(of(grant(), Some("s"))).expect_err("another kind of token");
    assert!(matches!(error, AuthError::TokenType { wanted: ID_JAG, .. }));
    assert_eq!(world.posted.len(), 1, "it is not shown to the authorization server");
}

fn dpop_key() -> DpopKey {
    DpopKey { algorithm: "ES256".into(), jwk: r#"{"kty":"EC","crv":"P-256","x":"eA","y":"eQ"}"#.into() }
}

#[test]
fn tokens_bound_to_a_key() {
    let mut config = config();
    config.dpop = Some(dpop_key());
    let mut world = World::with(json!({"dpop_signing_alg_values_supported": ["ES256"]}));
    let nonce = HttpResponse { dpop_nonce: Some("n0nce".into()), ..oauth_error(400, "use_dpop_nonce") };
    world.tokens = vec![nonce.clone(), token(json!({"token_type": "DPoP"}))];
    let record = world.run(config.clone()).expect("tokens");
    assert_eq!(record.tokens.expect("tokens").authorization().expose(), "DPoP acc3ss");
    let ((header, first), (_, second)) = (jwt(&world.signed[0]), jwt(&world.signed[1]));
    assert_eq!((&header["typ"], &header["jwk"]["x"]), (&json!("dpop+jwt"), &json!("eA")));
    assert_eq!((&first["htm"], &first["htu"]), (&json!("POST"), &json!(format!("{AS}/token"))));
    assert!(first.get("nonce").is_none() && first["jti"] != second["jti"]);
    assert_eq!(second["nonce"], "n0nce");
    assert!(
        world.posted.last().expect("a post").header("dpop").expect("a proof").starts_with(&world.signed[1])
    );

    // A server that is never content, and one that hands out tokens that are not bound.
    world.tokens = vec![nonce];
    world.posted.clear();
    assert!(matches!(world.run(config.clone()), Err(AuthError::TokenEndpoint { .. })));
    assert_eq!(world.forms().len(), 2);
    world.tokens = vec![token(json!({}))];
    assert!(matches!(world.run(config.clone()), Err(AuthError::TokenType { wanted: "DPoP", .. })));

    // Not offered: bearer tokens.
    let mut world = World::new();
    world.run(config).expect("tokens");
    assert!(world.signed.is_empty());
}

#[test]
fn proofs_of_requests_to_the_server() {
    let fresh = Fresh { now: 5, random: [1; 64] };
    // The access token and its hash are those of RFC 9449, section 7.1.
    let access = Secret::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    let proof = Proof { method: "POST", url: "https://h/mcp?x=1#y", nonce: None, access: Some(&access) };
    let (_, claims) = jwt(&dpop_key().proof(proof, &fresh).expect("a proof").input);
    assert_eq!(claims["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    assert_eq!((&claims["htu"], &claims["iat"]), (&json!("https://h/mcp"), &json!(5)));
    let private = DpopKey { jwk: r#"{"kty":"EC","d":"x"}"#.into(), ..dpop_key() };
    assert!(matches!(private.proof(proof, &fresh), Err(AuthError::Config { option: "dpop", .. })));
}

#[test]
fn nothing_shows_a_secret() {
    let (mut world, mut flow, record) = refreshable();
    let fresh = world.fresh();
    let step = flow.step(Input::Refresh, &fresh);
    let answer = Input::Response(token(json!({"access_token": "n3w"})));
    let callback = Input::Callback("code=c0de".into());
    let shown = format!("{step:?} {answer:?} {callback:?} {record:?} {flow:?} {fresh:?} {:?}", world.posted);
    for secret in ["acc3ss", "r3fresh", "n3w", "c0de"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
