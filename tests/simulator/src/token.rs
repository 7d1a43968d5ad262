//! Access tokens: what the login issues and the APIs check.
//!
//! Invariant: a token is good only if this simulator made it (its signature is a keyed hash), for one audience, and until its expiry.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clock::{TICKS_PER_SECOND, Ticks};
use crate::tally::lock;
use crate::tenant::{CLIENT_ID, TENANT_ID};

/// For which of the two APIs a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Management,
    Graph,
}

impl Audience {
    /// The roots of Microsoft's worldwide cloud, whose scopes the simulated login knows beside its own.
    pub(crate) fn public_root(self) -> &'static str {
        match self {
            Self::Management => "https://manage.office.com",
            Self::Graph => "https://graph.microsoft.com",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Management => "/manage",
            Self::Graph => "/graph",
        }
    }

    /// Every role of the API that the collector is granted.
    pub(crate) fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Management => &["ActivityFeed.Read", "ActivityFeed.ReadDlp"],
            Self::Graph => {
                &["AuditLog.Read.All", "Directory.Read.All", "SecurityAlert.Read.All", "SecurityEvents.Read.All"]
            }
        }
    }
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Missing,
    Malformed,
    WrongAudience,
    Expired,
    /// It is so new that not every server knows it yet; the number is another for each such token.
    Fresh(u64),
}

/// What a good token says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) roles: Vec<String>,
    /// The second in which it was issued.
    pub(crate) issued: i64,
    /// How many were issued for its audience before it.
    pub(crate) number: u64,
}

/// A request with a refused token this long after its refusal breaks the rule to renew first; sooner it may have been on its way.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) struct Mint {
    key: [u8; 32],
    refused: Mutex<HashMap<String, Instant>>,
    /// How many tokens were issued for each audience.
    issued: [AtomicU64; 2],
}

impl Mint {
    pub(crate) fn new(seed: u64) -> Self {
        Self { key: Sha256::digest(seed.to_le_bytes()).into(), refused: Mutex::default(), issued: Default::default() }
    }

    /// A keyed hash of `text`, 128 bits in base64url: no forgery by accident, which is all that is needed here.
    pub(crate) fn seal(&self, text: &str) -> String {
        let hash = Sha256::new().chain_update(self.key).chain_update(text).finalize();
        URL_SAFE_NO_PAD.encode(&hash[..16])
    }

    pub(crate) fn issue(&self, audience: Audience, roles: &[&str], now: Ticks, lifetime: Duration) -> String {
        let number = self.issued[audience as usize].fetch_add(1, Relaxed);
        let issued = now / TICKS_PER_SECOND;
        let expiry = issued.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let claims = json!({
            "aud": audience.public_root(), "iss": format!("https://sts.windows.net/{TENANT_ID}/"), "tid": TENANT_ID,
            "appid": CLIENT_ID, "roles": roles, "iat": issued, "nbf": issued, "exp": expiry, "uti": number.to_string(),
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256","kid":"simulated"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.seal(&signed);
        format!("{signed}.{signature}")
    }

    /// What a good token says, from the value of an `Authorization` header.
    /// Tokens that were issued before the second `revoked_before` are taken as expired.
    pub(crate) fn check(
        &self,
        header: Option<&str>,
        audience: Audience,
        now: Ticks,
        revoked_before: i64,
    ) -> Result<Grant, Refusal> {
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Refusal::Missing)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        if self.seal(signed) != signature {
            return Err(Refusal::Malformed);
        }
        let claims = signed.split_once('.').and_then(|(_, claims)| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).ok_or(Refusal::Malformed)?;
        if claims["aud"] != audience.public_root() {
            return Err(Refusal::WrongAudience);
        }
        if claims["exp"].as_i64().is_none_or(|expiry| expiry <= now / TICKS_PER_SECOND)
            || claims["iat"].as_i64().is_none_or(|issued| issued < revoked_before)
        {
            return Err(Refusal::Expired);
        }
        let roles = claims["roles"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Grant {
            roles: roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect(),
            issued: claims["iat"].as_i64().unwrap_or(0),
            number: claims["uti"].as_str().and_then(|number| number.parse().ok()).unwrap_or(0),
        })
    }

    /// Notes that a token was refused. True if it had been refused well before: the client did not renew it.
    pub(crate) fn refused_again(&self, header: &str, now: Instant) -> bool {
        let mut refused = lock(&self.refused);
        let first = *refused.entry(header.to_owned()).or_insert(now);
        now.duration_since(first) > GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_audience_until_it_expires() {
        let mint = Mint::new(1);
        let token = format!("Bearer {}", mint.issue(Audience::Graph, &["A"], 0, Duration::from_secs(60)));
        let check =
            |header: &str, audience, second| mint.check(Some(header), audience, second * TICKS_PER_SECOND, i64::MIN);
        assert_eq!(check(&token, Audience::Graph, 59), Ok(Grant { roles: vec!["A".to_owned()], issued: 0, number: 0 }));
        assert_eq!(check(&token, Audience::Graph, 60), Err(Refusal::Expired));
        assert_eq!(check(&token, Audience::Management, 0), Err(Refusal::WrongAudience));
        assert_eq!(check(&token[7..], Audience::Graph, 0), Err(Refusal::Missing));
        assert_eq!(check(&format!("{token}x"), Audience::Graph, 0), Err(Refusal::Malformed));
        assert_eq!(check("Bearer a.b.c", Audience::Graph, 0), Err(Refusal::Malformed));
        assert_eq!(Mint::new(2).check(Some(&token), Audience::Graph, 0, i64::MIN), Err(Refusal::Malformed));
        let now = Instant::now();
        assert!(
            !mint.refused_again("x", now)
                && !mint.refused_again("x", now + GRACE)
                && mint.refused_again("x", now + 2 * GRACE)
        );
    }
}
