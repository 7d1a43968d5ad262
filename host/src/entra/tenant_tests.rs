//! Tenants as people write them, and their look-up.

use super::*;
use crate::entra::Cloud;
use crate::http::stand_in::{StandIn, reply};

const ID: &str = "0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d";

fn look_up(server: &StandIn, tenant: &str) -> Result<String, Error> {
    let mut endpoints = Endpoints::new(Cloud::GccHigh);
    endpoints.login = server.url.parse().unwrap();
    tenant_id(&tenant.parse()?, &endpoints, Transport::default(), &Cancel::new())
}

fn serving(status: u16, body: String) -> StandIn {
    StandIn::start(move |_, stream| reply(stream, status, &[], body.as_bytes()))
}

#[test]
fn an_id_needs_no_look_up() {
    let server = serving(500, String::new());
    assert_eq!(look_up(&server, &format!(" {} ", ID.to_uppercase())).as_deref(), Ok(ID));
    assert!(server.received().is_empty());
}

#[test]
fn a_domain_is_looked_up_by_discovery() {
    for key in ["issuer", "token_endpoint"] {
        let address = format!("https://login.example.com/{}/v2.0", ID.to_uppercase());
        let server = serving(200, serde_json::json!({ key: address }).to_string());
        assert_eq!(look_up(&server, "Contoso.onmicrosoft.com").as_deref(), Ok(ID));
        assert_eq!(server.received()[0].target, "/contoso.onmicrosoft.com/v2.0/.well-known/openid-configuration");
        assert_eq!(server.received()[0].header("authorization"), None);
    }
}

#[test]
fn a_tenant_that_is_not_in_the_cloud_is_told() {
    let server = serving(400, r#"{"error":"invalid_tenant","error_codes":[90002]}"#.to_owned());
    let error = look_up(&server, "contoso.com").unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::InvalidConfig, "AADSTS90002"));
    assert!(error.message.starts_with("Tenant contoso.com was not found in the cloud gcc-high."), "{}", error.message);
    assert_eq!(server.received().len(), 1, "it is not tried again");
}

#[test]
fn answers_without_an_id_are_told() {
    for body in ["<html>", "{}", r#"{"issuer":"https://login.example.com/common/v2.0"}"#, r#"{"issuer":7}"#] {
        let error = look_up(&serving(200, body.to_owned()), "contoso.com").unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, "discovery"), "{body}");
    }
}

#[test]
fn what_is_no_tenant_is_refused_before_any_request() {
    let server = serving(200, String::new());
    for text in [
        "",
        "common",
        "organizations",
        "consumers",
        "contoso",
        "contoso..com",
        ".com",
        "contoso.com/evil",
        "a b.com",
        "../contoso.com",
        "contoso.com?x",
        "0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4",
        "cöntoso.com",
        "contoso.com\r\nx",
    ] {
        let error = look_up(&server, text).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::InvalidConfig, "tenant"), "{text:?}");
    }
    assert!(server.received().is_empty());
}
