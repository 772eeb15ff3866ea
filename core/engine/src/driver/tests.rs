use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};

use super::*;

/// Runs `scenario` on both drivers until it has sent its result.
pub(crate) fn on_both<R: Send + 'static>(scenario: impl Fn(Driver, mpsc::Sender<R>)) -> [R; 2] {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, results) = mpsc::channel();
    scenario(Driver::Tokio(runtime.handle().clone()), sender);
    let threaded = results.recv_timeout(Duration::from_secs(30)).unwrap();
    let reactor = Reactor::new().unwrap();
    let (sender, results) = mpsc::channel();
    scenario(reactor.driver(), sender);
    [threaded, turn_until(&reactor, &results)]
}

fn turn_until<R>(reactor: &Reactor, results: &mpsc::Receiver<R>) -> R {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        reactor.turn();
        match results.try_recv() {
            Ok(result) => return result,
            Err(mpsc::TryRecvError::Disconnected) => panic!("the scenario was dropped"),
            Err(mpsc::TryRecvError::Empty) => {
                // Woken by the client's bytes; the result of a client thread is noticed after this limit at
                // the latest.
                reactor.wait(Some(Duration::from_millis(20)));
                assert!(Instant::now() < limit, "nothing came");
            }
        }
    }
}

fn quiet(reactor: &Reactor) -> bool {
    !reactor.wait(Some(Duration::ZERO))
}

async fn echo(request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    Ok(hyper::Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
}

async fn serve(driver: Driver, address: mpsc::Sender<SocketAddr>) {
    let listener = driver.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let Place::Tcp(bound) = listener.place() else { panic!("not TCP") };
    address.send(bound).unwrap();
    loop {
        let (conn, _) = listener.accept().await.unwrap();
        let timer = driver.clone();
        driver.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(timer)
                .serve_connection(conn, hyper::service::service_fn(echo))
                .await;
        });
    }
}

fn post(stream: &mut TcpStream, body: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let request =
        [format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body]
            .concat();
    // Both directions at once: a large echo must not depend on the client's buffers.
    let writing = std::thread::spawn(move || writer.write_all(&request).unwrap());
    let mut got = Vec::new();
    let mut chunk = vec![0; 65536];
    loop {
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "closed early");
        got.extend_from_slice(&chunk[..n]);
        if let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n")
            && got.len() - at - 4 == body.len()
        {
            writing.join().unwrap();
            return got.split_off(at + 4);
        }
    }
}

#[test]
fn http_keep_alive_and_large_bodies() {
    let results = on_both(|driver, sender| {
        let (address, addresses) = mpsc::channel();
        driver.spawn(serve(driver.clone(), address));
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(addresses.recv().unwrap()).unwrap();
            let large: Vec<u8> = (0..8_000_000u32).map(|i| i as u8).collect();
            let same = post(&mut stream, b"one") == b"one" && post(&mut stream, &large) == large;
            sender.send(same && post(&mut stream, b"three") == b"three").unwrap();
        });
    });
    assert_eq!(results, [true, true]);
}

#[test]
fn accepted_connections_find_out_that_their_peers_have_vanished() {
    use rustix::net::sockopt;
    let results = on_both(|driver, sender| {
        let own = driver.clone();
        driver.spawn(async move {
            let listener = own.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            let Place::Tcp(address) = listener.place() else { panic!("not TCP") };
            let client = TcpStream::connect(address).unwrap();
            let (conn, _) = listener.accept().await.unwrap();
            let alive = sockopt::socket_keepalive(conn.socket()).unwrap();
            let idle = sockopt::tcp_keepidle(conn.socket()).unwrap();
            sender.send((alive, idle.as_secs())).unwrap();
            drop(client);
        });
    });
    assert_eq!(results, [(true, 60); 2]);
}

#[test]
fn timers() {
    let results = on_both(|driver, sender| {
        let own = driver.clone();
        driver.spawn(async move {
            let start = Instant::now();
            drop(own.sleep(Duration::from_secs(3600)));
            own.sleep(Duration::from_millis(5)).await;
            own.sleep(Duration::from_millis(5)).await;
            sender.send(start.elapsed() >= Duration::from_millis(10)).unwrap();
        });
    });
    assert_eq!(results, [true, true]);
}

#[test]
fn a_panic_ends_only_its_task() {
    let results = on_both(|driver, sender| {
        driver.spawn(async { panic!("expected in this test") });
        driver.spawn(async move { sender.send(7).unwrap() });
    });
    assert_eq!(results, [7, 7]);
}

#[test]
fn byte_streams_over_every_kind_of_descriptor() {
    let results = on_both(|driver, sender| {
        let own = driver.clone();
        driver.spawn(async move {
            let big = vec![b'x'; 1_000_000];
            let mut lengths = Vec::new();
            let pipe = rustix::pipe::pipe().unwrap();
            let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
            for (from, to) in [(pipe.0, pipe.1), (OwnedFd::from(a), OwnedFd::from(b))] {
                let shared = to.try_clone().unwrap();
                let (mut reader, mut writer) = (own.reader(from).unwrap(), own.writer(to).unwrap());
                let bytes = big.clone();
                own.spawn(async move { writer.write_all(&bytes).await.unwrap() });
                let flags = rustix::fs::fcntl_getfl(&shared).unwrap();
                assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
                drop(shared);
                let mut buf = Vec::new();
                while reader.read(&mut buf).await.unwrap() > 0 {}
                lengths.push(buf.len());
            }
            let file = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
            let mut reader = own.reader(file.into()).unwrap();
            let mut buf = Vec::new();
            while reader.read(&mut buf).await.unwrap() > 0 {}
            lengths.push(usize::from(buf.starts_with(b"[package]")));
            sender.send(lengths).unwrap();
        });
    });
    assert_eq!(results, [vec![1_000_000, 1_000_000, 1], vec![1_000_000, 1_000_000, 1]]);
}

