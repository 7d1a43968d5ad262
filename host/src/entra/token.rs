//! Access tokens by the client credentials grant: asked for once, kept, renewed in time.
//!
//! Invariant: for each audience at most one request for a token is under way, whoever waits for it; a refusal is
//! remembered, so that many streams with one bad secret are one request, not many. The secret is read anew for each request,
//! so that one that was exchanged is taken up.
//! Sources: Microsoft, "OAuth 2.0 client credentials flow"; "Access tokens in the Microsoft identity platform".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::clock::{Clock, Monotonic};
use super::clouds::{Cloud, Endpoints};
use super::errors::{LOOP_PAUSE, Subject};
use super::login::Login;
use super::tenant::Tenant;
use crate::foreign_text;
use crate::http::{Cancel, Error, ErrorKind, Secret, TokenProvider, Transport};

/// How long a permanent refusal is remembered, and how long a transient one that outlasted its retries.
const REMEMBER_PERMANENT: Duration = Duration::from_secs(60);
const REMEMBER_TRANSIENT: Duration = Duration::from_secs(15);
/// Tokens younger than this are renewed because a service refused them, but so often at most in this time: if it isn't
/// passing, those that follow would be refused as well.
const MIN_AGE_FOR_RENEWAL: Duration = Duration::from_secs(60);
const YOUNG_RENEWALS: usize = 3;
/// What a token's life is taken for at least and at most (Microsoft: 60 to 90 minutes), and without a readable claim. If it
/// ends earlier, the service that refuses it says so.
const LIFE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));
const LIFE_UNKNOWN: Duration = Duration::from_secs(300);
/// So many tokens more are asked for at most when the login host's first answers contradict this machine's clock: each is a
/// witness of the time.
const WITNESSES: u32 = 4;

/// Reads a secret from where it is kept.
pub type ReadSecret = Arc<dyn Fn() -> Result<Secret, Error> + Send + Sync>;

/// How the application proves who it is.
#[derive(Clone)]
pub enum Credentials {
    /// By a client secret.
    ClientSecret {
        /// The application (client) ID.
        client_id: String,
        /// Reads the secret's value. It is called before each request, since secrets are exchanged.
        secret: ReadSecret,
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
    cloud: Cloud,
    /// The secret that was read last, for when it can't be read for a moment.
    last_secret: Mutex<Option<Secret>>,
    /// How many witnesses of the time may still be asked for.
    witnesses: Mutex<u32>,
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
    /// When young tokens were last renewed because a service refused them.
    renewed_young: Vec<Instant>,
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

#[derive(Deserialize)]
struct Grant<'a> {
    access_token: String,
    /// A number in the answers of v2 and a text in others; a claim in any case.
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
}

/// How long a token is good for, by its claim and within bounds.
fn life(claim: Option<&RawValue>) -> Duration {
    let text = claim.map(RawValue::get).unwrap_or_default();
    match text.trim_matches('"').trim().parse::<f64>() {
        Ok(seconds) if seconds >= 1.0 => {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).clamp(LIFE.0, LIFE.1)
        }
        _ => LIFE_UNKNOWN,
    }
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
        let (last_secret, witnesses) = (Mutex::default(), Mutex::new(WITNESSES));
        Ok(Self { login, tenant, cloud: endpoints.cloud, last_secret, witnesses, credentials, clock, audiences })
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
                // Who asks again before that hears the same, and would take it for another failure.
                if error.retry_after.is_some() || error.kind == ErrorKind::Protocol {
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
                let token = self.settle_the_time(name, audience, token);
                let secret = token.secret.clone();
                let mut kept = lock(&audience.kept);
                kept.token = Some(token);
                kept.refusal = None;
                Ok(secret)
            }
            Err(mut error) => {
                // An expired secret is expired for all, whatever tokens are left.
                if error.kind == ErrorKind::Unauthenticated
                    && error.code != "AADSTS7000222"
                    && let Some(other) = self.accepted_elsewhere(name)
                {
                    error.message.push_str(&format!(
                        " The application's secret is taken for {other}, whose streams go on; this concerns those of {name} alone."
                    ));
                }
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

    /// Asks again while the login host contradicts this machine's clock and it isn't known which is right: no window of time
    /// is to be asked for before that.
    fn settle_the_time(&self, name: &str, audience: &Audience, mut token: Token) -> Token {
        let mut witnesses = lock(&self.witnesses);
        while *witnesses > 0 && self.login.clock_in_doubt() {
            *witnesses -= 1;
            match self.request(name, audience) {
                Ok(newer) => token = newer,
                Err(_) => break,
            }
        }
        token
    }

    /// Another audience for which the application has a token.
    fn accepted_elsewhere(&self, name: &str) -> Option<&str> {
        let others = self.audiences.iter().filter(|(other, _)| *other != name);
        others.filter(|(_, audience)| self.kept(audience).is_some()).map(|(other, _)| other.as_str()).next()
    }

    /// The secret as it is now; as it was last, if it can't be read for a moment.
    fn secret(&self, read: &ReadSecret) -> Result<Secret, Error> {
        let mut last = lock(&self.last_secret);
        match (read(), &*last) {
            (Ok(secret), _) => {
                *last = Some(secret.clone());
                Ok(secret)
            }
            (Err(error), Some(secret)) => {
                tracing::warn!("The client secret can't be read again, and the one read before is used: {error}");
                Ok(secret.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    fn request(&self, name: &str, audience: &Audience) -> Result<Token, Error> {
        let Credentials::ClientSecret { client_id, secret } = &self.credentials;
        let secret = self.secret(secret)?;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret.expose()),
            ("scope", &audience.scope),
        ];
        let subject = Subject {
            failure: format!("No token for {name} (tenant {}, application {client_id})", self.tenant),
            api: Some((audience.scope.trim_end_matches("/.default").to_owned(), self.cloud)),
        };
        // Counted from before the request, so that the token is never kept too long.
        let obtained = self.clock.now();
        let body = self.login.post(&[self.tenant.as_str(), "oauth2", "v2.0", "token"], &form, &subject)?;
        let malformed = || {
            // The answer isn't quoted: it may hold a token.
            Error::new(
                ErrorKind::Protocol,
                "token-answer",
                format!(
                    "{}: the login host's answer holds no token. Check that nothing between answers in its place.",
                    subject.failure
                ),
            )
        };
        let grant: Grant<'_> = serde_json::from_slice(&body).map_err(|_| malformed())?;
        let life = life(grant.expires_in);
        let secret = Secret::new(grant.access_token);
        foreign_text::hide_token(secret.expose());
        if secret.expose().is_empty() {
            return Err(malformed());
        }
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
        let Some(token) = self.kept(audience) else { return self.fetch(name, audience) };
        if token.secret != *refused {
            return Ok(token.secret);
        }
        let now = self.clock.now();
        if now - token.obtained >= MIN_AGE_FOR_RENEWAL {
            return self.fetch(name, audience);
        }
        {
            let renewed = &mut lock(&audience.kept).renewed_young;
            renewed.retain(|at| now - *at < MIN_AGE_FOR_RENEWAL);
            if renewed.len() >= YOUNG_RENEWALS {
                return Ok(token.secret);
            }
            renewed.push(now);
        }
        // It is as good as any if there is no other.
        Ok(self.fetch(name, audience).unwrap_or(token.secret))
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
