//! Which tenant is meant: its ID, or a domain to be looked up.
//!
//! Invariant: what comes out is a GUID in lower case; the APIs take nothing else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;

use super::clock::Monotonic;
use super::clouds::Endpoints;
use super::errors::Subject;
use super::login::Login;
use crate::http::{Cancel, Error, ErrorKind, Transport};

/// A tenant as it stands in a configuration: a GUID or a domain name, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant(String);

impl Tenant {
    /// As it was written, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an ID already.
    pub fn is_id(&self) -> bool {
        is_guid(&self.0)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = text.trim().to_ascii_lowercase();
        if is_guid(&plain) || is_domain(&plain) {
            return Ok(Self(plain));
        }
        Err(Error::new(
            ErrorKind::InvalidConfig,
            "tenant",
            format!(
                "The tenant {text:?} is neither an ID nor a domain. Configure the tenant's ID, a GUID, or a domain such as contoso.onmicrosoft.com."
            ),
        ))
    }
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_guid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let mut parts = text.split('-');
    lengths.iter().all(|length| {
        parts.next().is_some_and(|part| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }) && parts.next().is_none()
}

/// At least two labels of letters, digits and hyphens. This leaves out `common`, `organizations` and `consumers`, which
/// are no tenants.
fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// The part of the OpenID discovery document that names the tenant.
#[derive(Deserialize)]
struct Discovery {
    issuer: Option<String>,
    token_endpoint: Option<String>,
}

/// The ID of a tenant; a domain is looked up by OpenID Connect discovery at the cloud's login host.
///
/// # Errors
/// `invalid-config` if the cloud has no such tenant, and the failures of transport.
pub fn tenant_id(
    tenant: &Tenant,
    endpoints: &Endpoints,
    transport: Transport,
    cancel: &Cancel,
) -> Result<String, Error> {
    if tenant.is_id() {
        return Ok(tenant.0.clone());
    }
    let login = Login::new(&endpoints.login, transport, Arc::new(Monotonic), cancel.clone())?;
    let subject = Subject { failure: format!("The tenant {tenant} could not be looked up"), api: None };
    let body = login.get(&[&tenant.0, "v2.0", ".well-known", "openid-configuration"], &subject).map_err(|error| {
        if error.code != "AADSTS90002" {
            return error;
        }
        Error {
            message: format!("Tenant {tenant} was not found in the cloud {}. {}", endpoints.cloud, error.message),
            ..error
        }
    })?;
    let found = serde_json::from_slice::<Discovery>(&body).ok().and_then(|discovery| {
        [discovery.issuer, discovery.token_endpoint]
            .into_iter()
            .flatten()
            .find_map(|address| address.split('/').find(|part| is_guid(part)).map(str::to_ascii_lowercase))
    });
    found.ok_or_else(|| {
        Error::new(
            ErrorKind::Protocol,
            "discovery",
            format!("The login host's description of the tenant {tenant} names no tenant ID. Configure the tenant's ID, a GUID, in place of its domain."),
        )
    })
}

#[cfg(test)]
#[path = "tenant_tests.rs"]
mod tests;
