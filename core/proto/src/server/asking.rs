//! Questions of a handler to the client: the user, a model, the roots (2026-07-28, "Multi Round-Trip
//! Requests"; 2025-11-25, elicitation, sampling, roots).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::meta;
use crate::methods::{self, Method, Role};
use crate::revision::{Era, Revision};
use crate::server::request::invalid;
use crate::server::schema::Schema;

/// Most questions that one call may ask together.
const MAX_QUESTIONS: usize = 64;

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// Key of the question, unique within its call.
    pub key: String,
    /// The row of `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: &'static Method,
    /// Its parameters: an object.
    params: Json,
}

#[derive(Deserialize)]
struct Asked<'a> {
    op: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ElicitParams<'a> {
    #[serde(borrow, default)]
    mode: Option<Cow<'a, str>>,
    #[serde(rename = "message", borrow)]
    _message: Cow<'a, str>,
    #[serde(default)]
    requested_schema: Option<Value>,
    #[serde(borrow, default)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    elicitation_id: Option<Cow<'a, str>>,
}

impl ElicitParams<'_> {
    fn is_url(&self) -> bool {
        self.mode.as_deref() == Some("url")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SampleParams<'a> {
    #[serde(rename = "messages", borrow)]
    _messages: Vec<&'a RawValue>,
    #[serde(rename = "maxTokens")]
    _max_tokens: u64,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_choice: Option<&'a RawValue>,
}

/// Parses `{key: {op, params?}}`, in its order. An invalid question is an error here, before it reaches the
/// client.
pub fn questions(text: &str) -> Result<Vec<Question>, RpcError> {
    let members = json::members(text).ok_or_else(|| invalid("the questions must be a JSON object"))?;
    if members.is_empty() || members.len() > MAX_QUESTIONS {
        return Err(invalid(format!("1 to {MAX_QUESTIONS} questions can be asked together")));
    }
    members.into_iter().map(|(key, asked)| Question::parse(key, asked)).collect()
}

impl Question {
    fn parse(key: String, asked: &RawValue) -> Result<Question, RpcError> {
        let wrong = |what: String| invalid(format!("question {key:?}: {what}"));
        let asked: Asked<'_> =
            serde_json::from_str(asked.get()).map_err(|error| wrong(json::complaint(&error)))?;
        let method = methods::question_by_op(&asked.op)
            .ok_or_else(|| wrong(format!("{:?} is none of elicit, sample and list_roots", asked.op)))?;
        let params = asked.params.map_or("{}", RawValue::get);
        if !params.starts_with('{') {
            return Err(wrong("params must be an object".into()));
        }
        match method.role {
            Role::Elicit => check_elicitation(params).map_err(wrong)?,
            Role::Sample => {
                serde_json::from_str::<SampleParams<'_>>(params)
                    .map_err(|error| wrong(json::complaint(&error)))?;
            }
            _ => {}
        }
        Ok(Question { key, method, params: Json::from(params.to_owned()) })
    }

    /// One that was checked when it was first asked.
    pub(crate) fn known(key: String, method: &'static Method, params: Json) -> Question {
        Question { key, method, params }
    }

    /// Its parameters as they were given.
    pub(crate) fn raw_params(&self) -> &str {
        self.params.as_str()
    }

    /// The same on behalf of a task (2025-11-25, tasks, "Associating Task-Related Messages").
    pub fn related_to(&self, task: &str) -> Question {
        let mut metas = vec![format!("\"{}\":{{\"taskId\":{}}}", meta::RELATED_TASK, json::string(task))];
        let mut members = Vec::new();
        for (key, value) in json::members(self.params.as_str()).unwrap_or_default() {
            let entry = |(key, value): (String, &RawValue)| format!("{}:{}", json::string(&key), value.get());
            if key == "_meta" {
                metas.extend(json::members(value.get()).unwrap_or_default().into_iter().map(entry));
            } else {
                members.push(entry((key, value)));
            }
        }
        members.push(format!("\"_meta\":{{{}}}", metas.join(",")));
        let params = Json::from(format!("{{{}}}", members.join(",")));
        Question { key: self.key.clone(), method: self.method, params }
    }

