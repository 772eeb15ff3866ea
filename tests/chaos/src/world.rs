//! The servers, their store and the proxy before them: real programs, on loopback, in a folder of their own.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Longest time until a program listens, or ends.
const START: Duration = Duration::from_secs(30);

/// The store of the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Backend {
    Sqlite,
    Postgres,
    Redis,
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 3] = [Backend::Sqlite, Backend::Postgres, Backend::Redis];

    /// By its name.
    pub fn parse(name: &str) -> Option<Backend> {
        Backend::ALL.into_iter().find(|backend| backend.to_string() == name)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
            Backend::Redis => "redis",
        })
    }
}

/// A store of its own, and its server if it has one. Both are removed when this is dropped.
pub struct Kept {
    /// As [`trunnion::store::open`] takes it.
    pub url: String,
    _server: Option<Store>,
    _folder: Folder,
}

impl Kept {
    /// An empty one. Fails when its server is not installed, or does not start.
    pub fn start(backend: Backend) -> Result<Kept, String> {
        let folder = Folder::new()?;
        let server = Store::start(backend, &folder)?;
        let url = url(&server, &folder);
        Ok(Kept { url, _server: server, _folder: folder })
    }
}

/// Everything that runs. It ends with this.
pub struct World {
    replicas: Vec<Replica>,
    store: Option<Store>,
    store_url: String,
    proxy: Option<(Program, u16)>,
    folder: Folder,
}

impl World {
    /// One server over SQLite, three of them behind a proxy over the others.
    pub fn start(backend: Backend) -> Result<World, String> {
        let folder = Folder::new()?;
        let store = Store::start(backend, &folder)?;
        let store_url = url(&store, &folder);
        let mut world = World { replicas: Vec::new(), store, store_url, proxy: None, folder };
        for _ in 0..if backend == Backend::Sqlite { 1 } else { 3 } {
            let port = free_port()?;
            let program = world.serve(port)?;
            world.replicas.push(Replica { port, program });
        }
        if world.replicas.len() > 1 {
            world.proxy = Some(proxy(&world.folder, &world.replicas)?);
        }
        Ok(world)
    }

    /// URLs for the clients.
    pub fn urls(&self) -> Vec<String> {
        let port = self.proxy.as_ref().map_or(self.replicas[0].port, |(_, port)| *port);
        vec![format!("http://127.0.0.1:{port}/mcp")]
    }

    /// `kill -9` one server, and start it again.
    pub fn kill_and_restart(&mut self, turn: usize) -> Result<(), String> {
        let at = turn % self.replicas.len();
        self.replicas[at].program.end(Signal::KILL);
        let port = self.replicas[at].port;
        self.replicas[at].program = self.serve(port)?;
        Ok(())
    }

    /// Restarts the store's server in the way that its package does. False: there is none.
    pub fn restart_store(&mut self) -> Result<bool, String> {
        let Some(store) = &mut self.store else { return Ok(false) };
        store.program.end(store.stop);
        store.program = (store.start)(&self.folder, store.port)?;
        Ok(true)
    }

    /// Records of the handlers.
    pub fn ledger(&self) -> Result<String, String> {
        fs::read_to_string(self.folder.file("ledger")).map_err(|error| format!("the ledger: {error}"))
    }

    fn serve(&self, port: u16) -> Result<Program, String> {
        let server = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("chaos_server");
        let mut command = Command::new(server);
        command.arg(port.to_string()).arg(&self.store_url).arg(self.folder.file("ledger"));
        let program = Program::start(command, &self.folder.file(&format!("server-{port}.log")))?;
        program.wait_for(port)?;
        Ok(program)
    }
}

struct Replica {
    port: u16,
    program: Program,
}

/// A store's server.
struct Store {
    url: String,
    port: u16,
    stop: Signal,
    start: fn(&Folder, u16) -> Result<Program, String>,
    program: Program,
}

fn url(store: &Option<Store>, folder: &Folder) -> String {
    match store {
        None => folder.file("tasks.sqlite").display().to_string(),
        Some(store) => store.url.clone(),
    }
}

