//! The login: Entra ID's token endpoint for client credentials, and the discovery document.
//!
//! Invariant: an error tells what a real tenant would tell (AADSTS code in `error_codes` and text) and never echoes the secret.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clock::{self, TICKS_PER_SECOND};
use crate::request::Request;
use crate::server::Tenant;
use crate::tenant::{CLIENT_ID, CLIENT_SECRET, CUSTOM_DOMAIN, DOMAIN, TENANT_ID};
use crate::token::Audience;

/// The one type of `client_assertion` (RFC 7523).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn known(tenant: &str) -> bool {
    [TENANT_ID, DOMAIN, CUSTOM_DOMAIN].iter().any(|name| name.eq_ignore_ascii_case(tenant))
}

/// `{"error", "error_description", "error_codes", …}` as Entra ID answers.
fn error(tenant: &Tenant, status: u16, error: &str, number: u32, message: &str) -> Answer {
    let (trace, correlation) = (tenant.new_guid(), tenant.new_guid());
    let timestamp = clock::millis_text(tenant.clock.now()).replace('T', " ").replace('Z', "");
    let timestamp = format!("{}Z", &timestamp[..19]);
    let text =
        format!("AADSTS{number}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}");
    let body = json!({
        "error": error, "error_description": text, "error_codes": [number], "timestamp": timestamp, "trace_id": trace,
        "correlation_id": correlation, "error_uri": format!("{}/login/error?code={number}", tenant.url),
    });
    Answer::entra(status, &format!("AADSTS{number}"), &body)
}

