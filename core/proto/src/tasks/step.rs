//! The transition function of a task record.

use serde_json::value::RawValue;

use super::record::{Answer, Asked, End, Record, Status};
use crate::error::{ErrorKind, RpcError};
use crate::json;
use crate::server::Question;
use crate::server::memory::MAX_KEPT;

/// Most questions that one task asks in its life.
pub const MAX_ASKED: usize = 1024;

/// An event in the life of a task. `run`: the run of the worker that reports it.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A worker takes the task: its lease has expired or was released.
    Claimed,
    /// Its worker is there still.
    Heartbeat {
        #[allow(missing_docs)]
        run: u64,
    },
    /// Progress.
    Progress {
        #[allow(missing_docs)]
        run: u64,
        /// One sentence.
        message: &'a str,
    },
    /// Its handler asks.
    Asks {
        #[allow(missing_docs)]
        run: u64,
        /// The questions. Questions that an earlier run asked and that were answered are not asked again.
        questions: &'a [Question],
    },
    /// Its client has answered: `(key on the wire, answer)`. Keys that are not open are ignored.
    Answered {
        /// The answers, which were checked.
        answers: Vec<(String, Answer)>,
    },
    /// Its handler has stored something.
    Stored {
        #[allow(missing_docs)]
        run: u64,
        /// Under which key.
        key: &'a str,
        /// JSON.
        value: &'a str,
    },
    /// The handler stored its checkpoint.
    Checkpoint {
        #[allow(missing_docs)]
        run: u64,
        /// JSON.
        value: &'a str,
    },
    /// Its handler has ended.
    Finished {
        #[allow(missing_docs)]
        run: u64,
        /// The end.
        end: End,
    },
    /// The client cancelled the task.
    Cancelled,
    /// The worker releases the task, for another one to take immediately.
    Released {
        #[allow(missing_docs)]
        run: u64,
    },
}

/// Why an event changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The task has ended.
    Over,
    /// It comes from an earlier run.
    Stale,
    /// The handler would store too much: this names it.
    TooMuch(&'static str),
    /// There is nothing to change.
    Nothing,
}

/// The party that takes care of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// No party: it has ended, or waits for its client.
    None,
    /// Somebody, when the lease of its worker has run out.
    Lease,
    /// Any worker, immediately.
    Now,
}

/// A task after an event.
#[derive(Debug)]
pub struct Next {
    /// The record to write.
    pub record: Record,
    /// True if the client can see a difference.
    pub visible: bool,
    /// The party that takes care of the task from now on.
    pub attention: Attention,
}

impl Record {
    /// Returns the record after an event at `now`, in milliseconds since 1970. A refused event leaves the
    /// record unchanged.
    pub fn after(&self, event: Event<'_>, now: u64) -> Result<Next, Refused> {
        if self.status.is_over() {
            return Err(Refused::Over);
        }
        match &event {
            Event::Heartbeat { run }
            | Event::Progress { run, .. }
            | Event::Asks { run, .. }
            | Event::Stored { run, .. }
            | Event::Checkpoint { run, .. }
            | Event::Finished { run, .. }
            | Event::Released { run }
                if *run != self.run || !self.leased =>
            {
                return Err(Refused::Stale);
            }
            _ => {}
        }
        let mut next = self.clone();
        let visible = next.apply(event)?;
        if visible {
            // A clock that was set back does not turn back what clients see.
            next.updated = now.max(self.updated);
        }
        let attention = match next.status {
            Status::Working if next.leased => Attention::Lease,
            Status::Working => Attention::Now,
            _ => Attention::None,
        };
        Ok(Next { record: next, visible, attention })
    }

