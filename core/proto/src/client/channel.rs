//! HTTP+SSE, the transport of 2024-11-05 with two endpoints: the server sends on one event stream, whose
//! first event names the URL for messages to the server (2024-11-05, "HTTP with SSE"; 2025-11-25, Streamable
//! HTTP, "Backwards Compatibility").

use super::answers::newest_mutual;
use super::conn::ClientConn;
use super::connecting::State;
use super::error::{ClientError, kind};
use super::{EraPolicy, HttpTransport, Output, PostHead, TransportFailure};
use crate::error::RpcError;
use crate::revision::{Era, Revision};

/// The one stream on which the server speaks.
#[derive(Debug)]
pub(super) struct Channel {
    get: u64,
    /// The reason for trying this transport; reported if the server does not speak it either.
    because: Option<ClientError>,
}

impl ClientConn {
    /// Messages go to the endpoint that the stream has named, as [`Output::Open`] asked.
    pub fn endpoint_found(&mut self, get: u64) {
        if self.state == State::Opening && self.is_channel(get) {
            let prior = self.config.prior.filter(|prior| prior.era() == Era::Legacy);
            self.on_prior = prior.is_some();
            self.initialize(prior.unwrap_or(Revision::LATEST_LEGACY), false);
        }
    }

    /// Returns true if a server that refuses the handshake in this way may speak the older transport.
    pub(super) fn may_be_older(&self, status: u16, said: Option<&RpcError>) -> bool {
        matches!(status, 400 | 404 | 405)
            && self.is_http()
            && self.config.http == HttpTransport::Auto
            && self.streams.channel.is_none()
            && !self.streams.renewing()
            && said.is_none_or(|error| {
                !error.kind().proves_modern() && newest_mutual(error, Era::Legacy).is_none()
            })
    }

    pub(super) fn open_channel(&mut self, because: Option<ClientError>) {
        if self.config.era == EraPolicy::Only(Era::Modern) {
            let message = "the modern era has no HTTP+SSE transport";
            return self.shut(ClientError::local(kind::USAGE, message));
        }
        let get = self.fresh_id();
        self.state = State::Opening;
        self.streams.channel = Some(Channel { get, because });
        let head = Box::new(PostHead { post: get, request: true, listens: true, headers: Vec::new() });
        self.output(Output::Open { head, endpoint: true });
    }

    pub(super) fn has_channel(&self) -> bool {
        self.streams.channel.is_some()
    }

    pub(super) fn is_channel(&self, get: u64) -> bool {
        self.streams.channel.as_ref().is_some_and(|channel| channel.get == get)
    }

    /// Handles the end of an exchange of a connection with a channel. Returns true if nothing else has to
    /// handle it.
    pub(super) fn on_channel_end(&mut self, post: u64, failure: Option<&TransportFailure>) -> bool {
        if !self.is_channel(post) {
            // That a message was taken is no answer to it; the handshake's notification waits for just that.
            return failure.is_none() && !matches!(self.state, State::Confirming { .. });
        }
        let ended = || ClientError::local(kind::TRANSPORT, "the server closed the event stream");
        let error = failure.map_or_else(ended, TransportFailure::error);
        // A server without this transport is told of as it refused the other one.
        let absent =
            matches!(failure, None | Some(TransportFailure::Status { .. } | TransportFailure::NoStream))
                && self.state == State::Opening;
        let because = self.streams.channel.as_mut().and_then(|channel| channel.because.take());
        self.shut(because.filter(|_| absent).unwrap_or(error));
        true
    }
}
