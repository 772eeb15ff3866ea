//! Timers under both drivers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Driver;
use super::platform::hosted::{Handle, TimerKey};

/// A timer from [`Driver::sleep_until`]. Dropping it cancels it.
pub struct Sleep(Kind);

enum Kind {
    Tokio(Pin<Box<tokio::time::Sleep>>),
    Hosted { handle: Handle, deadline: Instant, key: Option<TimerKey> },
}

impl Sleep {
    pub(super) fn new(driver: &Driver, deadline: Instant) -> Self {
        Self(match driver {
            Driver::Tokio(handle) => {
                let _context = handle.enter();
                Kind::Tokio(Box::pin(tokio::time::sleep_until(deadline.into())))
            }
            Driver::Hosted(handle) => Kind::Hosted { handle: handle.clone(), deadline, key: None },
        })
    }

    /// Sets a new deadline; also restarts a timer that has completed.
    pub(crate) fn reset(&mut self, new: Instant) {
        match &mut self.0 {
            Kind::Tokio(sleep) => sleep.as_mut().reset(new.into()),
            Kind::Hosted { handle, deadline, key } => {
                if let Some(key) = key.take() {
                    handle.timer_remove(key);
                }
                *deadline = new;
            }
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Kind::Tokio(sleep) => sleep.as_mut().poll(cx),
            Kind::Hosted { handle, deadline, key } => {
                if Instant::now() >= *deadline {
                    if let Some(key) = key.take() {
                        handle.timer_remove(key);
                    }
                    return Poll::Ready(());
                }
                if !key.is_some_and(|key| handle.timer_renew(key, cx.waker())) {
                    *key = Some(handle.timer_add(*deadline, cx.waker().clone()));
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Kind::Hosted { handle, key: Some(key), .. } = &self.0 {
            handle.timer_remove(*key);
        }
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for Driver {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Driver::sleep(self, duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Driver::sleep_until(self, deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(own) => own.get_mut().reset(new_deadline),
            None => *sleep = hyper::rt::Timer::sleep_until(self, new_deadline),
        }
    }
}
