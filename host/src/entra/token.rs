//! Access tokens by the client credentials grant: asked for once, kept, renewed in time.
//!
//! Invariant: for each audience at most one request for a token is under way, whoever waits for it; a refusal is
//! remembered, so that many streams with one bad secret are one request, not many.
//! Sources: Microsoft, "OAuth 2.0 client credentials flow"; "Access tokens in the Microsoft identity platform".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::clock::{Clock, Monotonic};
use super::clouds::Endpoints;
use super::errors::{LOOP_PAUSE, Subject};
use super::login::Login;
use super::tenant::Tenant;
use crate::http::{Cancel, Error, ErrorKind, Secret, TokenProvider, Transport};

/// How long a permanent refusal is remembered, and how long a transient one that outlasted its retries.
const REMEMBER_PERMANENT: Duration = Duration::from_secs(60);
const REMEMBER_TRANSIENT: Duration = Duration::from_secs(15);
/// A token younger than this isn't renewed because a service refused it: the next would be refused as well.
const MIN_AGE_FOR_RENEWAL: Duration = Duration::from_secs(60);

/// How the application proves who it is.
#[derive(Clone)]
pub enum Credentials {
    /// By a client secret.
    ClientSecret {
        /// The application (client) ID.
        client_id: String,
        /// The secret's value.
        secret: Secret,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientSecret { client_id, .. } => {
                write!(f, "ClientSecret({client_id}, [redacted])")
            }
        }
    }
}

/// Issues tokens for the audiences of one tenant.
pub struct TokenSource {
    login: Login,
    tenant: Tenant,
    credentials: Credentials,
    clock: Arc<dyn Clock>,
    audiences: BTreeMap<String, Audience>,
}

struct Audience {
    scope: String,
    /// Held only to look or to write.
    kept: Mutex<Kept>,
    /// Held while a token is asked for.
    flight: Mutex<()>,
}

#[derive(Default)]
struct Kept {
    token: Option<Token>,
    /// The last refusal, and until when it is given out without asking again.
    refusal: Option<(Error, Instant)>,
}

#[derive(Clone)]
struct Token {
    secret: Secret,
    obtained: Instant,
    renew_at: Instant,
    /// When it stops being given out, a little before it runs out.
    until: Instant,
}

impl Token {
    fn new(secret: Secret, obtained: Instant, life: Duration) -> Self {
        let early = life.mul_f64(0.75);
        let renew_after = match life.checked_sub(Duration::from_secs(300)) {
            Some(rest) if rest >= early / 2 => early.min(rest),
            _ => early,
        };
        let margin = Duration::from_secs(30).min(life / 10);
        Self { secret, obtained, renew_at: obtained + renew_after, until: obtained + life - margin }
    }
}

