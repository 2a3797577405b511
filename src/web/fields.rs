//! Reads the fields of a JSON body one by one, so that an answer can name all that are wrong at once.
//!
//! serde's derived readers stop at the first problem and know no place; this keeps what is expected next
//! to where it is used. A field given twice is refused, not settled by the last.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::error::Code;
use super::limits::FIELD_ERRORS_MAX;
use super::problem::{ApiError, FieldError, echo};

/// The members of an object in their order, twins included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_any(Collect)
    }
}

/// A JSON object that is being read. Every field that is asked for is known; [`Fields::finish`] refuses the rest.
#[derive(Debug)]
pub(crate) struct Fields {
    members: Vec<(String, Value)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Takes the text of a body.
    ///
    /// # Errors
    /// [`Code::MalformedJson`] with line and column, [`Code::InvalidType`] when it is no object.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Err(ApiError::new(Code::MalformedJson).detail("the body is empty; send a JSON object"));
        }
        match serde_json::from_slice(text) {
            Ok(Members(members)) => Ok(Self { members, known: Vec::new(), errors: Vec::new() }),
            Err(error) if error.classify() == Category::Data => Err(ApiError::fields(vec![FieldError {
                pointer: String::new(),
                code: Code::InvalidType,
                detail: "the body is not a JSON object".to_owned(),
                allowed: Vec::new(),
            }])),
            Err(error) => {
                Err(ApiError::new(Code::MalformedJson).detail(format!("the body is not JSON: {error}")))
            }
        }
    }

    /// A text that must be there. An empty one is given when it is not; `finish` refuses then.
    pub(crate) fn text(&mut self, name: &'static str) -> String {
        let Some(value) = self.take(name) else {
            let detail = format!("the field {name} is missing");
            self.refuse(format!("/{name}"), Code::MissingField, detail, Vec::new());
            return String::new();
        };
        self.text_of(name, value).unwrap_or_default()
    }

    /// A text that may be missing or `null`.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take_present(name)?;
        self.text_of(name, value)
    }

    /// A whole number from 0 that may be missing or `null`.
    pub(crate) fn optional_whole(&mut self, name: &'static str) -> Option<u64> {
        let value = self.take_present(name)?;
        let number = value.as_u64();
        if number.is_none() {
            self.wrong_type(name, "a whole number, not negative", &value);
        }
        number
    }

    /// A list of texts that may be missing or `null`, which is the same as empty.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let Some(value) = self.take_present(name) else { return Vec::new() };
        let Value::Array(values) = value else {
            self.wrong_type(name, "a list of texts", &value);
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(values.len());
        for (n, value) in values.into_iter().enumerate() {
            if let Value::String(text) = value {
                texts.push(text);
            } else {
                let detail = format!("{name}/{n} must be a text, not {}", kind(&value));
                self.refuse(format!("/{name}/{n}"), Code::InvalidType, detail, Vec::new());
            }
        }
        texts
    }

    /// Refuses what was not asked for.
    ///
    /// # Errors
    /// [`ApiError`] with every wrong field, up to [`FIELD_ERRORS_MAX`] of them.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.members) {
            if self.errors.len() >= FIELD_ERRORS_MAX {
                break;
            }
            let short = echo(&name);
            let pointer = format!("/{}", short.replace('~', "~0").replace('/', "~1"));
            if self.known.contains(&name.as_str()) {
                let detail = format!("the field {short} occurs twice");
                self.refuse(pointer, Code::DuplicateField, detail, Vec::new());
            } else {
                let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
                let detail = format!("unknown field {short:?}; known: {known}");
                let allowed = self.known.clone();
                self.refuse(pointer, Code::UnknownField, detail, allowed);
            }
        }
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::fields(self.errors)) }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        let at = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.remove(at).1)
    }

    /// A field that is there and not `null`.
    fn take_present(&mut self, name: &'static str) -> Option<Value> {
        self.take(name).filter(|value| !value.is_null())
    }

    fn text_of(&mut self, name: &'static str, value: Value) -> Option<String> {
        if let Value::String(text) = value {
            return Some(text);
        }
        self.wrong_type(name, "a text", &value);
        None
    }

    fn wrong_type(&mut self, name: &'static str, expected: &str, found: &Value) {
        let detail = format!("{name} must be {expected}, not {}", kind(found));
        self.refuse(format!("/{name}"), Code::InvalidType, detail, Vec::new());
    }

    fn refuse(&mut self, pointer: String, code: Code, detail: String, allowed: Vec<&'static str>) {
        if self.errors.len() < FIELD_ERRORS_MAX {
            self.errors.push(FieldError { pointer, code, detail, allowed });
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_u64() => "a number",
        Value::Number(number) if number.is_i64() => "a negative number",
        Value::Number(_) => "a number with a fraction",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(String, Option<u64>, Vec<String>), Value> {
        let problem = |error: ApiError| -> Value {
            serde_json::from_slice(&error.response(None).into_body().try_into_bytes().unwrap()).unwrap()
        };
        let mut fields = Fields::parse(text.as_bytes()).map_err(problem)?;
        let all = (fields.text("name"), fields.optional_whole("max"), fields.texts("tags"));
        fields.finish().map_err(problem)?;
        Ok(all)
    }

    #[test]
    fn good_bodies_are_read() {
        assert_eq!(read(r#"{"name":"a"}"#).unwrap(), ("a".into(), None, vec![]));
        let all = read(r#" {"tags":["x","y"],"max":7,"name":"ü"} "#).unwrap();
        assert_eq!(all, ("ü".into(), Some(7), vec!["x".into(), "y".into()]));
        assert_eq!(read(r#"{"name":"a","max":null,"tags":null}"#).unwrap().1, None);
    }

    #[test]
    fn each_kind_of_wrong_body_has_its_code_and_place() {
        for (text, status, code, pointer) in [
            ("", 400, "malformed_json", None),
            ("{\"name\":\n}", 400, "malformed_json", None),
            ("{\"name\":\"a\"} x", 400, "malformed_json", None),
            ("\u{0}", 400, "malformed_json", None),
            ("[1,2]", 422, "invalid_type", Some("")),
            ("3", 422, "invalid_type", Some("")),
            ("{}", 422, "missing_field", Some("/name")),
            (r#"{"name":null}"#, 422, "invalid_type", Some("/name")),
            (r#"{"name":3}"#, 422, "invalid_type", Some("/name")),
            (r#"{"name":"a","max":-1}"#, 422, "invalid_type", Some("/max")),
            (r#"{"name":"a","max":1.5}"#, 422, "invalid_type", Some("/max")),
            (r#"{"name":"a","max":"5"}"#, 422, "invalid_type", Some("/max")),
            (r#"{"name":"a","tags":"x"}"#, 422, "invalid_type", Some("/tags")),
            (r#"{"name":"a","tags":["x",1]}"#, 422, "invalid_type", Some("/tags/1")),
            (r#"{"name":"a","na/me~":1}"#, 422, "unknown_field", Some("/na~1me~0")),
            (r#"{"name":"a","name":"b"}"#, 422, "duplicate_field", Some("/name")),
        ] {
            let problem = read(text).unwrap_err();
            assert_eq!(
                (problem["status"].as_u64(), problem["code"].as_str()),
                (Some(status), Some(code)),
                "{text}"
            );
            assert_eq!(problem["errors"][0]["pointer"].as_str(), pointer, "{text}");
        }
        assert!(read("{\"name\":\n}").unwrap_err()["detail"].as_str().unwrap().contains("line 2 column 1"));
        assert!(
            read(r#"{"name":"a","x":1}"#).unwrap_err()["detail"]
                .as_str()
                .unwrap()
                .contains("name, max, tags")
        );
    }

    #[test]
    fn all_wrong_fields_are_named_but_not_endlessly_many() {
        let problem = read(r#"{"name":1,"max":"x","other":2}"#).unwrap_err();
        assert_eq!(problem["errors"].as_array().unwrap().len(), 3);
        let many: Vec<String> = (0..5_000).map(|n| format!("\"f{n}\":1")).collect();
        let problem = read(&format!("{{{}}}", many.join(","))).unwrap_err();
        assert_eq!(problem["errors"].as_array().unwrap().len(), FIELD_ERRORS_MAX);
        let deep = format!("{{\"name\":{}", "[".repeat(100_000));
        assert_eq!(read(&deep).unwrap_err()["code"], "malformed_json");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(mut fields) = Fields::parse(&bytes) {
                fields.text("name");
                prop_assert!(fields.finish().is_err() || !bytes.is_empty());
            }
        }
    }
}
