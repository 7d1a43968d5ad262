//! The login: tokens for whoever has the secret, AADSTS errors for the others.

mod client;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client::{Client, unlimited};
use m365_sim::{CLIENT_ID, CLIENT_SECRET, Faults, TENANT_ID};

/// Tenant, form fields, the AADSTS number and the error that come of them.
type Case = (&'static str, Vec<(&'static str, &'static str)>, u32, &'static str);

const GOOD: [(&str, &str); 4] = [
    ("grant_type", "client_credentials"),
    ("client_id", CLIENT_ID),
    ("client_secret", CLIENT_SECRET),
    ("scope", "https://graph.microsoft.com/.default"),
];

fn with(name: &str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    GOOD.into_iter()
        .filter_map(|(key, good)| if key == name { value.map(|value| (key, value)) } else { Some((key, good)) })
        .collect()
}

#[test]
fn a_token_for_each_scope_and_each_name_of_the_tenant() {
    let client = Client::new(unlimited(1, 0));
    let own = format!("{}/manage/.default", client.simulator.url());
    for tenant in [TENANT_ID, "contoso.com", "contoso.onmicrosoft.com"] {
        for scope in ["https://graph.microsoft.com/.default", "https://manage.office.com/.default", &own] {
            let mut fields = GOOD.to_vec();
            fields[3].1 = scope;
            let reply = client.login(tenant, &fields);
            assert_eq!(reply.status, 200, "{}", reply.body);
            assert_eq!(reply.json()["expires_in"], 3_599);
            assert_eq!(reply.json()["token_type"], "Bearer");
            assert_eq!(reply.json()["access_token"].as_str().unwrap().split('.').count(), 3);
        }
    }
}

#[test]
fn each_mistake_has_its_code() {
    let client = Client::new(unlimited(1, 0));
    let mut with_resource = GOOD.to_vec();
    with_resource.push(("resource", "https://graph.microsoft.com"));
    let cases: [Case; 10] = [
        ("fabrikam.com", GOOD.to_vec(), 90_002, "invalid_request"),
        (TENANT_ID, with("client_id", Some("00000000-0000-4000-8000-000000000000")), 700_016, "unauthorized_client"),
        (TENANT_ID, with("client_secret", Some("wrong")), 7_000_215, "invalid_client"),
        (TENANT_ID, with("client_secret", None), 7_000_218, "invalid_client"),
        (TENANT_ID, with("scope", Some("https://graph.microsoft.com/User.Read")), 70_011, "invalid_scope"),
        (TENANT_ID, with("scope", Some("https://example.net/.default")), 500_011, "invalid_resource"),
        (TENANT_ID, with("scope", None), 900_144, "invalid_request"),
        (TENANT_ID, with("grant_type", None), 900_144, "invalid_request"),
        (TENANT_ID, with("grant_type", Some("password")), 70_003, "unsupported_grant_type"),
        (TENANT_ID, with_resource, 901_002, "invalid_request"),
    ];
    for (tenant, fields, code, error) in cases {
        let reply = client.login(tenant, &fields);
        let body = reply.json();
        assert!(matches!(reply.status, 400 | 401));
        assert_eq!((&body["error_codes"][0], &body["error"]), (&code.into(), &error.into()));
        assert!(body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{code}: ")));
        assert!(!reply.body.contains(CLIENT_SECRET));
        assert_eq!(client.simulator.requests().last().unwrap().code, format!("AADSTS{code}"));
    }
    let expired = Client::new(unlimited(1, 0).with_faults(Faults { secret_expired: true, ..Faults::default() }));
    assert_eq!(expired.login(TENANT_ID, &GOOD).json()["error_codes"][0], 7_000_222);
}

#[test]
fn discovery_tells_the_tenant_id_of_a_domain() {
    let client = Client::new(unlimited(1, 0));
    let url = |tenant: &str| format!("{}/login/{tenant}/v2.0/.well-known/openid-configuration", client.simulator.url());
    let found = client.get_with(&url("contoso.com"), &[]).json();
    for member in ["issuer", "token_endpoint"] {
        assert!(found[member].as_str().unwrap().contains(TENANT_ID));
    }
    let unknown = client.get_with(&url("fabrikam.com"), &[]);
    assert_eq!((unknown.status, unknown.json()["error_codes"][0].as_u64()), (400, Some(90_002)));
}

#[test]
fn assertions_are_checked_by_their_claims() {
    let client = Client::new(unlimited(1, 0));
    let endpoint = format!("{}/login/{TENANT_ID}/oauth2/v2.0/token", client.simulator.url());
    let now = client::NOW / 1_000;
    let ask = |header: &str, claims: serde_json::Value| {
        let assertion = [header.to_owned(), claims.to_string(), "signature".to_owned()]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".");
        let mut fields = with("client_secret", None);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let more = [("client_assertion_type", kind), ("client_assertion", assertion.as_str())];
        fields.extend(more);
        let reply = client.login(TENANT_ID, &fields);
        (reply.status, reply.json()["error_codes"][0].as_u64().unwrap_or(0))
    };
    let certificate = r#"{"alg":"PS256","typ":"JWT","x5t#S256":"abc"}"#;
    let claims = |aud: &str, sub: &str, exp: i64| serde_json::json!({ "aud": aud, "iss": sub, "sub": sub, "exp": exp, "nbf": now - 60 });
    assert_eq!(ask(certificate, claims(&endpoint, CLIENT_ID, now + 300)), (200, 0));
    assert_eq!(ask(r#"{"alg":"RS256"}"#, claims("api://AzureADTokenExchange", "pod", now + 300)), (200, 0));
    assert_eq!(ask(certificate, claims(&endpoint, CLIENT_ID, now - 1)), (401, 500_133));
    assert_eq!(ask(certificate, claims("https://example.net", CLIENT_ID, now + 300)), (401, 50_012));
    assert_eq!(ask(certificate, claims(&endpoint, "someone", now + 300)), (401, 50_013));
    assert_eq!(ask(r#"{"alg":"none","x5t":"a"}"#, claims(&endpoint, CLIENT_ID, now + 300)), (401, 700_027));
    assert_eq!(ask(r#"{"alg":"PS256"}"#, claims(&endpoint, CLIENT_ID, now + 300)), (401, 700_027));
    assert_eq!(ask("header", claims(&endpoint, CLIENT_ID, now + 300)), (401, 50_013));
}
