//! Evidence that is a resource: things that OCSF has no evidence for, and things that were attacked.
//!
//! Invariant: nothing is taken here; the evidence's `data` keeps the whole entry.

use super::super::{
    event::{Attribute, Attributes, attr},
    findings,
    record::{Node, Object},
};

/// What a type's name and id are called, where it is a thing that OCSF has no evidence for.
pub fn named<'r>(kind: &'r str, item: &'r Object<'r>, roles: &[&'r str]) -> Option<Attributes<'r>> {
    let (label, uid, name) = match kind {
        "azureResourceEvidence" => ("Azure resource", "resourceId", "resourceName"),
        "amazonResourceEvidence" => ("Amazon resource", "amazonResourceId", "resourceName"),
        "googleCloudResourceEvidence" => ("Google Cloud resource", "fullResourceName", "resourceName"),
        "cloudApplicationEvidence" => ("Cloud application", "appId", "displayName"),
        "oauthApplicationEvidence" => ("OAuth application", "appId", "displayName"),
        "servicePrincipalEvidence" => ("Service principal", "servicePrincipalObjectId", "servicePrincipalName"),
        "securityGroupEvidence" => ("Security group", "securityGroupId", "displayName"),
        "activeDirectoryDomainEvidence" => ("Active Directory domain", "", "activeDirectoryDomainName"),
        "mailClusterEvidence" => ("Mail cluster", "urn", "clusterBy"),
        "teamsMessageEvidence" => ("Teams message", "messageId", "subject"),
        "containerEvidence" => ("Container", "containerId", "name"),
        "containerImageEvidence" => ("Container image", "imageId", ""),
        "containerRegistryEvidence" => ("Container registry", "", "registry"),
        "blobEvidence" => ("Blob", "url", "name"),
        "blobContainerEvidence" => ("Blob container", "url", "name"),
        "aiAgentEvidence" => ("AI agent", "agentId", "agentName"),
        "gitHubOrganizationEvidence" => ("GitHub organization", "orgId", "displayName"),
        "gitHubRepoEvidence" => ("GitHub repository", "repoId", "login"),
        "gitHubUserEvidence" => ("GitHub user", "userId", "name"),
        "hostLogonSessionEvidence" => ("Host logon session", "sessionId", ""),
        other if other.starts_with("kubernetes") => ("Kubernetes object", "", "name"),
        _ => return None,
    };
    let azure = ["azureResourceEvidence", "amazonResourceEvidence", "googleCloudResourceEvidence"].contains(&kind);
    let role = match () {
        () if azure || roles.iter().any(|r| ["attacked", "compromised"].contains(r)) => 3,
        () if roles.iter().any(|r| ["attacker", "source"].contains(r)) => 2,
        () => 4,
    };
    // The evidence's data keeps the whole entry, so the resource only looks.
    let resource = findings::resource(label, item.peek(uid).and_then(Node::to_text), item.peek_str(name), role);
    (!resource.is_empty()).then_some(resource)
}

/// The thing of an entry that was attacked or compromised, as a resource.
pub fn affected<'r>(kind: &'r str, evidence: &Attributes<'r>) -> Option<Attributes<'r>> {
    let label = kind.strip_suffix("Evidence").unwrap_or(kind);
    let part = |object: Attribute, name: Attribute| evidence.get(object).and_then(|o| o.get(name)).cloned();
    let resource = match kind {
        "userEvidence" | "mailboxEvidence" => {
            findings::resource(label, part(attr::USER, attr::UID), part(attr::USER, attr::NAME), 3)
        }
        "deviceEvidence" => {
            findings::resource(label, part(attr::DEVICE, attr::UID), part(attr::DEVICE, attr::HOSTNAME), 3)
        }
        "ioTDeviceEvidence" => {
            findings::resource(label, part(attr::DEVICE, attr::UID), part(attr::DEVICE, attr::NAME), 3)
        }
        _ => return None,
    };
    (!resource.is_empty()).then_some(resource)
}
