//! A piece of content as the service lists it, and the split that it becomes.
//!
//! Invariant: the same content gives the same split id whenever it is listed, so that a host that knows the id drops it.

use super::Calls;
use super::blob::BlobPayload;
use crate::clock::{self, Interval};
use crate::error::{Error, ErrorKind};
use crate::source::Split;
use crate::streams::Stream;

/// One element of a list of content.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    content_id: Option<String>,
    content_uri: Option<String>,
    content_created: Option<String>,
    content_expiration: Option<String>,
}

impl Content {
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
                    "The service listed content with neither contentUri nor contentId; the window is listed again.",
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

/// An id within the 512 bytes that the contract allows; a longer one becomes its digest.
fn short(id: String) -> String {
    use sha2::Digest;
    if id.len() <= 512 {
        return id;
    }
    sha2::Sha256::digest(id.as_bytes()).iter().fold("sha256:".to_owned(), |mut text, byte| {
        use std::fmt::Write;
        // Writing into a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
