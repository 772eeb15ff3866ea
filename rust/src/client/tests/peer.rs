//! A legacy HTTP server that a test runs manually, request by request.

use super::*;

/// A server that passes its requests to the test.
pub(super) struct Peer {
    pub(super) url: String,
    requests: mpsc::UnboundedReceiver<Exchange>,
}

/// A request and its connection. Dropping it leaves the response unfinished and waits for the next request.
pub(super) struct Exchange {
    pub(super) head: String,
    pub(super) body: Value,
    reply: mpsc::UnboundedSender<Option<String>>,
    gone: Option<oneshot::Receiver<()>>,
}

impl Peer {
    pub(super) async fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let (told, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, told.clone()));
            }
        });
        Peer { url, requests }
    }

    pub(super) async fn next(&mut self) -> Exchange {
        self.requests.recv().await.expect("a request")
    }

    /// Returns the next request, which must have this method.
    pub(super) async fn expect(&mut self, method: &str) -> Exchange {
        let exchange = self.next().await;
        assert_eq!(exchange.body["method"], method, "{}", exchange.head);
        exchange
    }

    /// Returns the next request, which must be a GET for an event stream.
    pub(super) async fn expect_get(&mut self) -> Exchange {
        let exchange = self.next().await;
        assert!(exchange.head.starts_with("get /mcp "), "{} {}", exchange.head, exchange.body);
        assert_eq!(exchange.header("accept"), Some("text/event-stream"));
        assert_eq!(exchange.header("content-type"), None);
        exchange
    }

    /// Performs the handshake with the client up to the GET of its session, and returns that.
    pub(super) async fn begin(&mut self, session: &str) -> Exchange {
        self.expect("initialize").await.initialize(session);
        let confirmation = self.expect("notifications/initialized").await;
        assert_eq!(confirmation.header("mcp-session-id"), Some(session));
        confirmation.say(&response(202, "", ""));
        drop(confirmation);
        let get = self.expect_get().await;
        assert_eq!(get.header("mcp-session-id"), Some(session));
        get
    }
}

impl Exchange {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn say(&self, text: &str) {
        self.reply.send(Some(text.to_owned())).expect("the connection is there");
    }

    /// Closes the connection.
    pub(super) fn close(self) {
        let _ = self.reply.send(None);
    }

    /// Waits until the client has closed the connection.
    pub(super) async fn closed(mut self) {
        let gone = self.gone.take().expect("waited for once");
        drop(self);
        // The other end sends no value; it is dropped.
        let _ = gone.await;
    }

    pub(super) fn initialize(&self, session: &str) {
        assert_eq!(self.header("mcp-session-id"), None);
        let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
        let body = json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result}).to_string();
        let headers = format!("content-type: application/json\r\nmcp-session-id: {session}\r\n");
        self.say(&response(200, &headers, &body));
    }

    pub(super) fn stream(&self) {
        self.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    }

    pub(super) fn event(&self, id: &str, data: &Value) {
        self.say(&format!("id: {id}\ndata: {data}\n\n"));
    }

    pub(super) fn answer(&self, text: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": self.body["id"], "result": text_result(text)})
    }

    pub(super) fn respond(&self, text: &str) {
        self.say(&ok(&self.body["id"], text_result(text)));
    }
}

async fn connection(mut stream: TcpStream, told: mpsc::UnboundedSender<Exchange>) {
    let mut buffer = Vec::new();
    let mut ends = Vec::new();
    while let Some(Raw { head, body }) = read_request(&mut stream, &mut buffer).await {
        let (reply, mut replies) = mpsc::unbounded_channel();
        let (end, gone) = oneshot::channel();
        ends.push(end);
        if told.send(Exchange { head, body, reply, gone: Some(gone) }).is_err() {
            return;
        }
        while let Some(text) = replies.recv().await {
            let Some(text) = text else { return };
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
