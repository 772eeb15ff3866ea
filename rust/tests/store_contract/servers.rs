//! Real servers, private to this test program: in a folder of their own, on a free port of loopback, stopped
//! with the program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A password with characters that a URL must escape.
const PASSWORD: &str = "s3cr3t:/@?#%&";
const ESCAPED: &str = "s3cr3t%3A%2F%40%3F%23%25%26";

/// Starts a program and ends it when our end of its standard input is closed, however that comes about.
const WATCH: &str = r#"folder=$1; signal=$2; shift 2
"$@" >"$folder/log" 2>&1 </dev/null & pid=$!
echo $pid
cat >/dev/null
kill -CONT $pid; kill -$signal $pid; wait $pid
cd /; [ -e "$folder/keep" ] || rm -rf "$folder""#;

/// A server that runs.
pub struct Server {
    kind: Kind,
    folder: PathBuf,
    port: u16,
    secure_port: u16,
    running: Option<Running>,
}

struct Running {
    watch: Child,
    pid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Redis,
}

impl Kind {
    /// The server of this program, if there is one on this machine. With `CI=true` there has to be.
    pub fn shared(self) -> Option<&'static Server> {
        static SERVERS: [OnceLock<Option<Server>>; 2] = [const { OnceLock::new() }; 2];
        SERVERS[self as usize].get_or_init(|| self.start()).as_ref()
    }

    /// A server for one test, which may stop it.
    pub fn start(self) -> Option<Server> {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        let missing = match self {
            Kind::Postgres => postgres("initdb").is_none().then_some("postgresql"),
            Kind::Redis => find("redis-server").is_none().then_some("redis-server"),
        };
        if let Some(package) = missing {
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "{package} is not installed");
            eprintln!("SKIPPED: {package} is not installed");
            return None;
        }
        let name =
            format!("trunnion-{self:?}-{}-{}", std::process::id(), SERVERS.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a folder");
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [port, secure_port] = ports.map(|port| port.local_addr().expect("an address").port());
        let mut server = Server { kind: self, folder, port, secure_port, running: None };
        server.prepare();
        server.start();
        Some(server)
    }
}