fn unknown_tenant(tenant: &Tenant, name: &str) -> Answer {
    error(
        tenant,
        400,
        "invalid_request",
        90_002,
        &format!(
            "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        ),
    )
}

/// `GET /login/{tenant}/v2.0/.well-known/openid-configuration`
pub(crate) fn discovery(tenant: &Tenant, name: &str) -> Answer {
    if !known(name) {
        return unknown_tenant(tenant, name);
    }
    let root = format!("{}/login/{TENANT_ID}", tenant.url);
    Answer::json(&json!({
        "token_endpoint": format!("{root}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{root}/discovery/v2.0/keys"),
        "issuer": format!("{root}/v2.0"),
        "authorization_endpoint": format!("{root}/oauth2/v2.0/authorize"),
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "msgraph_host": "graph.microsoft.com",
    }))
}

/// `POST /login/{tenant}/oauth2/v2.0/token`
pub(crate) fn token(tenant: &Tenant, name: &str, request: &Request) -> Answer {
    if !known(name) {
        return unknown_tenant(tenant, name);
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
    let field = |name: &str| {
        form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let basic = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|value| STANDARD.decode(value).ok());
    let basic = basic.and_then(|pair| String::from_utf8(pair).ok());
    let basic: Option<(String, String)> = basic.as_deref().and_then(|pair| pair.split_once(':')).map(|(id, secret)| {
        let decode = |text: &str| {
            form_urlencoded::parse(format!("v={text}").as_bytes())
                .next()
                .map_or_else(String::new, |(_, value)| value.into_owned())
        };
        (decode(id), decode(secret))
    });
    let missing = |parameter: &str| {
        error(
            tenant,
            400,
            "invalid_request",
            900_144,
            &format!("The request body must contain the following parameter: '{parameter}'."),
        )
    };
    match field("grant_type") {
        None => return missing("grant_type"),
        Some("client_credentials") => {}
        Some(other) => {
            return error(
                tenant,
                400,
                "unsupported_grant_type",
                70_003,
                &format!("The app requested an unsupported grant type '{other}'."),
            );
        }
    }
    let Some(client) = field("client_id").or(basic.as_ref().map(|(id, _)| id.as_str())) else {
        return missing("client_id");
    };
    if client != CLIENT_ID {
        return error(
            tenant,
            400,
            "unauthorized_client",
            700_016,
            &format!("Application with identifier '{client}' was not found in the directory 'Contoso'."),
        );
    }
    if field("resource").is_some() {
        return error(tenant, 400, "invalid_request", 901_002, "The 'resource' request parameter is not supported.");
    }
    let Some(scope) = field("scope") else { return missing("scope") };
    let secret = field("client_secret").or(basic.as_ref().map(|(_, secret)| secret.as_str()));
    let refused = match (secret, field("client_assertion")) {
        (Some(secret), _) => wrong_secret(tenant, client, secret),
        (None, Some(assertion)) if field("client_assertion_type") == Some(ASSERTION_TYPE) => {
            let endpoint = format!("{}{}", tenant.url, request.path);
            wrong_assertion(assertion, &endpoint, tenant.clock.now() / TICKS_PER_SECOND)
                .err()
                .map(|(number, message)| error(tenant, 401, "invalid_client", number, message))
        }
        (None, Some(_)) => Some(missing("client_assertion_type")),
        (None, None) => Some(error(
            tenant,
            401,
            "invalid_client",
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )),
    };
    if let Some(refused) = refused {
        return refused;
    }
    let Some(resource) = scope.strip_suffix("/.default").filter(|_| !scope.contains(' ')) else {
        return error(
            tenant,
            400,
            "invalid_scope",
            70_011,
            &format!(
                "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
            ),
        );
    };
    let audience = [Audience::Management, Audience::Graph].into_iter().find(|audience| {
        resource == audience.public_root() || resource == format!("{}{}", tenant.url, audience.path())
    });
    let Some(audience) = audience else {
        return error(
            tenant,
            400,
            "invalid_resource",
            500_011,
            &format!("The resource principal named {resource} was not found in the tenant named Contoso."),
        );
    };
    let missing_roles = &tenant.options.faults.missing_roles;
    let roles: Vec<&str> = audience.roles().iter().copied().filter(|role| !missing_roles.contains(*role)).collect();
    let token = tenant.mint.issue(audience, &roles, tenant.clock.now(), tenant.options.token_lifetime);
    let seconds = tenant.options.token_lifetime.as_secs();
    Answer::json(
        &json!({ "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token }),
    )
    .header("cache-control", "no-store, no-cache")
}

fn wrong_secret(tenant: &Tenant, client: &str, secret: &str) -> Option<Answer> {
    if secret != CLIENT_SECRET {
        let message = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
        );
        return Some(error(tenant, 401, "invalid_client", 7_000_215, &message));
    }
    tenant.options.faults.secret_expired.then(|| {
        let message = format!("The provided client secret keys for app '{client}' are expired.");
        error(tenant, 401, "invalid_client", 7_000_222, &message)
    })
}

/// Checks the claims of a client assertion: a certificate's (`iss` and `sub` are the client, `aud` is the token endpoint) or that of a
/// federated identity provider (`aud` is `api://AzureADTokenExchange`). No key is registered, so the signature is not checked.
fn wrong_assertion(assertion: &str, endpoint: &str, now: i64) -> Result<(), (u32, &'static str)> {
    let malformed = (50_013, "Assertion failed signature validation: it is no JWT of three parts.");
    let mut parts = assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let (Some(Some(header)), Some(Some(claims)), Some(Some(signature)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    let header: Value = serde_json::from_slice(&header).map_err(|_| malformed)?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| malformed)?;
    if signature.is_empty() || !matches!(header["alg"].as_str(), Some("PS256" | "RS256")) {
        return Err((700_027, "Client assertion failed signature validation: the algorithm must be PS256 or RS256."));
    }
    let expiry = claims["exp"].as_i64().unwrap_or(0);
    if expiry <= now || claims["nbf"].as_i64().is_some_and(|begin| begin > now) {
        return Err((500_133, "Assertion is not within its valid time range."));
    }
    if claims["aud"] == "api://AzureADTokenExchange" {
        return Ok(());
    }
    if header.get("x5t").or(header.get("x5t#S256")).is_none() {
        return Err((
            700_027,
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        ));
    }
    if claims["iss"] != claims["sub"] || claims["sub"] != CLIENT_ID {
        return Err((50_013, "Assertion is invalid: issuer and subject must be the client."));
    }
    if claims["aud"] != endpoint {
        return Err((50_012, "Assertion audience is not the token endpoint."));
    }
    Ok(())
}
