//! Questions of handlers to the client, and the values that handlers store between their runs.

use std::future::Future;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::call::Stored;
use trunnion_proto::model::{ElicitAction, ElicitAnswer, Form, Root, SampleAnswer, SampleRequest};
use trunnion_proto::server::{Question, questions};

use super::extract::Context;

/// One question to the client: to its user, to its model, or for its roots.
///
/// Every revision has its own way to ask; which, is the engine's business. One thing shows: a client of the
/// modern era gets the question as the result of its request and sends the request again with the answer. So
/// **the handler runs again from its start** with every round, and gets the answers that are there at once.
/// What it must not do twice goes into [`Context::once`].
#[derive(Debug, Clone)]
pub struct Ask {
    op: &'static str,
    params: Value,
}

impl Ask {
    /// Asks the user to fill in the fields of `T`: a struct of strings, numbers, booleans and choices.
    pub fn form<T: JsonSchema>(message: impl Into<String>) -> Ask {
        Ask::elicit(json!({"mode": "form", "message": message.into(), "requestedSchema": form_of::<T>()}))
    }

    /// Asks the user to fill in a form that is made at run time.
    pub fn custom_form(message: impl Into<String>, form: &Form) -> Ask {
        Ask::elicit(json!({"mode": "form", "message": message.into(), "requestedSchema": form}))
    }

    /// Asks the user to visit a page. What happens there does not go through the client.
    pub fn url(message: impl Into<String>, url: impl Into<String>) -> Ask {
        Ask::elicit(json!({"mode": "url", "message": message.into(), "url": url.into()}))
    }

    /// Sets the id of a page to visit, by which the client is told that it is done there
    /// ([`Server::elicitation_complete`](super::Server::elicitation_complete)): unique in the server, and the
    /// same in every run of the handler. Without one the engine makes one up where the revision wants it. Of
    /// other questions it is not looked at.
    pub fn elicitation_id(mut self, id: impl Into<String>) -> Ask {
        if self.op == "elicit" && self.params["mode"] == "url" {
            self.params["elicitationId"] = id.into().into();
        }
        self
    }

    /// Asks the client's model.
    pub fn sample(request: SampleRequest) -> Ask {
        Ask { op: "sample", params: json!(request) }
    }

    /// Asks for the places that the server may work in.
    pub fn roots() -> Ask {
        Ask { op: "list_roots", params: json!({}) }
    }

    fn elicit(params: Value) -> Ask {
        Ask { op: "elicit", params }
    }
}

/// Questions as the machines take them. Fails with kind `usage` for one that no client could be asked.
pub(super) fn asked<'a>(asks: impl IntoIterator<Item = (&'a str, &'a Ask)>) -> Result<Vec<Question>, Error> {
    let mut text = String::from("{");
    for (key, ask) in asks {
        if text.len() > 1 {
            text.push(',');
        }
        let question = json!({"op": ask.op, "params": ask.params});
        text.push_str(&format!("{}:{question}", trunnion_proto::json::string(key)));
    }
    text.push('}');
    questions(&text).map_err(|error| Error::usage(error.message))
}

/// The user's answer to a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elicited<T> {
    /// Filled it in.
    Accepted(T),
    /// Said no.
    Declined,
    /// Left without an answer.
    Cancelled,
}

impl<T> Elicited<T> {
    /// Returns the content of an accepted form; `None` otherwise.
    pub fn accepted(self) -> Option<T> {
        match self {
            Elicited::Accepted(content) => Some(content),
            Elicited::Declined | Elicited::Cancelled => None,
        }
    }
}

/// Answers by the keys of their questions.
#[derive(Debug, Clone, Default)]
pub struct Answers(Map<String, Value>);

impl Answers {
    /// An answer as the protocol has it: [`ElicitAnswer`], [`SampleAnswer`]. Fails with kind `protocol` if it
    /// is none, with `usage` if nothing was asked under that key.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T, Error> {
        let answer =
            self.0.get(key).ok_or_else(|| Error::usage(format!("nothing was asked under {key:?}")))?;
        read(answer)
    }

    /// The answer to a form.
    pub fn form<T: DeserializeOwned>(&self, key: &str) -> Result<Elicited<T>, Error> {
        let answer: ElicitAnswer = self.get(key)?;
        Ok(match answer.action {
            ElicitAction::Accept => Elicited::Accepted(read(&json!(answer.content.unwrap_or_default()))?),
            ElicitAction::Decline => Elicited::Declined,
            ElicitAction::Cancel => Elicited::Cancelled,
        })
    }

    /// The answer to [`Ask::roots`].
    pub fn roots(&self, key: &str) -> Result<Vec<Root>, Error> {
        #[derive(serde::Deserialize)]
        struct Listed {
            roots: Vec<Root>,
        }
        self.get::<Listed>(key).map(|listed| listed.roots)
    }
}

impl Context {
    /// Asks the user to fill in the fields of `T`. See [`Ask`] for how a handler that asks is run. Fails with
    /// kind `missing_capability` when the client cannot ask its user; a handler that returns that error says
    /// so to the caller.
    pub async fn elicit<T: JsonSchema + DeserializeOwned>(
        &self,
        message: impl Into<String>,
    ) -> Result<Elicited<T>, Error> {
        let (key, answers) = self.ask_one(Ask::form::<T>(message)).await?;
        answers.form(&key)
    }

    /// Asks the user to visit a page.
    pub async fn elicit_url(
        &self,
        message: impl Into<String>,
        url: impl Into<String>,
    ) -> Result<ElicitAction, Error> {
        let (key, answers) = self.ask_one(Ask::url(message, url)).await?;
        answers.get::<ElicitAnswer>(&key).map(|answer| answer.action)
    }

