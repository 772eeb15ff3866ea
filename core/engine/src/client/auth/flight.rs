//! One sign-in attempt, shared by the requests that wait for it.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::outbound::Failure;
use crate::sync::lock;

type End = Result<(), Failure>;

/// The slot of the running attempt, if there is one.
#[derive(Default, Clone)]
pub(super) struct Slot(Arc<Mutex<Option<Arc<Flight>>>>);

struct Flight {
    /// True if it answers a challenge.
    challenged: bool,
    /// The number of requests that wait for it.
    waiting: watch::Sender<usize>,
    end: watch::Sender<Option<End>>,
}

/// The registration of one waiting request; dropping it ends the wait.
pub(super) struct Seat(Arc<Flight>);

/// The attempt as its own task sees it. When the task ends in any way, the slot becomes free.
pub(super) struct Pilot {
    slot: Slot,
    flight: Arc<Flight>,
}

impl Slot {
    /// Joins the running attempt, or starts a new one in a task of its own: a request that was sent cannot be
    /// revoked, so the attempt must not end when the waiting requests do.
    pub(super) fn join<F>(&self, challenged: bool, fly: impl FnOnce(Arc<Pilot>) -> F) -> Seat
    where
        F: Future<Output = End> + Send + 'static,
    {
        let mut slot = lock(&self.0);
        if let Some(flight) = &*slot {
            return Seat::of(flight);
        }
        let flight =
            Arc::new(Flight { challenged, waiting: watch::Sender::new(0), end: watch::Sender::new(None) });
        let seat = Seat::of(&flight);
        *slot = Some(Arc::clone(&flight));
        let pilot = Arc::new(Pilot { slot: self.clone(), flight });
        let flying = fly(Arc::clone(&pilot));
        tokio::spawn(async move {
            let end = flying.await;
            pilot.land(end);
        });
        seat
    }

    /// Waits until no attempt is running.
    pub(super) async fn settled(&self) {
        loop {
            let flight = lock(&self.0).clone();
            let Some(flight) = flight else { return };
            drop(flight.end.subscribe().wait_for(Option::is_some).await);
        }
    }
}

impl Seat {
    fn of(flight: &Arc<Flight>) -> Seat {
        flight.waiting.send_modify(|waiting| *waiting += 1);
        Seat(Arc::clone(flight))
    }

    /// Returns true if the attempt answers a challenge.
    pub(super) fn is_challenged(&self) -> bool {
        self.0.challenged
    }

    pub(super) async fn end(&self) -> End {
        let mut end = self.0.end.subscribe();
        let end = end.wait_for(Option::is_some).await.map(|end| (*end).clone());
        end.ok().flatten().unwrap_or_else(|| Err(crashed()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl Pilot {
    /// Runs the future as long as a request waits for its result.
    pub(super) async fn unless_given_up<T, E: Into<Failure>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.given_up() => Err(forsaken()),
            done = work => done.map_err(Into::into),
        }
    }

    /// Checks that a request still waits, before a step begins that must be completed.
    pub(super) fn commit(&self) -> Result<(), Failure> {
        if self.retire() { Err(forsaken()) } else { Ok(()) }
    }

    async fn given_up(&self) {
        let mut waiting = self.flight.waiting.subscribe();
        loop {
            drop(waiting.wait_for(|waiting| *waiting == 0).await);
            if self.retire() {
                return;
            }
        }
    }

    /// Frees the slot if no request waits: a later request starts a new attempt.
    fn retire(&self) -> bool {
        let mut slot = lock(&self.slot.0);
        let forsaken = *self.flight.waiting.borrow() == 0;
        if forsaken {
            self.leave(&mut slot);
        }
        forsaken
    }

    fn leave(&self, slot: &mut Option<Arc<Flight>>) {
        slot.take_if(|flight| Arc::ptr_eq(flight, &self.flight));
    }

    fn land(&self, end: End) {
        self.leave(&mut lock(&self.slot.0));
        self.flight.end.send_if_modified(|slot| {
            let first = slot.is_none();
            slot.get_or_insert(end);
            first
        });
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.land(Err(crashed()));
    }
}

fn forsaken() -> Failure {
    Failure::new("cancelled", "nobody waits for it any more")
}

/// Returns the failure for a panic in the program's code, or for a runtime that ends.
fn crashed() -> Failure {
    Failure::new("cancelled", "the attempt has broken off")
}
