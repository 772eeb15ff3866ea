//! Adapters from functions to handlers.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use futures_util::future::BoxFuture;
use schemars::Schema;
use trunnion_engine::server::call::{Call, Handler, Input, Start};
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::outcome::Outcome;

use super::States;
use super::extract::{FromCall, Parts};
use super::respond::IntoResult;

/// A function of up to eight parameters, whatever they are.
///
/// Required beside [`HandlerFn`] and before it, so that the compiler knows the parameters by then, and names
/// the one that does not implement [`FromCall`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler here",
    note = "a handler is a function of up to eight parameters that implement `FromCall`"
)]
pub trait ParametersFn<M> {}

/// An async function of up to eight parameters ([`FromCall`]) whose result fits what it is for
/// ([`IntoResult`]).
///
/// `K` is what it is for, such as [`ForTool`](super::ForTool); `M` only tells functions of different
/// parameters apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler here",
    note = "a handler is an async function of up to eight parameters that implement `FromCall`, and its result \
            implements `IntoResult`"
)]
pub trait HandlerFn<K, M>: Send + Sync + 'static {
    /// Begins a call.
    fn call(&self, parts: &Parts<'_>) -> Result<BoxFuture<'static, Outcome>, Outcome>;

    /// The JSON Schema of its arguments, if it has any.
    fn arguments() -> Option<Schema>;

    /// The JSON Schema of its structured result, if it has any.
    fn result() -> Option<Schema>;

    /// Checks that every parameter can be provided.
    fn check(parts: &Parts<'_>) -> Result<(), String>;
}

/// A function that may block, with the same parameters and results as a [`HandlerFn`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a blocking handler here",
    note = "a blocking handler is a function, not async, of up to eight parameters that implement `FromCall`, and its \
            result implements `IntoResult`"
)]
pub trait BlockingFn<K, M>: Send + Sync + 'static {
    /// Takes what the function needs; the rest is done on a thread that may block.
    fn prepare(self: Arc<Self>, parts: &Parts<'_>) -> Result<Box<dyn FnOnce() -> Outcome + Send>, Outcome>;

    /// The JSON Schema of its arguments, if it has any.
    fn arguments() -> Option<Schema>;

    /// The JSON Schema of its structured result, if it has any.
    fn result() -> Option<Schema>;

    /// Checks that every parameter can be provided.
    fn check(parts: &Parts<'_>) -> Result<(), String>;
}

macro_rules! functions {
    ($(($($parameter:ident),*)),* $(,)?) => {$(
        impl<F, R, $($parameter),*> ParametersFn<fn($($parameter),*)> for F
        where
            F: Fn($($parameter),*) -> R,
        {
        }

        #[allow(non_snake_case, unused_variables, reason = "type parameters name the values too")]
        impl<K, F, Work, R, $($parameter),*> HandlerFn<K, fn($($parameter),*)> for F
        where
            F: Fn($($parameter),*) -> Work + Send + Sync + 'static,
            Work: Future<Output = R> + Send + 'static,
            R: IntoResult<K>,
            $($parameter: FromCall,)*
        {
            fn call(&self, parts: &Parts<'_>) -> Result<BoxFuture<'static, Outcome>, Outcome> {
                $(let $parameter = $parameter::from_call(parts)?;)*
                let work = self($($parameter),*);
                Ok(Box::pin(async move { work.await.into_result() }))
            }

            fn arguments() -> Option<Schema> {
                None$(.or_else($parameter::arguments))*
            }

            fn result() -> Option<Schema> {
                R::schema()
            }

            fn check(parts: &Parts<'_>) -> Result<(), String> {
                $($parameter::check(parts)?;)*
                Ok(())
            }
        }

        #[allow(non_snake_case, unused_variables, reason = "type parameters name the values too")]
        impl<K, F, R, $($parameter),*> BlockingFn<K, fn($($parameter),*)> for F
        where
            F: Fn($($parameter),*) -> R + Send + Sync + 'static,
            R: IntoResult<K>,
            $($parameter: FromCall + Send + 'static,)*
        {
            fn prepare(
                self: Arc<Self>,
                parts: &Parts<'_>,
            ) -> Result<Box<dyn FnOnce() -> Outcome + Send>, Outcome> {
                $(let $parameter = $parameter::from_call(parts)?;)*
                Ok(Box::new(move || self($($parameter),*).into_result()))
            }

            fn arguments() -> Option<Schema> {
                None$(.or_else($parameter::arguments))*
            }

            fn result() -> Option<Schema> {
                R::schema()
            }

            fn check(parts: &Parts<'_>) -> Result<(), String> {
                $($parameter::check(parts)?;)*
                Ok(())
            }
        }
    )*};
}

functions!(
    (),
    (A),
    (A, B),
    (A, B, C),
    (A, B, C, D),
    (A, B, C, D, E),
    (A, B, C, D, E, G),
    (A, B, C, D, E, G, H),
    (A, B, C, D, E, G, H, I),
);

/// A [`BlockingFn`] as a [`HandlerFn`].
pub(super) struct Blocking<F>(Arc<F>);

impl<F> Blocking<F> {
    pub(super) fn new(function: F) -> Blocking<F> {
        Blocking(Arc::new(function))
    }
}

/// Marker that distinguishes blocking functions from async ones.
pub struct OnThread<M>(PhantomData<M>);

impl<K, M, F: BlockingFn<K, M>> HandlerFn<K, OnThread<M>> for Blocking<F> {
    fn call(&self, parts: &Parts<'_>) -> Result<BoxFuture<'static, Outcome>, Outcome> {
        let work = self.0.clone().prepare(parts)?;
        // A thread cannot be stopped: what its task takes up is taken until it ends.
        let hold = parts.call.and_then(Call::task).and_then(|task| task.hold.upgrade());
        let work = move || {
            let _hold = hold;
            work()
        };
        Ok(Box::pin(async move { tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| panicked()) }))
    }

    fn arguments() -> Option<Schema> {
        F::arguments()
    }

    fn result() -> Option<Schema> {
        F::result()
    }

    fn check(parts: &Parts<'_>) -> Result<(), String> {
        F::check(parts)
    }
}

/// A function and what it takes its parameters from.
pub(super) struct Recipe<F, K, M> {
    function: F,
    states: Arc<States>,
    kind: PhantomData<fn() -> (K, M)>,
}

impl<F: HandlerFn<K, M>, K: 'static, M: 'static> Recipe<F, K, M> {
    /// The function as a handler. Fails with what is missing.
    pub(super) fn bind(function: F, states: Arc<States>) -> Result<Arc<dyn Handler>, String> {
        F::check(&Parts { call: None, input: None, states: &states })?;
        Ok(Arc::new(Recipe { function, states, kind: PhantomData }))
    }
}

impl<F: HandlerFn<K, M>, K: 'static, M: 'static> Handler for Recipe<F, K, M> {
    fn start(&self, call: Call, input: Input) -> Start {
        let parts = Parts { call: Some(&call), input: Some(&input), states: &self.states };
        // Many handlers never wait: their first poll is their last, and costs neither a task nor a wake-up.
        let first = catch_unwind(AssertUnwindSafe(|| {
            let mut work = self.function.call(&parts)?;
            Ok(match work.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => Start::Done(outcome),
                Poll::Pending => Start::Future(work),
            })
        }));
        match first {
            Ok(Ok(start)) => start,
            Ok(Err(outcome)) => Start::Done(outcome),
            Err(_) => Start::Done(panicked()),
        }
    }
}

fn panicked() -> Outcome {
    Outcome::Error(RpcError::new(ErrorKind::InternalError, "the handler failed"))
}
