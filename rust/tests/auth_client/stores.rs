//! Credential stores: stored records, and the processes that may replace them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use trunnion::Client;
use trunnion::auth::{Auth, CredentialStore, Credentials, FileStore, MemoryCredentials, Turn};
use trunnion::store::{StoreError, StoreFuture};

use crate::auth_client::world::{REDIRECT, World, agree};

/// A process and its output.
type Program = (Child, Lines<BufReader<ChildStdout>>);

/// A directory that is removed when dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("trunnion-auth-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Directory(path)
    }

    pub fn store(&self) -> FileStore {
        FileStore::new(self.path())
    }

    pub fn path(&self) -> PathBuf {
        self.0.join("credentials")
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path()).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// Of its only record.
    fn file(&self) -> PathBuf {
        let is_record = |file: &PathBuf| file.extension().is_some_and(|end| end == "json");
        self.files().into_iter().find(is_record).expect("a record")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn record(version: u64) -> Credentials {
    serde_json::from_value(json!({"server": "https://h/mcp", "issuer": "https://as",
        "token_endpoint": "https://as/token", "version": version}))
    .expect("a record")
}

#[tokio::test]
async fn the_slower_of_two_does_not_overwrite() {
    let directory = Directory::new("swap");
    let stores: [Box<dyn CredentialStore>; 2] =
        [Box::new(directory.store()), Box::new(MemoryCredentials::default())];
    for store in stores {
        assert_eq!(store.load("https://h/mcp").await, Ok(None));
        assert_eq!(store.swap(record(1)).await, Ok(true));
        assert_eq!(store.swap(record(1)).await, Ok(false));
        assert_eq!(store.swap(record(2)).await, Ok(true));
        assert_eq!(store.load("https://h/mcp").await, Ok(Some(record(2))));
        assert_eq!(store.load("https://h/other").await, Ok(None));
        let turn = store.turn("https://h/mcp").await.expect("a turn");
        let mut next = store.turn("https://h/mcp");
        assert!(futures_util::poll!(&mut next).is_pending(), "two have the turn");
        store.turn("https://h/other").await.expect("another server has its own");
        drop(turn);
        next.await.expect("the next one's turn");
    }
}

#[tokio::test]
async fn files_are_for_the_users_eyes_only() {
    let directory = Directory::new("modes");
    let store = directory.store();
    store.swap(record(1)).await.expect("kept");
    drop(store.turn("https://h/mcp").await.expect("a turn"));
    let mode = |path: &PathBuf| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&directory.0.join("credentials")), 0o700);
    let files = directory.files();
    assert!(files.len() > 1 && files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    let json = &directory.file();
    std::fs::set_permissions(json, PermissionsExt::from_mode(0o644)).expect("changed");
    let error = store.load("https://h/mcp").await.expect_err("others may read it").to_string();
    assert!(error.contains("0600"), "{error}");
    std::fs::set_permissions(json, PermissionsExt::from_mode(0o600)).expect("changed");
    std::fs::write(json, r#"{"tokens": {"access": "acc3ss""#).expect("written");
    let error = store.load("https://h/mcp").await.expect_err("half a record").to_string();
    assert!(!error.contains("acc3ss"), "{error}");
    let file = std::fs::File::options().write(true).open(json).expect("a file");
    file.set_len(1024 * 1024 + 1).expect("a sparse file");
    let error = store.load("https://h/mcp").await.expect_err("no record").to_string();
    assert!(error.contains("larger"), "{error}");
}

#[tokio::test]
async fn the_next_program_is_signed_in() {
    let (world, directory) = (World::new().await, Directory::new("next"));
    let auth = || world.auth().store(directory.store());
    world.connect(auth()).await.expect("connected").close().await;
    world.connect(auth()).await.expect("connected").close().await;
    assert_eq!(world.state.lock().pages.len(), 1);
    assert_eq!(world.granted("refresh_token"), 0);
    // Signed out: nothing of before is used.
    std::fs::remove_dir_all(&directory.0).expect("gone");
    world.connect(auth()).await.expect("connected").close().await;
    assert_eq!(world.state.lock().pages.len(), 2);
}

#[tokio::test]
async fn two_programs_refresh_one_token_once() {
    let (world, directory) = (World::new().await, Directory::new("race"));
    let auth = || world.auth().store(directory.store());
    let one = world.connect(auth()).await.expect("connected");
    let two = world.connect(auth()).await.expect("connected");
    let call = async |client: &Client| client.call_tool("hello", json!({})).await.expect("an answer").text();
    for round in 1..=50 {
        world.revoke();
        let answers = futures_util::future::join(call(&one), call(&two)).await;
        assert_eq!(answers, ("hello".into(), "hello".into()));
        assert_eq!(world.granted("refresh_token"), round, "one refresh for both");
    }
    assert_eq!(world.state.lock().pages.len(), 1, "no credentials were lost");
}

/// The other program of [`two_processes_refresh_one_token_once`]: a call for each line of its input.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test beside it"]
async fn another_process() {
    let Ok(server) = std::env::var("TRUNNION_TEST_SERVER") else { return };
    let store = FileStore::new(std::env::var("TRUNNION_TEST_STORE").expect("a directory"));
    let client = Client::builder().auth(Auth::authorization_code(REDIRECT, agree).store(store));
    let client = client.connect(server).await.expect("connected");
    println!("ready");
    for line in std::io::stdin().lines() {
        line.expect("a pipe");
        println!("{}", client.call_tool("hello", json!({})).await.expect("an answer").text());
    }
}

#[tokio::test]
async fn two_processes_refresh_one_token_once() {
    let rounds = std::env::var("TRUNNION_TEST_ROUNDS").map_or(25, |rounds| rounds.parse().expect("a number"));
    let (world, directory) = (World::new().await, Directory::new("processes"));
    let server = world.state.lock().mcp.clone();
    let start = || {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "--nocapture", "auth_client::stores::another_process"])
            .env("TRUNNION_TEST_SERVER", &server)
            .env("TRUNNION_TEST_STORE", directory.0.join("credentials"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        (child, output)
    };
    // Skip the output of the test harness.
    let told = async |program: &mut Program, wanted: &str| {
        while !program.1.next_line().await.expect("a pipe").expect("it lives").ends_with(wanted) {}
    };
    let mut programs = [start(), start()];
    for program in &mut programs {
        told(program, "ready").await;
    }
    assert_eq!(world.state.lock().pages.len(), 1, "the second has found what the first has got");
    for round in 1..=rounds {
        world.revoke();
        for (child, _) in &mut programs {
            child.stdin.as_mut().expect("a pipe").write_all(b"\n").await.expect("written");
        }
        for program in &mut programs {
            told(program, "hello").await;
        }
        assert_eq!(world.granted("refresh_token"), round, "one refresh for both");
    }
    assert_eq!(world.state.lock().pages.len(), 1, "no credentials were lost");
}

/// A store some of whose swaps fail; the first is 1.
struct Unsteady {
    inner: MemoryCredentials,
    swaps: AtomicUsize,
    fails: fn(usize) -> bool,
}

impl Unsteady {
    fn new(inner: &MemoryCredentials, fails: fn(usize) -> bool) -> Unsteady {
        Unsteady { inner: inner.clone(), swaps: AtomicUsize::new(0), fails }
    }
}

impl CredentialStore for Unsteady {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        self.inner.load(server)
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        if (self.fails)(self.swaps.fetch_add(1, Ordering::Relaxed) + 1) {
            return Box::pin(async { Err(StoreError::new("the disk is full")) });
        }
        self.inner.swap(record)
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        self.inner.turn(server)
    }
}

