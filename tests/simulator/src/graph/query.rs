//! Query options of the collections, and the page tokens that carry a query on.
//!
//! Invariant: an option that a collection does not document is an error, never ignored.

use super::filter::{self, Condition, Operator};
use super::{Collection, bad_request};
use crate::answer::Answer;
use crate::clock::{TICKS_PER_SECOND, Ticks};
use crate::misbehaviour::Paged;
use crate::request::Request;
use crate::token::Mint;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The most that `$top` may be (Microsoft Graph: List signIns; alerts by observation).
const TOP: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Query {
    /// Bounds on the record's own time, both inclusive.
    low: Ticks,
    high: Ticks,
    pub(super) family: String,
    pub(super) provider: Option<String>,
    pub(super) top: Option<u64>,
    pub(super) skip: u64,
    pub(super) count: bool,
    pub(super) ordered: bool,
    pub(super) descending: bool,
    /// Whether a time was compared at all.
    pub(super) has_range: bool,
    /// Whether one was compared by `gt` or `lt`.
    pub(super) exclusive: bool,
    pub(super) skip_token: Option<String>,
    /// The raw query without the page token.
    pub(super) rest: String,
}

impl Query {
    /// The bounds as a half-open stretch.
    pub(super) fn bounds(&self) -> (Ticks, Ticks) {
        (self.low, self.high.saturating_add(1))
    }
}

/// Reads the query of a request for a collection.
pub(super) fn read(collection: &Collection, beta: bool, request: &Request) -> Result<Query, Answer> {
    let token_at = ["&$skiptoken=", "$skiptoken="].iter().find_map(|name| request.query.find(name));
    if token_at.is_some_and(|at| request.query[at + 1..].contains('&')) {
        return Err(bad_request("Skip token is not valid."));
    }
    let mut query = Query {
        low: Ticks::MIN,
        high: Ticks::MAX - 1,
        family: "interactiveUser".to_owned(),
        provider: None,
        top: None,
        skip: 0,
        count: false,
        ordered: false,
        descending: true,
        has_range: false,
        exclusive: false,
        skip_token: None,
        rest: token_at.map_or_else(|| request.query.clone(), |at| request.query[..at].to_owned()),
    };
    let alerts = !collection.report;
    for (name, value) in request.parameters() {
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| bad_request(&format!("Invalid value '{value}' for {name} query option found.")))
        };
        match name.as_str() {
            "$filter" => conditions(&mut query, collection, beta, &value)?,
            "$top" => {
                let top = number()?;
                if !(1..=TOP).contains(&top) {
                    return Err(bad_request(&format!(
                        "Invalid page size specified: '{top}'. Must be between 1 and {TOP} inclusive."
                    )));
                }
                query.top = Some(top);
            }
            "$orderby" => {
                let (property, direction) = value.split_once(' ').unwrap_or((&value, "asc"));
                if !collection.times.iter().any(|(known, _)| *known == property) {
                    return Err(unknown_property(collection, property));
                }
                query.ordered = true;
                query.descending = match direction {
                    "asc" => false,
                    "desc" => true,
                    _ => {
                        return Err(bad_request(&format!(
                            "Syntax error in $orderby: '{direction}' is not asc or desc."
                        )));
                    }
                };
            }
            "$skip" if collection.skip.is_some() => query.skip = number()?,
            "$count" if alerts => query.count = value == "true",
            "$skiptoken" => query.skip_token = Some(value),
            _ => return Err(bad_request(&format!("Query option '{name}' is not allowed."))),
        }
    }
    let most = collection.skip.unwrap_or(0);
    // Legacy alerts: $skip up to 500. alerts_v2: $top and $skip together up to 6,000.
    let reach = if collection.path == "security/alerts_v2" {
        query.skip.saturating_add(query.top.unwrap_or(0))
    } else {
        query.skip
    };
    if reach > most && query.skip > 0 {
        return Err(bad_request(&format!("Invalid value for $skip: the most is {most}.")));
    }
    Ok(query)
}