    /// Asks the user to visit a page, under an id by which the client is told that it is done there: see
    /// [`Ask::elicitation_id`].
    pub async fn elicit_url_as(
        &self,
        elicitation_id: impl Into<String>,
        message: impl Into<String>,
        url: impl Into<String>,
    ) -> Result<ElicitAction, Error> {
        let (key, answers) = self.ask_one(Ask::url(message, url).elicitation_id(elicitation_id)).await?;
        answers.get::<ElicitAnswer>(&key).map(|answer| answer.action)
    }

    /// Asks the client's model.
    pub async fn sample(&self, request: SampleRequest) -> Result<SampleAnswer, Error> {
        let (key, answers) = self.ask_one(Ask::sample(request)).await?;
        answers.get(&key)
    }

    /// Asks for the places that the server may work in.
    pub async fn list_roots(&self) -> Result<Vec<Root>, Error> {
        let (key, answers) = self.ask_one(Ask::roots()).await?;
        answers.roots(&key)
    }

    /// Asks several things at once, each under a key of its own.
    pub async fn ask<K: AsRef<str>>(
        &self,
        asks: impl IntoIterator<Item = (K, Ask)>,
    ) -> Result<Answers, Error> {
        let asks: Vec<(K, Ask)> = asks.into_iter().collect();
        let asked = asked(asks.iter().map(|(key, ask)| (key.as_ref(), ask)))?;
        let answers = self.call().ask(asked).await?;
        Ok(Answers(read(&serde_json::from_str(&answers).unwrap_or_default())?))
    }

    /// The answers to what the item asks before its handler runs ([`Tool::asks`](super::Tool::asks)).
    pub fn answers(&self) -> Answers {
        let answers = self.call().answers().and_then(|answers| serde_json::from_str(answers).ok());
        Answers(answers.unwrap_or_default())
    }

    /// Does something once for all runs of the handler: its result is remembered under the key. In a task it
    /// is stored before this returns; elsewhere it travels (sealed) with what the handler asks. Fails with
    /// kind `limit` when a call remembers more than 256 KiB, with kind `internal_error` when the store of
    /// tasks fails, and with what `work` fails with. Should the process die after `work` and before its
    /// result is stored, the next run does it again.
    pub async fn once<T, E, Work>(&self, key: &str, work: impl FnOnce() -> Work) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
        Work: Future<Output = Result<T, E>>,
    {
        if let Some(known) = self.call().recall(key) {
            let known = serde_json::from_str(known.as_str());
            return known.map_err(|error| {
                E::from(Error::internal(format!("{key:?} was remembered as something else: {error}")))
            });
        }
        let result = work().await?;
        let text =
            serde_json::to_string(&result).map_err(|error| E::from(Error::usage(error.to_string())))?;
        self.call().store(Stored::Value(key.to_owned()), text).await.map_err(E::from)?;
        Ok(result)
    }

    /// Stores the progress of the work, instead of the earlier progress; the next run of this handler begins
    /// with it. In a task it is stored when this returns, and outlives the process. It counts toward the 256
    /// KiB of [`Context::once`]; fails with kind `limit` above that, and with kind `internal_error` when the
    /// store of tasks fails.
    pub async fn checkpoint(&self, progress: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(progress).map_err(|error| Error::usage(error.to_string()))?;
        self.call().store(Stored::Checkpoint, text).await
    }

    /// Returns the last progress that this or an earlier run stored with [`Context::checkpoint`]; `None` at
    /// the beginning. Fails with kind `internal_error` if it is not a `T`.
    pub fn last_checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let Some(checkpoint) = self.call().checkpoint() else { return Ok(None) };
        serde_json::from_str(checkpoint.as_str())
            .map(Some)
            .map_err(|error| Error::internal(format!("the checkpoint is something else: {error}")))
    }

    /// Closes the connection that the answer would come on, where the client can come back for it
    /// (2025-11-25, Streamable HTTP). False: it cannot; nothing has happened.
    pub fn close_stream(&self) -> bool {
        self.call().close_stream()
    }

    /// Questions without a key are told apart by their order, which is the same in every run.
    async fn ask_one(&self, ask: Ask) -> Result<(String, Answers), Error> {
        let key = self.call().next_key();
        let answers = self.ask([(key.as_str(), ask)]).await?;
        Ok((key, answers))
    }
}

fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, Error> {
    T::deserialize(answer)
        .map_err(|error| Error::local(local::PROTOCOL, format!("the client's answer does not fit: {error}")))
}

/// The schema of a type as a form has it: flat, and without what only programs need.
fn form_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut form = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(members) = form.as_object_mut() {
        members.shift_remove("title");
        members.shift_remove("$defs");
    }
    let fields = form.get_mut("properties").and_then(Value::as_object_mut);
    for field in fields.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        // Optional fields are not in `required`; null is no answer to a field.
        if let Some(Value::Array(types)) = field.get_mut("type") {
            types.retain(|name| name != "null");
            if let [name] = &types[..] {
                let name = name.clone();
                field.insert("type".into(), name);
            }
        }
        if field.get("type").is_some_and(|name| name == "number" || name == "integer") {
            field.shift_remove("format");
        }
        // A choice of texts.
        if !field.contains_key("type") && (field.contains_key("enum") || field.contains_key("oneOf")) {
            field.insert("type".into(), json!("string"));
        }
    }
    form
}