async fn hello(client: &Client) {
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
}

#[tokio::test]
async fn a_store_that_fails_once_is_of_use_again() {
    let (world, kept) = (World::new().await, MemoryCredentials::default());
    let auth = world.auth().store(Unsteady::new(&kept, |swap| swap == 2));
    let client = world.connect(auth).await.expect("connected");
    for round in 1..=3 {
        world.revoke();
        hello(&client).await;
        assert_eq!((world.granted("refresh_token"), world.state.lock().pages.len()), (round, 1));
    }
    client.close().await;
    world.revoke();
    hello(&world.connect(world.auth().store(kept)).await.expect("connected")).await;
    assert_eq!((world.pages(), world.logged("invalid_grant")), (1, 0), "the last were kept");
}

#[tokio::test]
async fn without_its_store_a_client_remembers_while_it_lives() {
    let (world, kept) = (World::new().await, MemoryCredentials::default());
    let auth = world.auth().store(Unsteady::new(&kept, |_| true));
    let client = world.connect(auth).await.expect("connected");
    for round in 1..=3 {
        world.revoke();
        hello(&client).await;
        assert_eq!(world.granted("refresh_token"), round);
    }
    let registrations = world.logged("register");
    assert_eq!((world.state.lock().pages.len(), registrations), (1, 1), "nobody has signed out");
}

