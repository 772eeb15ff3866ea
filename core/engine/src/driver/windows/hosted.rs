//! A placeholder for the hosted driver: Windows has no descriptor for a set of sockets that a host's event
//! loop could watch.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::driver::Driver;

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A type without values.
pub struct Reactor(Infallible);

/// A type without values.
#[derive(Clone)]
pub struct Handle(Infallible);

/// A type without values.
#[derive(Clone, Copy)]
pub(in crate::driver) struct TimerKey(Infallible);

impl Reactor {
    /// Fails with `Unsupported`.
    pub(crate) fn new() -> io::Result<Self> {
        let message = "Windows has no hosted driver, which needs a descriptor to watch; leave the option driver out, or set it to \
                       \"threaded\"";
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    pub(crate) fn driver(&self) -> Driver {
        match self.0 {}
    }

    pub(crate) fn fd(&self) -> i32 {
        match self.0 {}
    }

    pub(crate) fn notify(&self) {
        match self.0 {}
    }

    pub(crate) fn turn_with<R>(&self, _: impl FnOnce() -> R) -> R {
        match self.0 {}
    }

    pub(crate) fn wait(&self, _: Option<Duration>) -> bool {
        match self.0 {}
    }

    pub(crate) fn close(&self) {
        match self.0 {}
    }
}

impl Handle {
    pub(in crate::driver) fn spawn(&self, _: BoxFuture) {
        match self.0 {}
    }

    pub(in crate::driver) fn timer_add(&self, _: Instant, _: Waker) -> TimerKey {
        match self.0 {}
    }

    pub(in crate::driver) fn timer_renew(&self, key: TimerKey, _: &Waker) -> bool {
        match key.0 {}
    }

    pub(in crate::driver) fn timer_remove(&self, key: TimerKey) {
        match key.0 {}
    }
}
