//! Lists, one page at a time or complete.
//!
//! A complete list has at most 1000 pages and 16 times the bytes of a message. Each page has the time limit
//! of a request, and all of them together have the total one. A list that does not end fails with kind
//! `limit`, `timeout`, or `protocol` if a cursor repeats; the error's data contains the entries until then,
//! as a result.

use serde::de::DeserializeOwned;
use trunnion_engine::error::Error;
use trunnion_proto::json::{self, Json};
use trunnion_proto::methods::Method;
use trunnion_proto::model::{Prompt, Resource, ResourceTemplate, Tool};

use super::{Client, FromResult, Request, read};

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The cursor for [`Request::cursor`]; `None` on the last page.
    pub next_cursor: Option<String>,
}

impl Client {
    /// Lists one page of the tools.
    pub fn list_tools(&self) -> Request<Page<Tool>> {
        self.request("list_tools")
    }

    /// Lists all tools, page after page.
    pub async fn list_all_tools(&self) -> Result<Vec<Tool>, Error> {
        all(self.list_tools()).await
    }

    /// Lists one page of the resources.
    pub fn list_resources(&self) -> Request<Page<Resource>> {
        self.request("list_resources")
    }

    /// Lists all resources, page after page.
    pub async fn list_all_resources(&self) -> Result<Vec<Resource>, Error> {
        all(self.list_resources()).await
    }

    /// Lists one page of the resource templates.
    pub fn list_resource_templates(&self) -> Request<Page<ResourceTemplate>> {
        self.request("list_resource_templates")
    }

    /// Lists all resource templates, page after page.
    pub async fn list_all_resource_templates(&self) -> Result<Vec<ResourceTemplate>, Error> {
        all(self.list_resource_templates()).await
    }

    /// Lists one page of the prompts.
    pub fn list_prompts(&self) -> Request<Page<Prompt>> {
        self.request("list_prompts")
    }

    /// Lists all prompts, page after page.
    pub async fn list_all_prompts(&self) -> Result<Vec<Prompt>, Error> {
        all(self.list_prompts()).await
    }
}

/// Requests a complete list. The engine joins the pages and limits them.
async fn all<T>(mut first: Request<Page<T>>) -> Result<Vec<T>, Error>
where
    T: DeserializeOwned + Send + 'static,
{
    first.options.all = true;
    Ok(first.await?.items)
}

impl<T> Request<Page<T>> {
    /// Sets the cursor to start at: [`Page::next_cursor`] of the previous page.
    pub fn cursor(self, cursor: &str) -> Self {
        self.set("cursor", &cursor)
    }
}

impl<T: DeserializeOwned> FromResult for Page<T> {
    fn from_result(method: &'static Method, result: Json) -> Result<Self, Error> {
        let mut page = Page { items: Vec::new(), next_cursor: None };
        for (key, value) in json::members(result.as_str()).unwrap_or_default() {
            if Some(key.as_str()) == method.list {
                page.items = read(value.get())?;
            } else if key == "nextCursor" {
                page.next_cursor = read(value.get())?;
            }
        }
        Ok(page)
    }
}