/// `expires_in` is a number in the answers of v2 and a text in others.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    expires_in: Seconds,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is written whole or not at all, so a panic elsewhere doesn't spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TokenSource {
    /// Makes a source of tokens for the audiences of `endpoints`. Nothing is asked for yet. A wait inside ends when
    /// `cancel` is set.
    pub fn new(
        tenant: Tenant,
        endpoints: &Endpoints,
        credentials: Credentials,
        transport: Transport,
        cancel: Cancel,
    ) -> Result<Self, Error> {
        Self::with_clock(tenant, endpoints, credentials, transport, cancel, Arc::new(Monotonic))
    }

    fn with_clock(
        tenant: Tenant,
        endpoints: &Endpoints,
        credentials: Credentials,
        transport: Transport,
        cancel: Cancel,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let login = Login::new(&endpoints.login, transport, Arc::clone(&clock), cancel)?;
        let audiences = endpoints
            .audiences
            .iter()
            .map(|(name, endpoint)| {
                (
                    name.clone(),
                    Audience { scope: endpoint.scope.clone(), kept: Mutex::default(), flight: Mutex::default() },
                )
            })
            .collect();
        Ok(Self { login, tenant, credentials, clock, audiences })
    }

    /// Forgets every token and refusal. Newly granted permissions are only in new tokens.
    pub fn forget(&self) {
        for audience in self.audiences.values() {
            *lock(&audience.kept) = Kept::default();
        }
    }

    fn audience(&self, name: &str) -> Result<&Audience, Error> {
        self.audiences.get(name).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                "audience",
                format!("No endpoint is configured for the audience {name:?}."),
            )
        })
    }

    /// A kept token that can still be used.
    fn kept(&self, audience: &Audience) -> Option<Token> {
        let now = self.clock.now();
        lock(&audience.kept).token.clone().filter(|token| now < token.until)
    }

    /// The remembered refusal, if it still counts.
    fn refused(&self, audience: &Audience) -> Result<(), Error> {
        let now = self.clock.now();
        match &lock(&audience.kept).refusal {
            Some((error, until)) if now < *until => {
                let mut error = error.clone();
                if error.retry_after.is_some() {
                    error.retry_after = Some(*until - now);
                }
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Asks for a token and keeps it, or remembers the refusal. The caller holds `flight`.
    fn fetch(&self, name: &str, audience: &Audience) -> Result<Secret, Error> {
        self.refused(audience)?;
        match self.request(name, audience) {
            Ok(token) => {
                let secret = token.secret.clone();
                *lock(&audience.kept) = Kept { token: Some(token), refusal: None };
                Ok(secret)
            }
            Err(error) => {
                if error.kind != ErrorKind::Cancelled {
                    tracing::warn!(
                        audience = name,
                        kind = error.kind.as_str(),
                        code = error.code,
                        "no token: {}",
                        error.message
                    );
                    let pause = match error.kind {
                        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Protocol => REMEMBER_TRANSIENT,
                        _ => REMEMBER_PERMANENT,
                    };
                    // A service that asks for days is asked again after the pause of a loop, its longest own one.
                    let pause = error.retry_after.map_or(pause, |wait| wait.max(pause).min(LOOP_PAUSE.max(pause)));
                    lock(&audience.kept).refusal = Some((error.clone(), self.clock.now() + pause));
                }
                Err(error)
            }
        }
    }

    fn request(&self, name: &str, audience: &Audience) -> Result<Token, Error> {
        let Credentials::ClientSecret { client_id, secret } = &self.credentials;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret.expose()),
            ("scope", &audience.scope),
        ];
        let subject =
            Subject { failure: format!("No token for {name} (tenant {}, application {client_id})", self.tenant) };
        // Counted from before the request, so that the token is never kept too long.
        let obtained = self.clock.now();
        let body = self.login.post(&[self.tenant.as_str(), "oauth2", "v2.0", "token"], &form, &subject)?;
        let malformed = || {
            // The answer isn't quoted: it may hold a token.
            Error::new(
                ErrorKind::Protocol,
                "token-answer",
                format!(
                    "{}: the login host's answer holds no token with a lifetime. Check that nothing between answers in its place.",
                    subject.failure
                ),
            )
        };
        let grant: Grant = serde_json::from_slice(&body).map_err(|_| malformed())?;
        let secret = Secret::new(grant.access_token);
        let life = match grant.expires_in {
            Seconds::Number(seconds) => seconds,
            Seconds::Text(text) => text.trim().parse().map_err(|_| malformed())?,
        };
        if secret.expose().is_empty() || life == 0 {
            return Err(malformed());
        }
        // Lives are about an hour; a day bounds what an odd answer can do.
        let life = Duration::from_secs(life.min(24 * 60 * 60));
        tracing::info!(audience = name, life_s = life.as_secs(), "token issued");
        Ok(Token::new(secret, obtained, life))
    }
}

impl TokenProvider for TokenSource {
    fn token(&self, name: &str) -> Result<Secret, Error> {
        let audience = self.audience(name)?;
        if let Some(token) = self.kept(audience) {
            let due = self.clock.now() >= token.renew_at;
            if !due {
                return Ok(token.secret);
            }
            // One caller renews; the others, and it too if that fails, go on with what they have.
            let _flight = match audience.flight.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return Ok(token.secret),
            };
            return match self.kept(audience) {
                Some(newer) if newer.obtained > token.obtained => Ok(newer.secret),
                _ => Ok(self.fetch(name, audience).unwrap_or(token.secret)),
            };
        }
        let _flight = lock(&audience.flight);
        match self.kept(audience) {
            Some(token) => Ok(token.secret),
            None => self.fetch(name, audience),
        }
    }

    fn renew(&self, name: &str, refused: &Secret) -> Result<Secret, Error> {
        let audience = self.audience(name)?;
        let _flight = lock(&audience.flight);
        if let Some(token) = self.kept(audience)
            && (token.secret != *refused || self.clock.now() - token.obtained < MIN_AGE_FOR_RENEWAL)
        {
            return Ok(token.secret);
        }
        self.fetch(name, audience)
    }

    fn clock_ahead_ms(&self) -> i64 {
        self.login.clock_ahead_ms()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("tenant", &self.tenant)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
