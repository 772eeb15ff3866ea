//! One attempt to bring tokens, and those who wait for it.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::Failure;
use crate::lock;

type End = Result<(), Failure>;

/// Where the one flight is that is on, if one is.
#[derive(Default, Clone)]
pub(super) struct Slot(Arc<Mutex<Option<Arc<Flight>>>>);

struct Flight {
    /// It answers a challenge.
    challenged: bool,
    /// How many wait for it.
    waiting: watch::Sender<usize>,
    end: watch::Sender<Option<End>>,
}

/// The place of one who waits; dropped, of one who does not any more.
pub(super) struct Seat(Arc<Flight>);

/// The flight as its own task sees it. When that ends, in whatever way, the slot is free again.
pub(super) struct Pilot {
    slot: Slot,
    flight: Arc<Flight>,
}

impl Slot {
    /// A place in the flight that is on, or in a new one, which has a task of its own: what was sent cannot be called back,
    /// so it must not end with those who wait for it.
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

    /// When no flight is on.
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

    /// Does the flight answer a challenge?
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
    /// Do this as long as somebody waits for what comes of it.
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

    /// Something is about to begin that has to be brought to its end: does anybody want it?
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

    /// Free the slot if nobody waits: who comes later begins a flight of its own.
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

/// Of a panic in code of the program, or of a runtime that ends.
fn crashed() -> Failure {
    Failure::new("cancelled", "the attempt has broken off")
}