impl Store {
    fn start(backend: Backend, folder: &Folder) -> Result<Option<Store>, String> {
        Ok(match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Store::postgres(folder)?),
            Backend::Redis => Some(Store::redis(folder)?),
        })
    }

    fn redis(folder: &Folder) -> Result<Store, String> {
        fn start(folder: &Folder, port: u16) -> Result<Program, String> {
            let mut command = Command::new(find(&["redis-server", "valkey-server"], &[])?);
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
            command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(&folder.0);
            let program = Program::start(command, &folder.file("redis.log"))?;
            program.wait_until("Ready to accept connections")?;
            Ok(program)
        }
        let port = free_port()?;
        let program = start(folder, port)?;
        Ok(Store { url: format!("redis://127.0.0.1:{port}/"), port, stop: Signal::TERM, start, program })
    }

    fn postgres(folder: &Folder) -> Result<Store, String> {
        fn start(folder: &Folder, port: u16) -> Result<Program, String> {
            let mut command = as_postgres(&postgres_program("postgres")?);
            command.arg("-D").arg(folder.file("postgres")).args(["-p", &port.to_string()]);
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
            let program = Program::start(command, &folder.file("postgres.log"))?;
            // The port is open before the server accepts requests.
            program.wait_until("ready to accept connections")?;
            Ok(program)
        }
        let data = folder.file("postgres");
        fs::create_dir(&data).map_err(|e| e.to_string())?;
        if rustix::process::geteuid().is_root() {
            // PostgreSQL does not run as root.
            run(Command::new("chown").arg("postgres").arg(&data))?;
        }
        let mut initdb = as_postgres(&postgres_program("initdb")?);
        run(initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]))?;
        let port = free_port()?;
        let program = start(folder, port)?;
        // Its own word for ending at once and in order: it does not wait for its clients to go.
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Ok(Store { url, port, stop: Signal::INT, start, program })
    }
}

/// nginx, round robin: a client's request may reach any replica.
fn proxy(folder: &Folder, replicas: &[Replica]) -> Result<(Program, u16), String> {
    let port = free_port()?;
    let servers: String =
        replicas.iter().map(|replica| format!("server 127.0.0.1:{} max_fails=0;\n", replica.port)).collect();
    let at = folder.0.display();
    let config = format!(
        "daemon off; pid {at}/nginx.pid; error_log {at}/nginx.log;
        events {{ worker_connections 2048; }}
        http {{
            access_log off;
            client_body_temp_path {at}/nginx-body; proxy_temp_path {at}/nginx-proxy;
            fastcgi_temp_path {at}/nginx-f; uwsgi_temp_path {at}/nginx-u; scgi_temp_path {at}/nginx-s;
            upstream replicas {{ {servers} }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://replicas;
                    proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;
                    proxy_buffering off; proxy_read_timeout 300s;
                }}
            }}
        }}"
    );
    let file = folder.file("nginx.conf");
    fs::write(&file, config).map_err(|e| e.to_string())?;
    let mut command = Command::new(find(&["nginx"], &["/usr/sbin"])?);
    command.arg("-c").arg(&file).arg("-e").arg(folder.file("nginx.log"));
    let program = Program::start(command, &folder.file("nginx.out"))?;
    program.wait_for(port)?;
    Ok((program, port))
}

/// A program in a process group of its own, which ends with this.
struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(mut command: Command, log: &Path) -> Result<Program, String> {
        let _ = fs::remove_file(log);
        let output = || OpenOptions::new().create(true).append(true).open(log).map_err(|e| e.to_string());
        command.stdin(Stdio::null()).stdout(output()?).stderr(output()?).process_group(0);
        let child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        Ok(Program { child, log: log.to_owned() })
    }

    fn wait_for(&self, port: u16) -> Result<(), String> {
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        self.wait(listens, &format!("nothing listens on port {port}"))
    }

    /// Until its log has this.
    fn wait_until(&self, says: &str) -> Result<(), String> {
        let said = || self.said().contains(says);
        self.wait(said, &format!("it does not say {says:?}"))
    }

    fn wait(&self, ready: impl Fn() -> bool, else_: &str) -> Result<(), String> {
        let began = Instant::now();
        while !ready() {
            if began.elapsed() > START {
                return Err(format!("{else_}; its log ends with:\n{}", tail(&self.said())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits for that.
    fn end(&mut self, signal: Signal) {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        let began = Instant::now();
        let _ = kill_process_group(group, signal);
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > START {
                let _ = kill_process_group(group, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Processes that it started and left behind.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end(Signal::KILL);
    }
}

/// A folder that goes with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, String> {
        let folder =
            std::env::temp_dir().join(format!("trunnion-chaos-{}-{}", std::process::id(), free_port()?));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // PostgreSQL runs as another user.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&folder, open).map_err(|e| e.to_string())?;
        File::create(folder.join("ledger")).map_err(|e| e.to_string())?;
        Ok(Folder(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::env::var_os("CHAOS_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// A program of one of these names, on the path or in one of these folders.
fn find(names: &[&str], folders: &[&str]) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(folders.iter().map(PathBuf::from)).collect();
    let mut candidates = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    candidates.find(|file| file.is_file()).ok_or_else(|| format!("{} is not installed", names[0]))
}

/// Debian installs PostgreSQL's programs in folders by version.
fn postgres_program(name: &str) -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<String> =
        versions.map(|version| version.path().join("bin").display().to_string()).collect();
    folders.sort();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    find(&[name], &folders)
}

fn as_postgres(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr).trim()))
}
