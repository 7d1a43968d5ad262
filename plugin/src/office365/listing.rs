//! A piece of content as the service lists it, and the split that it becomes.
//!
//! Invariant: the same content gives the same split id whenever it is listed, so that a host that knows the id drops it.

use serde_json::Value;

use super::Calls;
use super::answers::is_error;
use super::blob::BlobPayload;
use crate::call::Answer;
use crate::clock::{self, Interval};
use crate::error::{Error, ErrorKind};
use crate::source::Split;
use crate::splitter::{Framing, Splitter};
use crate::streams::Stream;

/// The elements of an answer that is a list: a status of 200, one array, none of whose elements is an error. Whether something about it was
/// odd, though all of them could be read.
///
/// # Errors
/// If it isn't a list: then it is a refusal, whatever its status.
pub(super) fn elements(answer: &Answer) -> Result<(Vec<Value>, Option<&'static str>), NoList> {
    if answer.head.status != 200 {
        return Err(NoList);
    }
    let mut splitter = Splitter::new(Framing::Array, answer.body.len());
    let mut items: Vec<Value> = Vec::new();
    // What isn't JSON is an element that can't be understood, and fails alone.
    let split = splitter.feed(&answer.body, |item| items.push(serde_json::from_slice(item).unwrap_or_default()));
    let whole = split.is_ok() && splitter.finish().is_ok() && splitter.error().is_none();
    let content = items.is_empty() || items.iter().any(is_content);
    if !whole || !content || items.iter().any(is_error) {
        return Err(NoList);
    }
    Ok((items, splitter.odd()))
}

/// Whether an element names content, whatever else may be wrong with it. What the service says in place of content doesn't.
fn is_content(item: &Value) -> bool {
    item.as_object().is_some_and(|item| {
        item.is_empty()
            || item.keys().any(|name| name.get(..7).is_some_and(|name| name.eq_ignore_ascii_case("content")))
    })
}

/// An answer isn't a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoList;

/// One element of a list of content.
#[derive(Debug)]
pub(super) struct Content {
    content_id: Option<String>,
    content_uri: Option<String>,
    content_created: Option<String>,
    content_expiration: Option<String>,
}

impl Content {
    /// Takes what can be understood of an element.
    pub(super) fn of(item: &Value) -> Self {
        let text = |name: &str| match item.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Self {
            content_id: text("contentId"),
            content_uri: text("contentUri"),
            content_created: text("contentCreated"),
            content_expiration: text("contentExpiration"),
        }
    }

    /// The split. Its times are claims: content that is listed became available within the window, and without a readable time
    /// it is put at the start of it, so that it isn't read late; an expiry before that says nothing.
    ///
    /// # Errors
    /// `protocol` if nothing says where the content is.
    pub(super) fn split(
        self,
        calls: &Calls,
        stream: &Stream,
        content_type: &str,
        window: Interval,
    ) -> Result<Split, Error> {
        let uri = match (self.content_uri, &self.content_id) {
            (Some(uri), _) if !uri.is_empty() => uri,
            (_, Some(id)) if !id.is_empty() => calls.content_uri(id),
            _ => {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    "content-without-address",
                    "The service listed content with neither contentUri nor contentId, which can't be read; what is listed beside it is.",
                ));
            }
        };
        let id = self.content_id.filter(|id| !id.is_empty()).unwrap_or_else(|| uri.clone());
        let arrival = self.content_created.as_deref().and_then(clock::parse).unwrap_or(window.start);
        let arrival = arrival.clamp(window.start, window.end.max(window.start));
        let payload = BlobPayload { v: 1, uri, content_type: content_type.to_owned() };
        Ok(Split {
            id: short(id),
            stream: stream.name.to_owned(),
            // Strings only: serialising them into memory can't fail.
            payload: serde_json::to_string(&payload).expect("a payload is plain data"),
            arrival,
            expires: self.content_expiration.as_deref().and_then(clock::parse).filter(|expires| *expires > arrival),
        })
    }
}

/// An id within the 512 bytes that the contract allows and of characters that are shown; another one becomes its digest.
fn short(id: String) -> String {
    use sha2::Digest;
    if id.len() <= 512 && id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return id;
    }
    sha2::Sha256::digest(id.as_bytes()).iter().fold("sha256:".to_owned(), |mut text, byte| {
        use std::fmt::Write;
        // Writing into a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