    /// True: its client can see it.
    fn apply(&mut self, event: Event<'_>) -> Result<bool, Refused> {
        match event {
            Event::Claimed if self.status != Status::Working => Err(Refused::Nothing),
            Event::Claimed if !self.terms.resumable => {
                let message = "the process that worked on the task is gone, and its tool cannot be run again";
                self.end(End::from(RpcError::new(ErrorKind::InternalError, message)));
                Ok(true)
            }
            Event::Claimed => {
                self.run += 1;
                self.leased = true;
                Ok(false)
            }
            Event::Heartbeat { .. } => Ok(false),
            Event::Progress { message, .. } if self.message.as_deref() == Some(message) => Ok(false),
            Event::Progress { message, .. } => {
                self.message = Some(message.to_owned());
                Ok(true)
            }
            Event::Asks { questions, .. } => self.ask(questions),
            Event::Answered { answers } => self.answer(answers),
            Event::Stored { key, value, .. } => {
                self.kept.insert(key.to_owned(), raw(value)?);
                self.check_size().map(|()| false)
            }
            Event::Checkpoint { value, .. } => {
                self.checkpoint = Some(raw(value)?);
                self.check_size().map(|()| false)
            }
            Event::Finished { end, .. } => {
                self.end(end);
                Ok(true)
            }
            Event::Cancelled => {
                self.status = Status::Cancelled;
                self.message = Some("cancelled by the client".into());
                self.forget();
                Ok(true)
            }
            Event::Released { .. } => {
                self.leased = false;
                Ok(false)
            }
        }
    }

    fn end(&mut self, end: End) {
        (self.status, self.message) = match &end {
            End::Result(_) => (Status::Completed, None),
            End::Error { message, .. } => (Status::Failed, Some(message.clone())),
        };
        self.end = Some(end);
        self.forget();
    }

    /// Drops the values that only runs of the handler need.
    fn forget(&mut self) {
        self.leased = false;
        self.kept.clear();
        self.asked.clear();
        self.checkpoint = None;
    }

    fn ask(&mut self, questions: &[Question]) -> Result<bool, Refused> {
        let mut visible = false;
        for question in questions {
            if self.asked.iter().any(|asked| asked.is(question)) {
                continue;
            }
            if self.asked.len() >= MAX_ASKED {
                return Err(Refused::TooMuch("1024 questions"));
            }
            self.asked.push(Asked {
                key: question.key.clone(),
                wire: self.fresh_key(&question.key),
                digest: question.digest(),
                op: question.method.op.to_owned(),
                params: raw(question.raw_params())?,
                answer: None,
            });
            visible = true;
        }
        if self.asked.iter().any(|asked| asked.answer.is_none()) && self.status != Status::InputRequired {
            self.status = Status::InputRequired;
            visible = true;
        }
        Ok(visible)
    }

    /// The handler's own key, if no other question had it: a later run may ask in another way.
    fn fresh_key(&self, key: &str) -> String {
        let taken = |wire: &str| self.asked.iter().any(|asked| asked.wire == wire);
        let mut wire = key.to_owned();
        let mut number = 2;
        while taken(&wire) {
            wire = format!("{key}-{number}");
            number += 1;
        }
        wire
    }

    fn answer(&mut self, answers: Vec<(String, Answer)>) -> Result<bool, Refused> {
        let mut visible = false;
        for (wire, answer) in answers {
            let open = self.asked.iter_mut().find(|asked| asked.wire == wire && asked.answer.is_none());
            if let Some(asked) = open {
                asked.answer = Some(answer);
                visible = true;
            }
        }
        if !visible {
            return Err(Refused::Nothing);
        }
        if self.asked.iter().all(|asked| asked.answer.is_some()) {
            self.status = Status::Working;
        }
        Ok(true)
    }

    fn check_size(&self) -> Result<(), Refused> {
        let kept: usize = self.kept.iter().map(|(key, value)| key.len() + value.get().len()).sum();
        let checkpoint = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.get().len());
        if kept + checkpoint > MAX_KEPT { Err(Refused::TooMuch("262144 bytes")) } else { Ok(()) }
    }
}

fn raw(text: &str) -> Result<Box<RawValue>, Refused> {
    // Every caller has JSON; what is none is not stored.
    serde_json::from_str::<&RawValue>(text).map(ToOwned::to_owned).map_err(|error| {
        debug_assert!(false, "{}", json::complaint(&error));
        Refused::Nothing
    })
}