fn unknown_property(collection: &Collection, property: &str) -> Answer {
    bad_request(&format!("Could not find a property named '{property}' on type '{}'.", collection.entity))
}

fn conditions(query: &mut Query, collection: &Collection, beta: bool, text: &str) -> Result<(), Answer> {
    let mut families = 0;
    for condition in filter::parse(text).map_err(|message| bad_request(&format!("Invalid filter clause: {message}")))? {
        match condition {
            Condition::Time { property, operator, at } => {
                let Some((_, before)) = collection.times.iter().find(|(known, _)| *known == property) else {
                    return Err(unknown_property(collection, &property));
                };
                let at = at.saturating_add(before * TICKS_PER_SECOND);
                let (low, high) = match operator {
                    Operator::GreaterOrEqual => (at, Ticks::MAX - 1),
                    Operator::Greater => (at.saturating_add(1), Ticks::MAX - 1),
                    Operator::LessOrEqual => (Ticks::MIN, at),
                    Operator::Less => (Ticks::MIN, at.saturating_sub(1)),
                    Operator::Equal => (at, at),
                };
                query.low = query.low.max(low);
                query.high = query.high.min(high);
                query.has_range = true;
                query.exclusive |= matches!(operator, Operator::Greater | Operator::Less);
            }
            Condition::EventType(family) => {
                families += 1;
                if collection.path != "auditLogs/signIns" || !beta {
                    return Err(unknown_property(collection, "signInEventTypes"));
                }
                if families > 1
                    || !["interactiveUser", "nonInteractiveUser", "servicePrincipal", "managedIdentity"]
                        .contains(&family.as_str())
                {
                    return Err(bad_request(
                        "Invalid filter clause: signInEventTypes must be compared with one known value.",
                    ));
                }
                query.family = family;
            }
            Condition::Provider(provider) => {
                if collection.path != "security/alerts" {
                    return Err(unknown_property(collection, "vendorInformation"));
                }
                query.provider = Some(provider);
            }
        }
    }
    Ok(())
}

/// Where the next page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// First record of the range, and the one after its last.
    pub(super) low: usize,
    pub(super) high: usize,
    /// Records of the range that earlier pages went by.
    pub(super) passed: usize,
    /// When the first page was made: later arrivals are in no page.
    pub(super) snapshot: Ticks,
    /// Records still to be left out.
    pub(super) skip: u64,
    /// The listing's number, from which the way is made in which it leads astray.
    pub(super) number: u64,
    /// How far it has gone astray.
    pub(super) round: u32,
}

impl Paged for Page {
    fn round(self) -> u32 {
        self.round
    }

    fn in_round(self, round: u32) -> Self {
        Self { round, ..self }
    }

    fn first(self) -> Self {
        Self { passed: 0, round: 0, ..self }
    }

    fn is_first(self) -> bool {
        self.passed == 0 && self.round == 0
    }
}

/// The token of a page of the query `rest`.
pub(super) fn token(mint: &Mint, page: &Page, path: &str, rest: &str) -> String {
    let state = format!("{}.{}.{}.{}.{}.{}", page.low, page.high, page.passed, page.snapshot, page.number, page.round);
    let seal = mint.seal(&format!("{state}\n{path}\n{rest}"));
    URL_SAFE_NO_PAD.encode(format!("{state}.{seal}"))
}

/// The page of a token, if it was made for exactly this path and query.
pub(super) fn resume(mint: &Mint, token: &str, path: &str, rest: &str) -> Option<Page> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (state, seal) = text.rsplit_once('.')?;
    if mint.seal(&format!("{state}\n{path}\n{rest}")) != seal {
        return None;
    }
    let mut parts = state.split('.');
    let mut index = || parts.next()?.parse().ok();
    let (low, high, passed) = (index()?, index()?, index()?);
    Some(Page {
        low,
        high,
        passed,
        snapshot: parts.next()?.parse().ok()?,
        skip: 0,
        number: parts.next()?.parse().ok()?,
        round: parts.next()?.parse().ok()?,
    })
}
