//! The standard error of a child process.

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::sync::mpsc;
use trunnion_proto::json::{self, Json};

/// Maximum number of lines in the queue of a program that does not read them.
const MAX_WAITING: usize = 256;
/// Maximum number of bytes of a line; the rest of a longer one is dropped.
const MAX_LINE: usize = 8 << 10;

/// The lines, read by a separate task: a program that lags behind does not block a child that writes much.
pub(super) struct Lines(mpsc::Receiver<Json>);

impl Lines {
    pub(super) fn of(stderr: ChildStderr) -> Lines {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        tokio::spawn(read(stderr, sender));
        Lines(receiver)
    }

    /// Returns the next line, as `{line, lost?}`; `None` after the last. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Json> {
        self.0.recv().await
    }
}

async fn read(mut stderr: ChildStderr, sender: mpsc::Sender<Json>) {
    let (mut chunk, mut line, mut lost) = (vec![0; 16 << 10], Vec::new(), 0_u64);
    loop {
        let count = tokio::select! {
            read = stderr.read(&mut chunk) => read.unwrap_or(0),
            () = sender.closed() => return,
        };
        if count == 0 {
            break;
        }
        let mut pieces = chunk[..count].split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if pieces.peek().is_some() {
                tell(&sender, &line, &mut lost);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        tell(&sender, &line, &mut lost);
    }
}

fn tell(sender: &mpsc::Sender<Json>, line: &[u8], lost: &mut u64) {
    let line = json::string(&String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)));
    let before = if *lost == 0 { String::new() } else { format!(",\"lost\":{lost}") };
    match sender.try_send(Json::from(format!("{{\"line\":{line}{before}}}"))) {
        Ok(()) => *lost = 0,
        Err(_) => *lost += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nobody_takes_are_counted_and_do_not_hold_up_the_child() {
        let (sender, mut receiver) = mpsc::channel(MAX_WAITING);
        let mut lost = 0;
        for line in 0..MAX_WAITING + 10 {
            tell(&sender, line.to_string().as_bytes(), &mut lost);
        }
        assert_eq!(lost, 10);
        assert_eq!(receiver.try_recv().expect("a line").as_str(), r#"{"line":"0"}"#);
        tell(&sender, b"la\xfft\r", &mut lost);
        let mut last = None;
        while let Ok(line) = receiver.try_recv() {
            last = Some(line);
        }
        assert_eq!(last.expect("a line").as_str(), "{\"line\":\"la\u{fffd}t\",\"lost\":10}");
        assert_eq!(lost, 0);
    }
}
