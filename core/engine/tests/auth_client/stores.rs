//! What is kept, and who may change it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use trunnion::Client;
use trunnion::auth::{Auth, CredentialStore, Credentials, FileStore, MemoryCredentials};

use crate::world::{REDIRECT, World, agree};

/// A process and what it says.
type Program = (Child, Lines<BufReader<ChildStdout>>);

/// A directory that is gone at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("trunnion-auth-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Directory(path)
    }

    fn store(&self) -> FileStore {
        FileStore::new(self.0.join("credentials"))
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join("credentials")).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
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
    let json = files.iter().find(|file| file.extension().is_some_and(|end| end == "json")).expect("a record");
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
            .args(["--ignored", "--exact", "--nocapture", "stores::another_process"])
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
    // What the test harness says is passed by.
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
