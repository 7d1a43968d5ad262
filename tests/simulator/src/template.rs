//! Record templates: text in the shape of a real record with marked places, turned into variants that render in under a microsecond.
//!
//! Invariant: a rendered record depends on the template text, the seed and the record's own number and time alone.
//!
//! A place is written `«name»` or `«name:argument»`. Some are filled once for each variant (people, machines, addresses, choices), the
//! others for each record:
//!
//! | place | filled for each record with |
//! |---|---|
//! | `id` | the record's id, a GUID |
//! | `guid`, `guid:x` | another GUID; the same letter gives the same GUID within a record |
//! | `token` | the id as base64, the way sign-ins spell a token identifier |
//! | `digits:n` | n decimal digits |
//! | `time:s` | `YYYY-MM-DDTHH:MM:SS`, the record's time plus s seconds |
//! | `frac:s` | the same with seven fraction digits and `Z` |
//! | `american:s` | `9/2/2024 3:24:59 AM` |
//! | `millis:s` | milliseconds since 1970 |

use base64::{Engine, engine::general_purpose::STANDARD};
use fastrand::Rng;

use crate::clock::{self, TICKS_PER_MS, TICKS_PER_SECOND, Ticks};
use crate::tenant::{
    APPS, BROWSERS, CUSTOM_DOMAIN, DOMAIN, FILES, MACHINES, PEOPLE, PLACES, SITES, SUBJECTS, TENANT_ID, WORKLOADS,
};

/// One kind of record of a stream.
pub(crate) struct Template {
    /// How often the kind occurs, relative to the other templates of the stream.
    pub(crate) weight: u32,
    /// What the record is filtered by beside its time, such as the provider of a legacy alert; empty if nothing.
    pub(crate) tag: &'static str,
    /// The record with its places. Line breaks and the indentation after them are not part of it.
    pub(crate) text: &'static str,
}

/// Where a stream's spelling differs from plain JSON.
#[derive(Clone, Copy)]
pub(crate) struct Dialect {
    /// Some records spell `/` as `\/` and non-ASCII characters as `\u` escapes.
    pub(crate) escapes: bool,
    /// Least size in bytes to aim for, or 0.
    pub(crate) record_bytes: usize,
}

/// What differs between two records of one variant.
#[derive(Clone, Copy)]
pub(crate) struct Filling {
    /// Determines the record's id.
    pub(crate) id: u64,
    /// Determines every other GUID and number.
    pub(crate) rest: u64,
    /// The record's own time.
    pub(crate) at: Ticks,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Box<[u8]>),
    Id,
    Guid(u64),
    Token,
    Digits(u32),
    Time(Ticks),
    Fraction(Ticks),
    American(Ticks),
    Millis(Ticks),
}

/// A template with everything filled that two of its records share.
#[derive(Debug, PartialEq)]
pub(crate) struct Variant {
    pub(crate) tag: &'static str,
    pieces: Vec<Piece>,
}

/// Spreads the bits of `value` evenly (SplitMix64's finaliser).
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Appends a version 4 GUID that `key` determines.
pub(crate) fn write_guid(out: &mut Vec<u8>, key: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let high = (mix(key) & !0xF000) | 0x4000;
    let low = (mix(key ^ 0x5EED_0F1D_5EED_0F1D) & !(0b11 << 62)) | (0b10 << 62);
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in high.to_be_bytes().into_iter().chain(low.to_be_bytes()).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    out.extend_from_slice(&text);
}

impl Variant {
    pub(crate) fn render(&self, filling: Filling, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Id => write_guid(out, filling.id),
                Piece::Guid(salt) => write_guid(out, mix(filling.rest ^ salt)),
                Piece::Token => {
                    let mut id = Vec::with_capacity(36);
                    write_guid(&mut id, filling.id);
                    out.extend_from_slice(STANDARD.encode(id).as_bytes());
                }
                Piece::Digits(count) => {
                    let mut value = mix(filling.rest ^ u64::from(*count));
                    for place in 0..*count {
                        // The first digit is never zero: some of these stand as JSON numbers.
                        let digit = if place == 0 { 1 + value % 9 } else { value % 10 };
                        out.push(b'0' + digit as u8);
                        value = if value < 10 { mix(filling.rest ^ u64::from(place)) } else { value / 10 };
                    }
                }
                Piece::Time(offset) => clock::write_seconds(out, filling.at + offset),
                Piece::Fraction(offset) => {
                    clock::write_seconds(out, filling.at + offset);
                    clock::write_fraction(out, filling.at + offset, 7);
                    out.push(b'Z');
                }
                Piece::American(offset) => clock::write_american(out, filling.at + offset),
                Piece::Millis(offset) => {
                    out.extend_from_slice(((filling.at + offset) / TICKS_PER_MS).to_string().as_bytes());
                }
            }
        }
    }
}

