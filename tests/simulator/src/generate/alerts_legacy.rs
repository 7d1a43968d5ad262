//! Graph legacy alerts (`/security/alerts`), federated over providers.
//!
//! Invariant: `createdDateTime` and `eventDateTime` lie fixed times before `lastModifiedDateTime`, the alert's own time; the tag is the provider.

use crate::template::Template;

/// How long before its last modification a legacy alert was created.
pub(crate) const CREATED_BEFORE_SECONDS: i64 = 60;
/// How long before its last modification the event of a legacy alert happened.
pub(crate) const EVENT_BEFORE_SECONDS: i64 = 1_800;

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        weight: 2,
        tag: "ASC",
        text: r#"{"id":"«id»","azureTenantId":"«tenant»","azureSubscriptionId":"«newguid»","riskScore":null,"tags":[],"activityGroupName":null,"assignedTo":null,"category":"Storage.Blob_GeoAnomaly","closedDateTime":null,"comments":[],"confidence":null,"createdDateTime":"«frac:-60»","description":"Someone has accessed the storage account 'contosoweu«int:1:9»' from an unusual location.","detectionIds":[],"eventDateTime":"«frac:-1800»","feedback":null,"incidentIds":[],"lastEventDateTime":null,"lastModifiedDateTime":"«frac»",
        "recommendedActions":["• Limit access to the storage account."«pad:text»],"severity":"«pick:low|medium»","sourceMaterials":["https://portal.azure.com/#blade/Microsoft_Azure_Security_AzureDefenderForData/AlertBlade/alertId/«id»"],"status":"newAlert","title":"Access from an unusual location to a storage blob container","CustomProperties":"[\"{\\\"Alert Id\\\":\\\"«id»\\\",\\\"API type\\\":\\\"Blob\\\",\\\"Client location\\\":\\\"«city»\\\"}\",\"\\\"InitialAccess\\\"\"]",
        "vendorInformation":{"provider":"ASC","providerVersion":null,"subProvider":"StorageThreatDetection","vendor":"Microsoft"},"alertDetections":[],"cloudAppStates":[],"fileStates":[],"hostStates":[],"historyStates":[],"investigationSecurityStates":[],"malwareStates":[],"messageSecurityStates":[],"networkConnections":[{"applicationName":null,"destinationAddress":null,"destinationPort":null,"direction":null,"protocol":"tcp","riskScore":null,"sourceAddress":"«ip4»","sourceLocation":"«city», «country»","sourcePort":null,"status":null}],"processes":[],"registryKeyStates":[],
        "securityResources":[{"resource":"/subscriptions/«newguid»/resourceGroups/rg-data/providers/Microsoft.Storage/storageAccounts/contosoweu","resourceType":"attacked"}],"triggers":[],"userStates":[],"uriClickSecurityStates":[],"vulnerabilityStates":[]}"#,
    },
    Template {
        weight: 2,
        tag: "IPC",
        text: r#"{"id":"«id»","azureTenantId":"«tenant»","azureSubscriptionId":"","riskScore":null,"tags":[],"activityGroupName":null,"assignedTo":null,"category":"UnfamiliarLocation","closedDateTime":null,"comments":[],"confidence":null,"createdDateTime":"«frac:-60»","description":"Sign-in with properties not seen recently for the given user","detectionIds":[],"eventDateTime":"«frac:-1800»","feedback":null,"incidentIds":[],"lastEventDateTime":null,"lastModifiedDateTime":"«frac»","recommendedActions":[],"severity":"«pick:low|medium|high»","sourceMaterials":[],"status":"«pick:newAlert|resolved»","title":"Unfamiliar sign-in properties",
        "vendorInformation":{"provider":"IPC","providerVersion":null,"subProvider":null,"vendor":"Microsoft"},"alertDetections":[],"cloudAppStates":[],"fileStates":[],"hostStates":[],"networkConnections":[],"processes":[],"userStates":[{"aadUserId":"«oid»","accountName":"«alias»","domainName":"contoso.com","emailRole":"unknown","isVpn":null,"logonDateTime":"«frac:-1800»","logonId":null,"logonIp":"«ip»","logonLocation":"«city», «state», «country»","logonType":null,"onPremisesSecurityIdentifier":null,"riskScore":null,"userAccountType":null,"userPrincipalName":"«upn»"}],"triggers":[],"vulnerabilityStates":[]}"#,
    },
    Template {
        weight: 2,
        tag: "Azure Sentinel",
        text: r#"{"id":"«id»","azureTenantId":"«tenant»","azureSubscriptionId":"«newguid»","riskScore":null,"tags":[],"activityGroupName":null,"assignedTo":null,"category":"«newguid»","closedDateTime":null,"comments":[],"confidence":null,"createdDateTime":"«frac:-60»","description":"Finds user agents of the last 24 hours\nthat were not seen in the 14 days before.","detectionIds":[],"eventDateTime":"«frac:-1800»","feedback":null,"incidentIds":[],"lastEventDateTime":null,"lastModifiedDateTime":"«frac»","recommendedActions":[],"severity":"low","sourceMaterials":[],"status":"newAlert","title":"Rare user agent in mailbox access",
        "vendorInformation":{"provider":"Azure Sentinel","providerVersion":null,"subProvider":null,"vendor":"Microsoft"},"alertDetections":[],"fileStates":[{"name":"«file»","path":null,"riskScore":null,"fileHash":{"hashType":"sha256","hashValue":"«hex:64»"}}],"hostStates":[{"fqdn":"«machine».contoso.com","isAzureAdJoined":null,"netBiosName":"«machine»","os":"Windows","privateIpAddress":"«ip4»","publicIpAddress":null,"riskScore":null}],"userStates":[{"aadUserId":null,"accountName":"«alias»","domainName":"contoso.com","emailRole":"unknown","logonDateTime":"«frac:-1800»","logonIp":"«ip6»","riskScore":null,"userPrincipalName":"«upn»"}]}"#,
    },
    Template {
        weight: 1,
        tag: "MCAS",
        text: r#"{"id":"«id»","azureTenantId":"«tenant»","azureSubscriptionId":null,"riskScore":null,"tags":[],"activityGroupName":null,"assignedTo":null,"category":"MCAS_ALERT_ANUBIS_DETECTION_VELOCITY","closedDateTime":null,"comments":[],"confidence":null,"createdDateTime":"«frac:-60»","description":"The user «name» was involved in an impossible travel incident.","detectionIds":[],"eventDateTime":"«frac:-1800»","feedback":null,"incidentIds":["«digits:4»"],"lastEventDateTime":null,"lastModifiedDateTime":"«frac»","recommendedActions":[],"severity":"medium","sourceMaterials":["https://contoso.portal.cloudappsecurity.com/#/alerts/«hex:24»"],"status":"newAlert","title":"Impossible travel activity",
        "vendorInformation":{"provider":"MCAS","providerVersion":"0.19.247","subProvider":"MCAS","vendor":"Microsoft"},"cloudAppStates":[{"destinationServiceIp":null,"destinationServiceName":"«app»","riskScore":null}],"userStates":[{"aadUserId":"«oid»","accountName":"«alias»","domainName":"contoso.com","emailRole":"unknown","logonIp":"«ip»","logonLocation":null,"riskScore":"0","userPrincipalName":"«upn»"}]}"#,
    },
];
