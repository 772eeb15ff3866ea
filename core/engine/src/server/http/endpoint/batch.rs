//! Batches of 2025-03-26: several messages in one POST.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::jsonrpc;
use trunnion_proto::methods::Role;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::post::Admission;
use trunnion_proto::server::{Exchange, Request};

use super::super::answer::{self, ResponseBody, empty, json, plain};
use super::super::caller::Accepts;
use super::super::pump::OpenCalls;
use super::super::sessions::Session;
use super::{Endpoint, Place, TRANSPORT};
use crate::server::{Dispatch, forbidden};

impl Endpoint {
    /// Several messages of a 2025-03-26 session: their answers come on one stream, each when it is there.
    pub(super) async fn batch(&self, place: &Place<'_>, batch: Vec<Admission>) -> Response<ResponseBody> {
        let Some(session) = &place.session else { return self.batch_of_nobody(place, batch).await };
        if !place.accepts.events {
            return plain(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream".into());
        }
        let stream = session.new_stream();
        let all = OpenCalls::new(session, stream.clone(), &self.driver);
        let mut asks = false;
        for admission in batch {
            match admission {
                Admission::Notification(note) => drop(self.note(place, note)),
                Admission::Response(id, result) => session.answered(&id, result),
                Admission::Refused { body, .. } => {
                    asks = true;
                    stream.answer(&body);
                }
                Admission::Request(admitted) => {
                    asks = true;
                    let (exchange, request) = *admitted;
                    if let Some(answer) = self.batched(place, session, &all, exchange, request).await {
                        stream.answer(&answer);
                    }
                }
                Admission::Batch(_) => {}
            }
        }
        let reader = stream.read(0, false);
        drop(all);
        match reader.filter(|_| asks) {
            Some(reader) => answer::events(&self.driver, reader),
            None => empty(StatusCode::ACCEPTED),
        }
    }

    /// The same where there are no sessions: all answers together, once they are there.
    async fn batch_of_nobody(&self, place: &Place<'_>, batch: Vec<Admission>) -> Response<ResponseBody> {
        let accepts = Accepts { json: true, events: false };
        let (access, owner, charge) = (place.access.clone(), place.owner.clone(), place.charge.clone());
        let place = &Place { headers: place.headers, session: None, accepts, access, owner, charge };
        let answers = batch.into_iter().map(async |admission| match admission {
            Admission::Request(admitted) => {
                let (mut exchange, request) = *admitted;
                let answer = match request.method.role {
                    Role::Initialize => self.answer(&mut exchange, not_in_batch()),
                    _ => self.request(place, exchange, request).await,
                };
                answer.into_body().into_full()
            }
            Admission::Refused { body, .. } => Some(body.into()),
            Admission::Notification(_) | Admission::Response(..) | Admission::Batch(_) => None,
        });
        let answers: Vec<Bytes> = join_all(answers).await.into_iter().flatten().collect();
        if answers.is_empty() { empty(StatusCode::ACCEPTED) } else { json(200, jsonrpc::join(&answers)) }
    }

    /// One request of a batch: its answer, if that is there at once.
    async fn batched(
        &self,
        place: &Place<'_>,
        session: &Arc<Session>,
        all: &Arc<OpenCalls>,
        mut exchange: Exchange,
        mut request: Request,
    ) -> Option<Vec<u8>> {
        let stamp = self.server.catalog.stamp();
        let finish = |exchange: &mut Exchange, outcome| exchange.finish(outcome, stamp).map(|f| f.bytes);
        if request.method.role == Role::Initialize {
            return finish(&mut exchange, not_in_batch());
        }
        request.access = place.access.clone();
        if let Err(error) = self.sessions.adopt(session, &mut request, &mut exchange).await {
            return finish(&mut exchange, Outcome::Error(error));
        }
        let id = Some(session.id.as_str());
        let (dispatch, span) = self.server.dispatch(&mut request, None, TRANSPORT, id, id);
        match dispatch {
            Dispatch::Answer(outcome) => {
                self.sessions.answers(Some(session), &request, &outcome).await;
                finish(&mut exchange, outcome)
            }
            Dispatch::Listen(_) => None,
            Dispatch::Forbid(scopes) => {
                let outcome = forbidden(&scopes);
                self.sessions.answers(Some(session), &request, &outcome).await;
                finish(&mut exchange, outcome)
            }
            Dispatch::Run { entry, input } => {
                let work = match self.begin(&mut exchange, request, &entry, input, place, span) {
                    Ok(work) => work,
                    Err(outcome) => {
                        session.ends(&outcome);
                        return finish(&mut exchange, outcome);
                    }
                };
                match session.begin(exchange.id().clone(), &work.call) {
                    Ok(guard) => {
                        self.driver.spawn(self.pump(exchange, work, guard, all.clone()).run());
                        None
                    }
                    Err(error) => finish(&mut exchange, Outcome::Error(error)),
                }
            }
        }
    }
}

fn not_in_batch() -> Outcome {
    Outcome::Error(RpcError::new(ErrorKind::InvalidRequest, "initialize cannot be part of a batch"))
}