#[test]
fn a_full_pipe_does_not_block_the_turn() {
    let reactor = Reactor::new().unwrap();
    let (from, to) = rustix::pipe::pipe().unwrap();
    let mut writer = reactor.driver().writer(to).unwrap();
    let (sender, results) = mpsc::channel();
    reactor.driver().spawn(async move {
        writer.write_all(&[1; 500_000]).await.unwrap();
        sender.send(()).unwrap();
    });
    reactor.turn();
    reactor.turn();
    assert!(results.try_recv().is_err() && quiet(&reactor));
    let reading = std::thread::spawn(move || {
        std::io::copy(&mut std::fs::File::from(from), &mut std::io::sink()).unwrap()
    });
    turn_until(&reactor, &results);
    drop(reactor);
    assert_eq!(reading.join().unwrap(), 500_000);
}

#[test]
fn the_descriptor_tells_of_wake_ups_and_is_quiet_otherwise() {
    let reactor = Reactor::new().unwrap();
    reactor.turn();
    assert!(quiet(&reactor));
    let (wake, woken) = tokio::sync::oneshot::channel::<()>();
    let (sender, results) = mpsc::channel();
    reactor.driver().spawn(async move {
        woken.await.unwrap();
        sender.send(()).unwrap();
    });
    reactor.turn();
    assert!(quiet(&reactor));
    std::thread::spawn(move || wake.send(()).unwrap());
    assert!(reactor.wait(Some(Duration::from_secs(30))));
    reactor.turn();
    results.try_recv().unwrap();
    assert!(quiet(&reactor));
    // Work that never ends leaves the descriptor readable and still returns the thread.
    reactor.driver().spawn(async {
        loop {
            let mut yielded = false;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        }
    });
    reactor.turn();
    assert!(!quiet(&reactor));
}

#[test]
fn dropping_the_reactor_drops_tasks_and_sockets() {
    let reactor = Reactor::new().unwrap();
    let (address, addresses) = mpsc::channel();
    let driver = reactor.driver();
    driver.spawn(serve(driver.clone(), address));
    let address = turn_until(&reactor, &addresses);
    let mut client = TcpStream::connect(address).unwrap();
    reactor.turn();
    drop(reactor);
    let mut buf = Vec::new();
    assert!(matches!(client.read_to_end(&mut buf), Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).is_err());
    let (sender, results) = mpsc::channel::<()>();
    driver.spawn(async move { sender.send(()).unwrap() });
    assert!(results.recv().is_err());
}

#[test]
fn signals_coalesce_and_clear() {
    let signal = Signal::new().unwrap();
    assert!(!signal.wait(Some(Duration::ZERO)));
    signal.set();
    signal.set();
    assert!(signal.wait(None));
    signal.clear();
    assert!(!signal.wait(Some(Duration::ZERO)));
}

/// Requests per CPU second of the serving thread, 64 keep-alive connections.
/// `cargo test -p trunnion --release --lib driver_cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn driver_cost() {
    const CONNECTIONS: usize = 64;
    const REQUESTS: usize = 1000;
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let load = |address: SocketAddr, done: mpsc::Sender<()>| {
        for _ in 0..CONNECTIONS {
            let done = done.clone();
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut answer = [0; 1024];
                for _ in 0..REQUESTS {
                    stream
                        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello")
                        .unwrap();
                    let mut got = 0;
                    while !answer[..got].ends_with(b"hello") {
                        got += stream.read(&mut answer[got..]).unwrap();
                    }
                }
                drop(done);
            });
        }
    };
    let rate = |seconds: f64| (CONNECTIONS * REQUESTS) as f64 / seconds;
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let driver = Driver::Tokio(runtime.handle().clone());
        let (address, addresses) = mpsc::channel();
        driver.spawn(serve(driver.clone(), address));
        let (done, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let (all, over) = mpsc::channel();
        let start = cpu();
        runtime.block_on(async {
            tokio::task::yield_now().await;
            load(addresses.recv().unwrap(), all);
            std::thread::spawn(move || done.send(over.recv().is_err()));
            ended.recv().await
        });
        let tokio_rate = rate(cpu() - start);

        let reactor = Reactor::new().unwrap();
        let (address, addresses) = mpsc::channel();
        reactor.driver().spawn(serve(reactor.driver(), address));
        let address = turn_until(&reactor, &addresses);
        let (all, over) = mpsc::channel();
        let start = cpu();
        load(address, all);
        while over.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            reactor.wait(Some(Duration::from_millis(20)));
            reactor.turn();
        }
        let hosted_rate = rate(cpu() - start);
        println!("tokio {tokio_rate:.0}/s, hosted {hosted_rate:.0}/s, ratio {:.2}", hosted_rate / tokio_rate);
    }
}