/// Makes about `count` different variants of `templates`, each kind as often as its weight says and at least once.
pub(crate) fn variants(templates: &'static [Template], count: usize, dialect: Dialect, seed: u64) -> Vec<Variant> {
    let mut rng = Rng::with_seed(seed);
    let total: u32 = templates.iter().map(|template| template.weight).sum();
    let mut made: Vec<Variant> = Vec::new();
    let mut texts = std::collections::HashSet::new();
    for template in templates {
        let share = (count * template.weight as usize).div_ceil(total.max(1) as usize).max(1);
        for _ in 0..share {
            let variant = compile(template, dialect, &mut rng);
            let mut text = Vec::new();
            variant.render(Filling { id: 0, rest: 0, at: 0 }, &mut text);
            if texts.insert(text) {
                made.push(variant);
            }
        }
    }
    rng.shuffle(&mut made);
    made
}

enum Part {
    Fixed(String),
    Varying(Piece),
    /// A place for further list items of a shape.
    Pad(String),
}

fn compile(template: &'static Template, dialect: Dialect, rng: &mut Rng) -> Variant {
    let scene = Scene::new(rng);
    let mut parts = Vec::new();
    let mut text: String = template.text.lines().map(str::trim_start).collect();
    while let Some((before, rest)) = text.split_once('«') {
        let (place, after) = rest.split_once('»').unwrap_or((rest, ""));
        parts.push(Part::Fixed(before.to_owned()));
        parts.push(scene.fill(place, rng));
        text = after.to_owned();
    }
    parts.push(Part::Fixed(text));
    if dialect.record_bytes > 0 {
        pad(&mut parts, dialect.record_bytes, rng);
    }
    let escapes = if dialect.escapes { rng.u8(0..10) } else { 9 };
    let mut pieces: Vec<Piece> = Vec::new();
    let mut pending = String::new();
    for part in parts {
        match part {
            Part::Fixed(text) => pending.push_str(&text),
            Part::Pad(_) => {}
            Part::Varying(piece) => {
                flush(&mut pieces, &mut pending, escapes);
                pieces.push(piece);
            }
        }
    }
    flush(&mut pieces, &mut pending, escapes);
    Variant { tag: template.tag, pieces }
}

fn flush(pieces: &mut Vec<Piece>, pending: &mut String, escapes: u8) {
    if pending.is_empty() {
        return;
    }
    let text = match escapes {
        0 | 1 => pending.replace('/', "\\/"),
        2 => pending.chars().map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) }).collect(),
        _ => pending.clone(),
    };
    pieces.push(Piece::Text(text.into_bytes().into_boxed_slice()));
    pending.clear();
}

