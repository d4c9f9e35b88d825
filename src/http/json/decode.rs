//! From bytes to a typed body, and from serde's errors to problems.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::http::{
    field_path::{message_of, path_of},
    problem::Problem,
};

/// What a body as a whole is called in `errors`.
const WHOLE: &str = "body";

/// Parses a body that must be one JSON object. Unknown fields are ignored.
///
/// # Errors
/// `MALFORMED_JSON` when it is no JSON or has one of `T`'s own fields twice, `VALIDATION_FAILED` with the
/// field's path when it is missing or has the wrong type.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| problem_of(body, &error));
    // serde would also read the fields of a struct from an array.
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    match parsed {
        Err(problem @ Problem::MalformedJson(_)) => Err(problem),
        _ if !is_object => match syntax_of(body) {
            Ok(()) => Err(Problem::validation(WHOLE, "must be a JSON object")),
            Err(malformed) => Err(malformed),
        },
        Err(problem) => Err(problem),
        Ok(value) => deserializer
            .end()
            .map(|()| value)
            .map_err(|error| malformed(&error)),
    }
}

fn problem_of(body: &[u8], error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let cause = error.inner();
    if cause.classify() != Category::Data {
        return malformed(cause);
    }
    // serde stops at the first wrong value; here the rest of the text is checked to be JSON.
    if let Err(malformed) = syntax_of(body) {
        return malformed;
    }
    let text = cause.to_string();
    let path = error.path();
    if text.starts_with("duplicate field") && path.iter().next().is_none() {
        return malformed(cause);
    }
    let field = path_of(path, &text).unwrap_or_else(|| WHOLE.to_owned());
    Problem::validation(field, message_of(&text))
}

fn syntax_of(body: &[u8]) -> Result<(), Problem> {
    serde_json::from_slice::<IgnoredAny>(body)
        .map(|_| ())
        .map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::malformed_json(format!("the body is no valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "only parsed")]
    struct Dto {
        event_key: String,
        count: Option<u32>,
        filter: Option<Filter>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only parsed")]
    struct Filter {
        names: Vec<String>,
    }

    fn outcome(body: &str) -> String {
        match decode::<Dto>(body.as_bytes()) {
            Ok(_) => "ok".to_owned(),
            Err(Problem::ValidationFailed(errors)) => format!("{}: {}", errors[0].field, errors[0].message),
            Err(problem) => problem.code().to_owned(),
        }
    }

    #[test]
    fn a_good_body_may_have_unknown_fields() {
        assert_eq!(outcome(r#" {"eventKey":"a.b","count":null,"more":[1]} "#), "ok");
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in [
            "",
            "   ",
            "{",
            "nope",
            r#"{"eventKey":"a"#,
            r#"{"eventKey":"a.b"} x"#,
            r#"{"eventKey":"a.b","eventKey":"a.b"}"#,
            r#"{"eventKey":5,"#,
            r#"["a.b","#,
            "{\"eventKey\":\"\u{1}\"}",
        ] {
            assert_eq!(outcome(body), "MALFORMED_JSON", "{body:?}");
        }
        assert_eq!(
            decode::<Dto>(b"{\"eventKey\":\"\xff\"}").unwrap_err().code(),
            "MALFORMED_JSON"
        );
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        for (body, expected) in [
            ("{}", "eventKey: missing"),
            (
                r#"{"eventKey":null}"#,
                "eventKey: invalid type: null, expected a string",
            ),
            (
                r#"{"eventKey":5}"#,
                "eventKey: invalid type: integer `5`, expected a string",
            ),
            (
                r#"{"eventKey":"a","count":-1}"#,
                "count: invalid value: integer `-1`, expected u32",
            ),
            (r#"{"eventKey":"a","filter":{}}"#, "filter.names: missing"),
            (
                r#"{"eventKey":"a","filter":{"names":["x",null]}}"#,
                "filter.names[1]: invalid type: null, expected a string",
            ),
            (
                r#"{"eventKey":"a","filter":{"names":[],"names":[]}}"#,
                "filter.names: given twice",
            ),
        ] {
            assert_eq!(outcome(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_json_but_no_object_is_invalid() {
        for body in ["null", "5", "\"text\"", "[]", r#"["a.b",1,null]"#] {
            assert_eq!(outcome(body), "body: must be a JSON object", "{body}");
        }
    }
}