impl Server {
    fn prepare(&self) {
        let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store_contract/tls");
        for file in ["ca.pem", "server.pem", "server.key"] {
            fs::copy(certificates.join(file), self.folder.join(file)).expect("copied");
        }
        let modes = Command::new("chmod").args(["600", "server.key"]).current_dir(&self.folder).status();
        assert!(modes.expect("chmod").success());
        if self.kind == Kind::Redis {
            return;
        }
        fs::write(self.folder.join("password"), PASSWORD).expect("written");
        if rustix::process::geteuid().is_root() {
            let owned = Command::new("chown").arg("-R").arg("postgres:").arg(&self.folder).status();
            assert!(owned.expect("chown").success());
        }
        let program = self.command(postgres("initdb").expect("it is there"));
        let made = Command::new(&program[0])
            .args(&program[1..])
            .current_dir(&self.folder)
            .args(["-U", "trunnion", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--pwfile={}", self.folder.join("password").display()))
            .arg("-D")
            .arg(self.folder.join("data"))
            .output()
            .expect("started");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// PostgreSQL refuses to be root's.
    fn command(&self, program: PathBuf) -> Vec<String> {
        let program = program.to_string_lossy().into_owned();
        if self.kind == Kind::Postgres && rustix::process::geteuid().is_root() {
            let user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"];
            return user.map(str::to_owned).into_iter().chain([program]).collect();
        }
        vec![program]
    }

    fn arguments(&self) -> (Vec<String>, &'static str) {
        let folder = self.folder.display();
        let port = self.port;
        let (program, arguments, signal) = match self.kind {
            Kind::Postgres => (
                postgres("postgres").expect("it is there"),
                format!(
                    "-D {folder}/data -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
                    -c max_connections=400 -c fsync=off -c ssl=on -c ssl_cert_file={folder}/server.pem \
                    -c ssl_key_file={folder}/server.key"
                ),
                "QUIT",
            ),
            Kind::Redis => (
                find("redis-server").expect("it is there"),
                format!(
                    "--dir {folder} --port {port} --bind 127.0.0.1 --requirepass {PASSWORD} --appendonly yes \
                    --appendfsync always --maxmemory-policy noeviction --tls-port {secure} \
                    --tls-cert-file server.pem --tls-key-file server.key --tls-ca-cert-file ca.pem --tls-auth-clients no",
                    secure = self.secure_port
                ),
                "KILL",
            ),
        };
        let mut command = self.command(program);
        command.extend(arguments.split_whitespace().map(str::to_owned));
        (command, signal)
    }

    /// Starts it again, at the same address.
    pub fn start(&mut self) {
        let _ = fs::remove_file(self.folder.join("keep"));
        let (command, signal) = self.arguments();
        let mut watch = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(&self.folder)
            .arg(signal)
            .args(command)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let output = watch.stdout.as_mut().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        self.running = Some(Running { watch, pid: line.trim().parse().expect("a process") });
        while !self.answers() {
            let running = self.running.as_mut().expect("it has been started");
            let ended = running.watch.try_wait().expect("a child").is_some();
            let alive = Path::new(&format!("/proc/{}", running.pid)).exists() || !cfg!(target_os = "linux");
            assert!(!ended && alive, "{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
    }

    fn answers(&self) -> bool {
        match self.kind {
            Kind::Postgres => {
                let port = self.port.to_string();
                let asked = Command::new(postgres("pg_isready").expect("it is there"))
                    .args(["-q", "-h", "127.0.0.1", "-p", &port])
                    .status();
                asked.expect("started").success()
            }
            Kind::Redis => {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
                let mut answer = [0; 64];
                let asked = stream.write_all(format!("AUTH {PASSWORD}\r\nPING\r\n").as_bytes());
                // It reports this while it loads.
                asked.is_ok()
                    && stream.read(&mut answer).is_ok_and(|read| !answer[..read].starts_with(b"-LOADING"))
            }
        }
    }

    /// Crashes it: data that it has not written to disk is lost.
    pub fn stop(&mut self) {
        fs::write(self.folder.join("keep"), "").expect("written");
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.watch.stdin.take());
            running.watch.wait().expect("it has ended");
        }
    }

    /// Stops it: it holds its connections and sends nothing until it is continued.
    pub fn pause(&self, paused: bool) {
        let pid = self.running.as_ref().expect("it runs").pid;
        let signal = if paused { "-STOP" } else { "-CONT" };
        let mut pids = vec![pid.to_string()];
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &pids[0]]).output().expect("ps");
        let children = String::from_utf8(children.stdout).expect("numbers");
        pids.extend(children.split_whitespace().map(str::to_owned));
        let told = Command::new("kill").arg(signal).args(&pids).output();
        drop(told.expect("kill"));
    }

    /// Returns the URL of a part of it that no other test uses.
    pub fn url(&self) -> String {
        static PARTS: AtomicU32 = AtomicU32::new(0);
        let part = PARTS.fetch_add(1, Ordering::Relaxed);
        match self.kind {
            Kind::Postgres => {
                let port = self.port;
                format!("postgres://trunnion:{ESCAPED}@127.0.0.1:{port}/postgres?pool=6&schema=part_{part}")
            }
            Kind::Redis => format!("redis://:{ESCAPED}@127.0.0.1:{}/0?prefix=part_{part}", self.port),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the port of Redis for TLS; PostgreSQL uses its one port.
    pub fn secure_port(&self) -> u16 {
        self.secure_port
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns true if the text, which a user may see, does not contain the password.
pub fn is_discreet(text: &str) -> bool {
    !text.contains("s3cr3t")
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Returns a program of PostgreSQL; Debian installs them outside the path, by version.
fn postgres(program: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin").join(program)).collect();
    versions.retain(|path| path.is_file());
    versions.sort();
    find(program).or_else(|| versions.pop())
}
