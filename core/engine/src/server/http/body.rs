//! Reader of the body of a request, within limits of size and time.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use trunnion_proto::jsonrpc;

use super::answer::{ResponseBody, busy, plain, refusal};
use super::budget::Charge;
use super::pump::no_room;
use crate::driver::Driver;

/// Time limit for the body of a request, plus a second for each [`RATE`] bytes of it.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of a body in a second that count as sending it.
const RATE: u64 = 1024;

/// A response that ends a request before the protocol sees it.
pub(super) type Refusal = Box<Response<ResponseBody>>;

/// The whole body of a request, at most `limit` bytes. What has come is charged for.
pub(super) async fn read<B: Body<Data = Bytes>>(
    driver: &Driver,
    body: B,
    headers: &HeaderMap,
    limit: usize,
    charge: &mut Charge,
) -> Result<Bytes, Refusal> {
    let too_large = || Box::new(refusal(413, format!("message exceeds {limit} bytes (maxMessageBytes)")));
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut body = pin!(body);
    let began = Instant::now();
    // Most bodies come with their head and need none.
    let mut timer = None;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = std::future::poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => {
                let earned = Duration::from_secs(first.len().max(rest.len()) as u64 / RATE);
                let limit = || driver.sleep_until(began + LIMIT + earned);
                Pin::new(timer.get_or_insert_with(limit)).poll(cx).map(Err)
            }
        });
        let frame = frame.await;
        timer = None;
        match frame {
            Err(()) => {
                let message = "the body took too long".into();
                return Err(Box::new(plain(StatusCode::REQUEST_TIMEOUT, message)));
            }
            Ok(None) => return Ok(if rest.is_empty() { first } else { rest.freeze() }),
            Ok(Some(Err(_))) => {
                return Err(Box::new(plain(StatusCode::BAD_REQUEST, "the body broke off".into())));
            }
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if first.len().max(rest.len()) + data.len() > limit {
                    return Err(too_large());
                }
                if !charge.grow(data.len()) {
                    return Err(Box::new(busy(jsonrpc::error(None, &no_room()))));
                }
                // One frame is the common case, and needs no copy.
                if first.is_empty() && rest.is_empty() {
                    first = data;
                } else {
                    if rest.is_empty() {
                        // Not the declared length: memory is taken for what has come.
                        rest.extend_from_slice(&first);
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
    }
}
