// A runner of the golden transcripts of this folder against a server in a process of its own. Included by the
// tests of the crates that have such a server.

#[path = "pattern.rs"]
mod pattern;
#[path = "schema.rs"]
mod schema;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Long enough for the slowest machine; passing tests never wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every transcript, one at a time.
pub fn run_all(mut server: impl FnMut(&Value) -> Command) {
    let mut cases = 0;
    for (file, case) in pattern::cases() {
        let default = json!({"name": "vectors", "version": "1.0.0"});
        let mut peer = Peer::start(&mut server(case.get("server").unwrap_or(&default)));
        run(&mut peer, &case).unwrap_or_else(|why| panic!("{file}: {}: {why}", case["name"]));
        cases += 1;
    }
    assert!(cases > 30, "only {cases} cases");
}

/// An example program of the package that is tested. A plain `cargo test` builds it; `--all-targets` builds something
/// else in its place.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "{} is missing: cargo build --workspace --examples", program.display());
    program
}

struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<String>,
    said: Receiver<String>,
    conversation: schema::Conversation,
}

impl Peer {
    fn start(command: &mut Command) -> Peer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let messages = lines(child.stdout.take().expect("piped"));
        let said = lines(child.stderr.take().expect("piped"));
        let conversation = schema::Conversation::new(schema::End::Server);
        Peer { input: child.stdin.take(), child, messages, said, conversation }
    }

    fn send(&mut self, frame: &str) -> Result<(), String> {
        self.conversation.heard(frame.as_bytes());
        let input = self.input.as_mut().expect("open");
        input
            .write_all(frame.as_bytes())
            .and_then(|()| input.write_all(b"\n"))
            .map_err(|error| error.to_string())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    lines
}

fn run(peer: &mut Peer, case: &Value) -> Result<(), String> {
    for (index, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
        let at = format!("step {index}");
        if let Some(message) = step.get("send") {
            peer.send(&message.as_str().map_or_else(|| message.to_string(), str::to_owned))?;
        } else if let Some(frame) = pattern::repeated(step) {
            peer.send(&frame)?;
        } else if let Some(pattern) = step.get("expect") {
            let line = peer.messages.recv_timeout(PATIENCE).map_err(|_| format!("{at}: nothing came"))?;
            let message = serde_json::from_str(&line).map_err(|error| format!("{at}: {line}: {error}"))?;
            peer.conversation.sent(&message).map_err(|why| format!("{at}: {why}"))?;
            pattern::fits(pattern, &message, &at)?;
        } else if let Some(handler) = step.get("handler") {
            let line = peer.said.recv_timeout(PATIENCE).map_err(|_| format!("{at}: nothing was said"))?;
            let expected =
                format!("{} {}", handler.as_str().unwrap_or(""), step["is"].as_str().unwrap_or(""));
            if line != expected {
                return Err(format!("{at}: {line:?}, not {expected:?}"));
            }
        } else {
            return Err(format!("{at}: unknown step {step}"));
        }
    }
    // With its input closed the server ends by itself, without further output.
    drop(peer.input.take());
    let rest: Vec<String> = peer.messages.iter().collect();
    if !rest.is_empty() {
        return Err(format!("unexpected: {rest:?}"));
    }
    let status = peer.child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}
