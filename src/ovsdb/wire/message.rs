//! What is in a message (JSON-RPC 1.0): a request, an answer, or a notification.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Said by the peer without being asked.
#[derive(Debug)]
pub struct Notification {
    /// What it is about, such as `update3`.
    pub method: String,
    /// What it says.
    pub params: Box<RawValue>,
}

/// What a peer says in answer to a request: its result, or what is wrong with the request.
pub type Answer = Result<Box<RawValue>, Value>;

/// A message of the peer's.
#[derive(Debug)]
pub enum Incoming {
    /// An answer to the request of this number.
    Answer(u64, Answer),
    /// The peer asks for something, under a name of its own.
    Request {
        method: String,
        params: Box<RawValue>,
        id: Value,
    },
    Notification(Notification),
}

/// A message that is JSON, and no JSON-RPC.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not even that.
    #[error("a message is not JSON")]
    Json(#[source] serde_json::Error),
    /// It has neither a method nor the number of a request.
    #[error("a message is neither a request nor an answer to one")]
    Neither,
}

#[derive(Deserialize)]
struct Members {
    method: Option<String>,
    params: Option<Box<RawValue>>,
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    id: Value,
}

impl Incoming {
    pub fn parse(message: &[u8]) -> Result<Self, MessageError> {
        let Members {
            method,
            params,
            result,
            error,
            id,
        } = serde_json::from_slice(message).map_err(MessageError::Json)?;
        match (method, params) {
            (Some(method), Some(params)) if id.is_null() => {
                Ok(Self::Notification(Notification { method, params }))
            }
            (Some(method), Some(params)) => Ok(Self::Request { method, params, id }),
            (None, None) => {
                let id = id.as_u64().ok_or(MessageError::Neither)?;
                let answer = if error.is_null() {
                    Ok(result.unwrap_or_else(|| RawValue::NULL.to_owned()))
                } else {
                    Err(error)
                };
                Ok(Self::Answer(id, answer))
            }
            (Some(_), None) | (None, Some(_)) => Err(MessageError::Neither),
        }
    }
}

/// A request, as bytes.
pub fn request(id: u64, method: &str, params: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Request<'a, P> {
        id: u64,
        method: &'a str,
        params: P,
    }
    serde_json::to_vec(&Request { id, method, params })
}

/// An answer to a request of the peer's, as bytes. Null in JSON is what JSON-RPC 1.0 says for "none".
pub fn answer(id: &Value, answer: Result<&RawValue, &str>) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Reply<'a> {
        id: &'a Value,
        result: Option<&'a RawValue>,
        error: Option<&'a str>,
    }
    let (result, error) = match answer {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    serde_json::to_vec(&Reply { id, result, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        format!("{:?}", Incoming::parse(text.as_bytes()))
    }

    #[test]
    fn messages_are_told_apart() {
        for (text, kind) in [
            (r#"{"id":7,"result":[],"error":null}"#, "Ok(Answer(7, Ok("),
            (
                r#"{"id":7,"result":null,"error":"no"}"#,
                "Ok(Answer(7, Err(",
            ),
            (r#"{"id":7,"result":null,"error":null}"#, "Ok(Answer(7, Ok("),
            (r#"{"method":"echo","params":[],"id":"echo"}"#, "Ok(Request"),
            (
                r#"{"method":"update","params":[1,{}],"id":null}"#,
                "Ok(Notification",
            ),
            (r#"{"method":"update","params":[1,{}]}"#, "Ok(Notification"),
            (r#"{"method":"update"}"#, "Err(Neither"),
            (r#"{"id":"strange","result":1}"#, "Err(Neither"),
            ("{}", "Err(Neither"),
            (r#"{"id":7,"#, "Err(Json"),
        ] {
            assert!(parse(text).starts_with(kind), "{text}: {}", parse(text));
        }
    }
}