    /// Checks that the declared capabilities of a client allow this question.
    pub fn allowed(&self, revision: Revision, capabilities: &Json) -> Result<(), RpcError> {
        let lacks = |required: Value| {
            let message = format!("the client cannot be asked {}", self.method.name);
            Err(RpcError::new(ErrorKind::MissingCapability, message)
                .with_data(json!({ "requiredCapabilities": required })))
        };
        let capabilities: Value = serde_json::from_str(capabilities.as_str()).unwrap_or_default();
        let has = |path: &str| capabilities.pointer(path).is_some_and(Value::is_object);
        match self.method.role {
            Role::Elicit if !self.method.exists_in(revision) || !has("/elicitation") => {
                lacks(json!({"elicitation": {}}))
            }
            Role::Elicit if self.elicitation().is_url() && !has("/elicitation/url") => {
                lacks(json!({"elicitation": {"url": {}}}))
            }
            // A client that names no mode has the form (2025-11-25, elicitation, "Capabilities").
            Role::Elicit
                if !self.elicitation().is_url() && has("/elicitation/url") && !has("/elicitation/form") =>
            {
                lacks(json!({"elicitation": {"form": {}}}))
            }
            Role::Elicit if revision < Revision::V2025_11_25 => match self.choice_of_several() {
                Some(name) => Err(RpcError::new(
                    ErrorKind::MissingCapability,
                    format!(
                        "the client speaks {}, whose forms have no choice of several: requestedSchema.properties.{name}",
                        revision.as_str()
                    ),
                )),
                None => Ok(()),
            },
            Role::Sample if !has("/sampling") => lacks(json!({"sampling": {}})),
            Role::Sample if self.uses_tools() && !has("/sampling/tools") => {
                lacks(json!({"sampling": {"tools": {}}}))
            }
            Role::ListRoots if !has("/roots") => lacks(json!({"roots": {}})),
            _ => Ok(()),
        }
    }

    /// The id that the handler gave to a URL elicitation; its completion is reported under that id.
    pub fn elicitation_id(&self) -> Option<String> {
        if self.method.role != Role::Elicit {
            return None;
        }
        let params = self.elicitation();
        params.elicitation_id.as_ref().filter(|_| params.is_url()).map(|id| id.to_string())
    }

    /// Returns true if the revision requires an `elicitationId` that the question lacks (2025-11-25,
    /// elicitation, "URL Mode").
    pub fn wants_elicitation_id(&self, revision: Revision) -> bool {
        self.method.role == Role::Elicit && revision == Revision::V2025_11_25 && {
            let params = self.elicitation();
            params.is_url() && params.elicitation_id.is_none()
        }
    }

    /// The parameters as a revision writes them. `elicitation_id`: for [`Question::wants_elicitation_id`].
    pub fn params(&self, revision: Revision, elicitation_id: Option<&str>) -> String {
        if self.method.role != Role::Elicit {
            return self.params.as_str().to_owned();
        }
        let is_url = self.elicitation().is_url();
        let mut out = String::from("{");
        let mut add = |key: &str, value: &str| {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&json::string(key));
            out.push(':');
            out.push_str(value);
        };
        for (key, value) in json::members(self.params.as_str()).unwrap_or_default() {
            match key.as_str() {
                // Without a mode it is a form, in every revision.
                "mode" if !is_url => {}
                "elicitationId" if revision.era() == Era::Modern => {}
                _ => add(&key, value.get()),
            }
        }
        if let Some(id) = elicitation_id {
            add("elicitationId", &json::string(id));
        }
        out.push('}');
        out
    }

    /// Checks an answer; the error describes the fault.
    pub fn check(&self, answer: &str) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Elicited {
            action: Action,
            #[serde(default)]
            content: Option<Value>,
        }
        #[derive(Deserialize, PartialEq)]
        #[serde(rename_all = "lowercase")]
        enum Action {
            Accept,
            Decline,
            Cancel,
        }
        #[derive(Deserialize)]
        struct Sampled<'a> {
            #[serde(rename = "role", borrow)]
            _role: Cow<'a, str>,
            #[serde(rename = "content", borrow)]
            _content: &'a RawValue,
            #[serde(rename = "model", borrow)]
            _model: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Roots<'a> {
            #[serde(rename = "roots", borrow)]
            _roots: Vec<Root<'a>>,
        }
        #[derive(Deserialize)]
        struct Root<'a> {
            #[serde(rename = "uri", borrow)]
            _uri: Cow<'a, str>,
        }
        let complain = |error: serde_json::Error| json::complaint(&error);
        if !answer.starts_with('{') {
            return Err("it is no object".into());
        }
        match self.method.role {
            Role::Elicit => {
                let said: Elicited = serde_json::from_str(answer).map_err(complain)?;
                let params = self.elicitation();
                if said.action != Action::Accept || params.is_url() {
                    return Ok(());
                }
                let content = said.content.unwrap_or(Value::Null);
                let schema = params.requested_schema.unwrap_or_default();
                let schema = Schema::compile(&schema, "requestedSchema").map_err(|invalid| invalid.0)?;
                if !content.is_object() {
                    return Err("content must be an object".into());
                }
                schema.violations(&content, "content", answer.len()).map_or(Ok(()), Err)
            }
            Role::Sample => serde_json::from_str::<Sampled<'_>>(answer).map(drop).map_err(complain),
            _ => serde_json::from_str::<Roots<'_>>(answer).map(drop).map_err(complain),
        }
    }

    /// Distinguishes this question from others of the same key. Used only inside sealed state.
    pub(crate) fn digest(&self) -> u64 {
        // FNV-1a
        let bytes = self.method.name.bytes().chain([0]).chain(self.params.as_bytes().iter().copied());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    fn elicitation(&self) -> ElicitParams<'_> {
        serde_json::from_str(self.params.as_str()).expect("checked when it was made")
    }

    /// A property of its form that takes several values: those came with 2025-11-25 (elicitation, "Requested Schema").
    fn choice_of_several(&self) -> Option<String> {
        let schema = self.elicitation().requested_schema?;
        let properties = schema.get("properties").and_then(Value::as_object)?;
        let several = |property: &Value| property.get("type").and_then(Value::as_str) == Some("array");
        properties.iter().find(|(_, property)| several(property)).map(|(name, _)| name.clone())
    }

    fn uses_tools(&self) -> bool {
        let params: SampleParams<'_> =
            serde_json::from_str(self.params.as_str()).expect("checked when it was made");
        params.tools.is_some() || params.tool_choice.is_some()
    }
}