fn escaped(c: char) -> String {
    let mut units = [0; 2];
    c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Grows the record to about `target` bytes by further items of a list it has anyway, or by further extended properties.
fn pad(parts: &mut Vec<Part>, target: usize, rng: &mut Rng) {
    let natural: usize = parts
        .iter()
        .map(|part| match part {
            Part::Fixed(text) => text.len(),
            Part::Varying(Piece::Id | Piece::Guid(_)) => 36,
            Part::Varying(Piece::Token) => 48,
            Part::Varying(Piece::Fraction(_)) => 28,
            Part::Varying(_) => 19,
            Part::Pad(_) => 0,
        })
        .sum();
    let missing = target.saturating_sub(natural);
    let (slot, kind) = match parts.iter().position(|part| matches!(part, Part::Pad(_))) {
        Some(at) => {
            let kind = match &parts[at] {
                Part::Pad(kind) => kind.clone(),
                _ => String::new(),
            };
            (at, kind)
        }
        None => {
            // Templates without a list of their own get extended properties before the closing brace.
            let Some(Part::Fixed(last)) = parts.last_mut() else { return };
            let Some(open) = last.strip_suffix('}').map(str::to_owned) else { return };
            *last = format!(r#"{open},"ExtendedProperties":[{{"Name":"ResultStatusDetail","Value":"Success"}}"#);
            parts.push(Part::Fixed("]}".to_owned()));
            (parts.len() - 1, "nv".to_owned())
        }
    };
    let mut items = String::new();
    while items.len() < missing {
        let hex = hexadecimal(rng, 24);
        let item = match kind.as_str() {
            "policy" => format!(
                r#",{{"id":"{}","displayName":"CA{:03} Require MFA for {}","enforcedGrantControls":["Mfa"],"enforcedSessionControls":[],"result":"notApplied"}}"#,
                guid_text(rng),
                rng.u16(1..999),
                SITES[rng.usize(..SITES.len())]
            ),
            "kv" => format!(r#",{{"key":"TargetId.{}","value":"{hex}"}}"#, rng.u16(1..999)),
            "mail" => format!(
                r#",{{"InternetMessageId":"<{hex}@eurprd04.prod.outlook.com>","SizeInBytes":{}}}"#,
                rng.u32(900..90_000)
            ),
            "evidence" => format!(
                r##",{{"@odata.type":"#microsoft.graph.security.urlEvidence","createdDateTime":"2026-01-15T09:30:00.1234567Z","verdict":"suspicious","remediationStatus":"none","remediationStatusDetails":null,"roles":[],"detailedRoles":[],"tags":[],"url":"https://login.example.net/{hex}"}}"##
            ),
            "text" => format!(r#","Investigate sign-in {hex}.""#),
            _ => format!(r#",{{"Name":"additionalDetails{}","Value":"{hex}"}}"#, rng.u16(1..999)),
        };
        if items.len() + item.len() / 2 > missing {
            break;
        }
        items.push_str(&item);
    }
    parts.insert(slot, Part::Fixed(items));
}

fn hexadecimal(rng: &mut Rng, digits: usize) -> String {
    (0..digits).map(|_| char::from(b"0123456789abcdef"[rng.usize(..16)])).collect()
}

fn guid_text(rng: &mut Rng) -> String {
    let mut out = Vec::with_capacity(36);
    write_guid(&mut out, rng.u64(..));
    String::from_utf8_lossy(&out).into_owned()
}

/// Who, where and what the variant is about.
struct Scene {
    person: usize,
    other: usize,
    place: usize,
    app: usize,
    workload: usize,
    machine: usize,
    browser: usize,
    file: usize,
    site: usize,
    host: u8,
}

impl Scene {
    fn new(rng: &mut Rng) -> Self {
        let person = rng.usize(..PEOPLE.len());
        Self {
            person,
            other: (person + rng.usize(1..PEOPLE.len())) % PEOPLE.len(),
            place: rng.usize(..PLACES.len()),
            app: rng.usize(..APPS.len()),
            workload: rng.usize(..WORKLOADS.len()),
            machine: rng.usize(..MACHINES.len()),
            browser: rng.usize(..BROWSERS.len()),
            file: rng.usize(..FILES.len()),
            site: rng.usize(..SITES.len()),
            host: rng.u8(1..254),
        }
    }

    fn fill(&self, place: &str, rng: &mut Rng) -> Part {
        let (name, argument) = place.split_once(':').unwrap_or((place, ""));
        let offset = || argument.parse::<i64>().unwrap_or(0) * TICKS_PER_SECOND;
        let piece = match name {
            "id" => Piece::Id,
            "guid" => Piece::Guid(match argument.as_bytes().first() {
                Some(letter) => u64::from(*letter),
                None => rng.u64(1 << 32..),
            }),
            "token" => Piece::Token,
            "digits" => Piece::Digits(argument.parse().unwrap_or(6)),
            "time" => Piece::Time(offset()),
            "frac" => Piece::Fraction(offset()),
            "american" => Piece::American(offset()),
            "millis" => Piece::Millis(offset()),
            "pad" => return Part::Pad(argument.to_owned()),
            _ => return Part::Fixed(self.fixed(name, argument, rng)),
        };
        Part::Varying(piece)
    }

    fn fixed(&self, name: &str, argument: &str, rng: &mut Rng) -> String {
        let (person, other) = (&PEOPLE[self.person], &PEOPLE[self.other]);
        let place = &PLACES[self.place];
        let (app, workload) = (APPS[self.app], WORKLOADS[self.workload]);
        let (agent, browser, system) = BROWSERS[self.browser];
        let (file, extension) = FILES[self.file];
        let upn = |alias: &str| format!("{alias}@{CUSTOM_DOMAIN}");
        let v4 = |host: u8| format!("{}.{host}", ["192.0.2", "198.51.100", "203.0.113"][usize::from(host) % 3]);
        let v6 = |host: u8| format!("2001:db8:{:x}:{host:x}::{:x}", 0x4a0 + u16::from(host), host ^ 0x3c);
        match name {
            "tenant" => TENANT_ID.to_owned(),
            "domain" => DOMAIN.to_owned(),
            "upn" => upn(person.alias),
            "UPN" => upn(person.alias).to_uppercase(),
            "alias" => person.alias.to_owned(),
            "personal" => format!("{}_contoso_com", person.alias.replace('.', "_")),
            "name" => person.name.to_owned(),
            "oid" => person.id.to_owned(),
            "puid" => person.puid.to_owned(),
            "lpuid" => person.puid.to_lowercase(),
            "sid" => person.sid.to_owned(),
            "upn2" => upn(other.alias),
            "name2" => other.name.to_owned(),
            "oid2" => other.id.to_owned(),
            "puid2" => other.puid.to_owned(),
            "ip" => match self.host % 4 {
                0 => v6(self.host),
                _ => v4(self.host),
            },
            "ip4" => v4(self.host),
            "ip6" => v6(self.host),
            // How Exchange and SharePoint spell the client's address, with and without port and brackets.
            "clientip" => match self.host % 8 {
                0 => format!("{}:{}", v4(self.host), rng.u16(1_024..)),
                1 => format!("[{}]:{}", v6(self.host), rng.u16(1_024..)),
                2 => format!("[{}]", v6(self.host)),
                3 => format!("::ffff:{}", v4(self.host)),
                4 => v6(self.host),
                _ => v4(self.host),
            },
            "city" => place.city.to_owned(),
            "state" => place.state.to_owned(),
            "country" => place.country.to_owned(),
            "latitude" => place.latitude.to_owned(),
            "longitude" => place.longitude.to_owned(),
            "app" => app.0.to_owned(),
            "appid" => app.1.to_owned(),
            "workload" => workload.0.to_owned(),
            "workloadapp" => workload.1.to_owned(),
            "workloadid" => workload.2.to_owned(),
            "machine" => MACHINES[self.machine].to_owned(),
            "agent" => agent.to_owned(),
            "browser" => browser.to_owned(),
            "os" => system.to_owned(),
            "file" => file.to_owned(),
            "extension" => extension.to_owned(),
            "site" => SITES[self.site].to_owned(),
            "subject" => SUBJECTS[rng.usize(..SUBJECTS.len())].to_owned(),
            "server" => format!(
                "AM0PR0{}MB{} (15.20.{}.{:03})",
                rng.u8(1..9),
                rng.u16(1_000..9_999),
                rng.u16(9_000..9_400),
                rng.u8(10..40)
            ),
            "hex" => hexadecimal(rng, argument.parse().unwrap_or(16)),
            "newguid" => guid_text(rng),
            "int" => {
                let (low, high) = argument.split_once(':').unwrap_or(("0", argument));
                let low: i64 = low.parse().unwrap_or(0);
                rng.i64(low..=high.parse().unwrap_or(low).max(low)).to_string()
            }
            "pick" => {
                let choices: Vec<&str> = argument.split('|').collect();
                choices[rng.usize(..choices.len())].to_owned()
            }
            "mails" => mails(rng),
            // Every name in use is in the tests: an unknown one would show as itself.
            _ => format!("«{name}»"),
        }
    }
}

/// One to twelve items that a MailItemsAccessed record lists.
fn mails(rng: &mut Rng) -> String {
    let items: Vec<String> = (0..rng.usize(1..=12))
        .map(|_| {
            format!(
                r#"{{"InternetMessageId":"<{}@eurprd04.prod.outlook.com>","SizeInBytes":{}}}"#,
                hexadecimal(rng, 40).to_uppercase(),
                rng.u32(900..90_000)
            )
        })
        .collect();
    items.join(",")
}