#[tokio::test]
async fn whoever_signs_in_next_is_who_is_signed_in() {
    let (world, directory) = (World::new().await, Directory::new("next-user"));
    let server = world.state.lock().mcp.clone();
    let client = world.connect(world.auth().store(directory.store())).await.expect("connected");
    for _ in 0..4 {
        world.revoke();
        hello(&client).await;
    }
    let elsewhere = MemoryCredentials::default();
    world.connect(world.auth().store(elsewhere.clone())).await.expect("connected").close().await;
    let theirs = elsewhere.load(&server).await.expect("a store").expect("a record");
    let tokens = theirs.tokens.clone().expect("tokens");
    assert_eq!(theirs.version, 1);
    std::fs::remove_file(directory.file()).expect("signed out");
    assert_eq!(directory.store().swap(theirs).await, Ok(true));

    let (shown, forms) = {
        let state = world.state.lock();
        (state.shown.len(), state.forms.len())
    };
    world.revoke();
    hello(&client).await;
    hello(&client).await;
    {
        let state = world.state.lock();
        let theirs = format!("Bearer {}", tokens.access.expose());
        // The last of before, that of the record, and what it was refreshed to.
        assert_eq!((state.shown[shown + 1].as_ref(), state.shown.len() - shown), (Some(&theirs), 4));
        assert_eq!(state.shown[shown + 2], state.shown[shown + 3]);
        assert_eq!(state.forms.len() - forms, 1);
        assert_eq!(state.forms[forms]["refresh_token"], tokens.refresh.as_ref().expect("one").expose());
    }
    world.revoke();
    hello(&client).await;
    let version = directory.store().load(&server).await.expect("a store").expect("a record").version;
    assert_eq!((version, world.logged("invalid_grant")), (3, 0));
    assert_eq!(world.state.lock().pages.len(), 2, "one each");
}

#[tokio::test]
async fn a_program_and_a_user_have_their_own_tokens() {
    let (world, directory) = (World::new().await, Directory::new("program"));
    let user = || world.auth().store(directory.store());
    let program =
        || Auth::client_credentials("svc", "s3cret").trust_first_issuer(true).store(directory.store());
    world.connect(user()).await.expect("connected").close().await;
    let before = world.state.lock().shown.clone();
    world.connect(program()).await.expect("connected").close().await;
    {
        let state = world.state.lock();
        let own: Vec<_> = state.shown[before.len()..].iter().flatten().collect();
        assert!(!own.is_empty() && own.iter().all(|shown| !before.contains(&Some((*shown).clone()))));
        assert_eq!(state.forms.last().expect("a form")["grant_type"], "client_credentials");
    }
    world.connect(user()).await.expect("connected").close().await;
    assert_eq!(world.state.lock().pages.len(), 1, "the user is still signed in");
}

#[tokio::test]
async fn configured_secrets_are_not_kept() {
    let (world, directory) = (World::new().await, Directory::new("secret"));
    let auth = |secret| {
        let auth = world.auth().client_id("by-hand").client_secret(secret).trust_first_issuer(true);
        auth.store(directory.store())
    };
    world.connect(auth("f1rst-s3cret")).await.expect("connected").close().await;
    let text = std::fs::read_to_string(directory.file()).expect("a record");
    assert!(text.contains("r3fresh") && !text.contains("f1rst-s3cret"), "{text}");
    // It was changed at the authorization server, and in the configuration.
    world.revoke();
    world.connect(auth("s3cond-s3cret")).await.expect("connected").close().await;
    let state = world.state.lock();
    let form = state.forms.last().expect("a form");
    assert_eq!((&form["grant_type"][..], &form["basic"][..]), ("refresh_token", "by-hand:s3cond-s3cret"));
    assert_eq!(state.pages.len(), 1);
}

#[tokio::test]
async fn a_client_registers_again_for_another_redirect_uri() {
    let (world, directory) = (World::new().await, Directory::new("redirect"));
    world.connect(world.auth().store(directory.store())).await.expect("connected").close().await;
    let moved = || Auth::authorization_code("http://localhost:3001/callback", agree).store(directory.store());
    world.revoke();
    world.connect(moved()).await.expect("connected").close().await;
    assert_eq!(world.logged("register"), 1, "refreshing needs no redirect URI");
    world.state.lock().forget();
    // The authorization server refuses what a client is not registered with.
    world.connect(moved()).await.expect("connected").close().await;
    assert_eq!((world.logged("register"), world.state.lock().pages.len()), (2, 2));
    world.state.lock().forget();
    world.connect(moved()).await.expect("connected").close().await;
    assert_eq!((world.logged("register"), world.state.lock().pages.len()), (2, 3));
}