fn check_elicitation(params: &str) -> Result<(), String> {
    let params: ElicitParams<'_> = serde_json::from_str(params).map_err(|error| json::complaint(&error))?;
    match params.mode.as_deref() {
        Some("url") => match params.url.as_deref() {
            Some(url)
                if url
                    .split_once(':')
                    .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) =>
            {
                Ok(())
            }
            _ => Err("url must be a URL".into()),
        },
        None | Some("form") => {
            let schema = params.requested_schema.ok_or("requestedSchema is required")?;
            check_form(&schema)
        }
        Some(other) => Err(format!("mode {other:?} is none of form and url")),
    }
}

/// A form is flat: an object of strings, numbers, booleans and choices (2025-11-25, elicitation, "Requested Schema").
fn check_form(schema: &Value) -> Result<(), String> {
    if schema.get("type") != Some(&json!("object")) {
        return Err("requestedSchema must have \"type\": \"object\"".into());
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.ok_or("requestedSchema must have properties")?;
    for (name, property) in properties {
        let fits = match property.get("type").and_then(Value::as_str) {
            Some("string" | "number" | "integer" | "boolean") => true,
            // A choice of several.
            Some("array") => property.get("items").is_some_and(|items| {
                ["enum", "anyOf", "oneOf"].iter().any(|choices| items.get(choices).is_some())
            }),
            _ => false,
        };
        if !fits {
            return Err(format!("requestedSchema.properties.{name} is no string, number, boolean or choice"));
        }
    }
    Schema::compile(schema, "requestedSchema").map(drop).map_err(|invalid| invalid.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(asked: Value) -> Result<Question, RpcError> {
        questions(&json!({ "q": asked }).to_string()).map(|mut all| all.remove(0))
    }

    fn form() -> Value {
        json!({"op": "elicit", "params": {"mode": "form", "message": "Who?", "requestedSchema":
            {"type": "object", "properties": {"name": {"type": "string", "minLength": 2}}, "required": ["name"]}}})
    }

    #[test]
    fn questions_are_checked_when_they_are_asked() {
        assert!(question(form()).is_ok());
        assert!(question(json!({"op": "list_roots"})).is_ok());
        assert!(question(json!({"op": "sample", "params": {"messages": [], "maxTokens": 5}})).is_ok());
        let url =
            json!({"op": "elicit", "params": {"mode": "url", "message": "Go", "url": "https://a.example/"}});
        assert!(question(url).is_ok());
        for wrong in [
            json!({"op": "call_tool", "params": {}}),
            json!({"op": "elicit", "params": {"message": "no schema"}}),
            json!({"op": "elicit", "params": {"mode": "url", "message": "no URL"}}),
            json!({"op": "elicit", "params": {"mode": "fax", "message": "?"}}),
            json!({"op": "elicit", "params": {"message": "?", "requestedSchema": {"type": "object", "properties":
                {"deep": {"type": "object"}}}}}),
            json!({"op": "sample", "params": {"messages": []}}),
            json!({"op": "sample", "params": []}),
            json!(3),
        ] {
            let error = question(wrong.clone()).expect_err(&wrong.to_string());
            assert_eq!(error.kind(), ErrorKind::InvalidParams, "{wrong}");
        }
        assert!(questions("{}").is_err());
        assert!(questions("[]").is_err());
    }

    #[test]
    fn answers_are_checked_against_the_form() {
        let question = question(form()).expect("valid");
        let check = |answer: Value| question.check(&answer.to_string());
        assert_eq!(check(json!({"action": "accept", "content": {"name": "Ada"}})), Ok(()));
        assert_eq!(check(json!({"action": "decline"})), Ok(()));
        assert_eq!(check(json!({"action": "cancel", "content": {"name": 1}})), Ok(()));
        for wrong in [
            json!({"action": "accept"}),
            json!({"action": "accept", "content": {"name": "A"}}),
            json!({"action": "accept", "content": {}}),
            json!({"action": "shrug"}),
            json!({}),
            json!(12345),
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_client_is_asked_only_what_it_declared() {
        let allowed = |asked: Value, revision, capabilities: Value| {
            let capabilities = Json::from(capabilities.to_string());
            match question(asked).expect("valid").allowed(revision, &capabilities) {
                Ok(()) => None,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::MissingCapability);
                    let data: Value = serde_json::from_str(error.data.expect("data").get()).expect("JSON");
                    Some(data["requiredCapabilities"].clone())
                }
            }
        };
        let url =
            json!({"op": "elicit", "params": {"mode": "url", "message": "Go", "url": "https://a.example/"}});
        let (new, old) = (Revision::LATEST, Revision::V2025_03_26);
        assert_eq!(allowed(form(), new, json!({"elicitation": {}})), None);
        assert_eq!(allowed(form(), new, json!({"elicitation": {"form": {}}})), None);
        assert_eq!(
            allowed(form(), new, json!({"elicitation": {"url": {}}})),
            Some(json!({"elicitation": {"form": {}}}))
        );
        assert_eq!(allowed(form(), new, json!({})), Some(json!({"elicitation": {}})));
        assert_eq!(allowed(form(), old, json!({"elicitation": {}})), Some(json!({"elicitation": {}})));
        assert_eq!(
            allowed(url.clone(), new, json!({"elicitation": {}})),
            Some(json!({"elicitation": {"url": {}}}))
        );
        assert_eq!(allowed(url, new, json!({"elicitation": {"url": {}}})), None);
        let tools = json!({"op": "sample", "params": {"messages": [], "maxTokens": 1, "tools": []}});
        assert_eq!(
            allowed(tools.clone(), new, json!({"sampling": {}})),
            Some(json!({"sampling": {"tools": {}}}))
        );
        assert_eq!(allowed(tools, new, json!({"sampling": {"tools": {}}})), None);
        assert_eq!(allowed(json!({"op": "list_roots"}), new, json!({})), Some(json!({"roots": {}})));
    }

    #[test]
    fn a_choice_of_several_is_asked_only_where_forms_have_it() {
        let choices = json!({"type": "array", "items": {"type": "string", "enum": ["a", "b"]}});
        let form = json!({"op": "elicit", "params": {"message": "Which?", "requestedSchema":
            {"type": "object", "properties": {"name": {"type": "string"}, "which": choices}}}});
        let asked = question(form).expect("valid");
        let capabilities = Json::from_static(r#"{"elicitation":{}}"#);
        let error = asked.allowed(Revision::V2025_06_18, &capabilities).expect_err("it has none");
        assert_eq!(error.kind(), ErrorKind::MissingCapability);
        assert!(error.message.contains("which") && error.message.contains("2025-06-18"), "{}", error.message);
        for revision in [Revision::V2025_11_25, Revision::LATEST] {
            assert!(asked.allowed(revision, &capabilities).is_ok());
        }
    }

    #[test]
    fn parameters_are_written_for_the_revision() {
        let url = json!({"op": "elicit", "params":
            {"mode": "url", "message": "Go", "url": "https://a.example/", "elicitationId": "e1"}});
        let url = question(url).expect("valid");
        assert!(!url.params(Revision::LATEST, None).contains("elicitationId"));
        assert!(url.params(Revision::V2025_11_25, None).contains(r#""elicitationId":"e1""#));
        assert!(!url.wants_elicitation_id(Revision::V2025_11_25));
        assert!(!question(form()).expect("valid").params(Revision::LATEST, None).contains("mode"));
    }
}
