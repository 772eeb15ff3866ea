//! The pages of a list. A page that is the same for everybody is written once.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::Request;
use super::{Catalog, Dispatch, Dress, Item, Shelf, State};
use crate::error::{ErrorKind, RpcError};
use crate::json::Json;
use crate::outcome::Outcome;

impl<H> Catalog<H> {
    pub(super) fn list(
        &self,
        state: &State<H>,
        item: Item,
        request: &Request,
    ) -> Result<Dispatch<H>, RpcError> {
        let era = request.revision.era();
        let dress = state.dress(request.revision);
        let prepared = |json: Json| Ok(Dispatch::Answer(Outcome::Prepared(json)));
        if request.cursor.is_none()
            && let Some(page) = state.pages.lock().unwrap_or_else(PoisonError::into_inner).get(&(item, dress))
        {
            return prepared(page.clone());
        }
        let none = Shelf::default();
        let shelf = state.entries.get(&item).unwrap_or(&none);
        if shelf.hidden > 0 {
            return self
                .list_visible(shelf, dress, request)
                .map(|text| Dispatch::Answer(Outcome::Prepared(text.into())));
        }
        let start = match &request.cursor {
            None => 0,
            Some(cursor) => after_cursor(shelf, cursor)
                .ok_or_else(|| RpcError::new(ErrorKind::InvalidParams, "params.cursor is not valid here"))?,
        };
        let end = shelf.order.len().min(start.saturating_add(self.offer.page_size));
        let definitions: Vec<&str> =
            shelf.order[start..end].iter().map(|key| shelf.by_key[key].definition(dress)).collect();
        let member = request.method.list.expect("list methods name their member");
        let mut members = format!("\"{member}\":[{}]", definitions.join(","));
        if end < shelf.order.len() {
            let cursor = URL_SAFE_NO_PAD.encode(&shelf.order[end - 1]);
            members.push_str(&format!(",\"nextCursor\":\"{cursor}\""));
        }
        let page = Json::from(self.offer.stamp.result(era, request.method.cacheable, &members));
        if request.cursor.is_none() {
            state.pages.lock().unwrap_or_else(PoisonError::into_inner).insert((item, dress), page.clone());
        }
        prepared(page)
    }

    /// A page of what the caller sees. It is written for each request, and for nobody else.
    fn list_visible(&self, shelf: &Shelf<H>, dress: Dress, request: &Request) -> Result<String, RpcError> {
        let era = request.revision.era();
        let broken = || RpcError::new(ErrorKind::InvalidParams, "params.cursor is not valid here");
        let sees = |key: &String| shelf.by_key[key].is_visible(&request.access);
        let start = match &request.cursor {
            None => 0,
            Some(cursor) => {
                let start = after_cursor(shelf, cursor).ok_or_else(broken)?;
                // A cursor must not tell whether there is something of that name.
                if !sees(&shelf.order[start - 1]) {
                    return Err(broken());
                }
                start
            }
        };
        let mut rest = shelf.order[start..].iter().filter(|key| sees(key));
        let page: Vec<&String> = rest.by_ref().take(self.offer.page_size).collect();
        let definitions: Vec<&str> = page.iter().map(|key| shelf.by_key[*key].definition(dress)).collect();
        let member = request.method.list.expect("list methods name their member");
        let mut members = format!("\"{member}\":[{}]", definitions.join(","));
        if let (Some(last), Some(_)) = (page.last(), rest.next()) {
            members.push_str(&format!(",\"nextCursor\":\"{}\"", URL_SAFE_NO_PAD.encode(last)));
        }
        Ok(self.offer.stamp.private_result(era, request.method.cacheable, &members))
    }
}

/// Where the page after a cursor begins. A cursor is the key of the last entry that was sent, so pages stay
/// right while entries are added.
fn after_cursor<H>(shelf: &Shelf<H>, cursor: &str) -> Option<usize> {
    let key = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    Some(shelf.order.iter().position(|known| *known == key)? + 1)
}
