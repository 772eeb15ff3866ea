//! Pages of lists. A page that is the same for every caller is encoded once.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::Request;
use super::{Catalog, Dispatch, Dress, Entry, Item, Shelf, State};
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
        let members = self.page(shelf, dress, request, |_| true)?;
        let page = Json::from(self.offer.stamp.result(era, request.method.cacheable, &members));
        if request.cursor.is_none() {
            state.pages.lock().unwrap_or_else(PoisonError::into_inner).insert((item, dress), page.clone());
        }
        prepared(page)
    }

    /// A page of the items that the caller sees, encoded for this request only.
    fn list_visible(&self, shelf: &Shelf<H>, dress: Dress, request: &Request) -> Result<String, RpcError> {
        let members = self.page(shelf, dress, request, |entry| entry.is_visible(&request.access))?;
        let era = request.revision.era();
        Ok(self.offer.stamp.private_result(era, request.method.cacheable, &members))
    }

    /// The members of a page. A cursor is the key of the last entry that was sent, so pages stay right while entries are added.
    fn page(
        &self,
        shelf: &Shelf<H>,
        dress: Dress,
        request: &Request,
        sees: impl Fn(&Entry<H>) -> bool,
    ) -> Result<String, RpcError> {
        let broken = || RpcError::new(ErrorKind::InvalidParams, "params.cursor is not valid here");
        let key = match &request.cursor {
            None => None,
            Some(cursor) => {
                let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|key| String::from_utf8(key).ok());
                // A cursor must not tell whether there is something of that name.
                let key = key.filter(|key| shelf.get(key).is_some_and(|entry| sees(entry)));
                Some(key.ok_or_else(broken)?)
            }
        };
        let mut rest = shelf.after(key.as_deref()).ok_or_else(broken)?.filter(|(_, entry)| sees(entry));
        let page: Vec<_> = rest.by_ref().take(self.offer.page_size).collect();
        let definitions: Vec<&str> = page.iter().map(|(_, entry)| entry.definition(dress)).collect();
        let member = request.method.list.expect("list methods name their member");
        let mut members = format!("\"{member}\":[{}]", definitions.join(","));
        if let (Some((last, _)), Some(_)) = (page.last(), rest.next()) {
            members.push_str(&format!(",\"nextCursor\":\"{}\"", URL_SAFE_NO_PAD.encode(last)));
        }
        Ok(members)
    }
}
