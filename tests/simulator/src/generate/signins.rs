//! Graph sign-ins, one table for each family.
//!
//! Invariant: interactive records have the v1.0 shape, without `signInEventTypes`; the three families that only beta serves have theirs.

use crate::template::Template;

pub(super) const INTERACTIVE: &[Template] = &[
    Template {
        weight: 70,
        tag: "",
        text: r#"{"id":"«id»","createdDateTime":"«time»Z","userDisplayName":"«name»","userPrincipalName":"«upn»","userId":"«oid»","appId":"«appid»","appDisplayName":"«app»","ipAddress":"«ip»","clientAppUsed":"«pick:Browser|Browser|Mobile Apps and Desktop clients|IMAP4»","correlationId":"«guid:c»",
        "conditionalAccessStatus":"«pick:success|notApplied|success»","isInteractive":true,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"«pick:none|none|low|medium|hidden»","riskState":"none","riskEventTypes":[],"riskEventTypes_v2":[],"resourceDisplayName":"«pick:Microsoft Graph|Office 365 Exchange Online|Windows Azure Service Management API»",
        "resourceId":"00000003-0000-0000-c000-000000000000","status":{"errorCode":0,"failureReason":"Other.","additionalDetails":"«pick:MFA requirement satisfied by claim in the token|MFA completed in Azure AD»"},"deviceDetail":{"deviceId":"«pick:|3b5c8e17-92d4-4f60-8a1b-d7e6c0f42953»","displayName":"«machine»","operatingSystem":"«os»","browser":"«browser»","isCompliant":«pick:true|false»,"isManaged":false,"trustType":"«pick:|Azure AD registered|Hybrid Azure AD joined»"},
        "location":{"city":"«city»","state":"«state»","countryOrRegion":"«country»","geoCoordinates":«pick:{"altitude":null,"latitude":47.60357,"longitude":-122.32945}|{"altitude":null,"latitude":8.55,"longitude":47.36667}|{}»},"appliedConditionalAccessPolicies":[{"id":"SecurityDefaults","displayName":"Security Defaults","enforcedGrantControls":["Mfa"],"enforcedSessionControls":[],"result":"success"}«pad:policy»]}"#,
    },
    Template {
        weight: 30,
        tag: "",
        text: r#"{"id":"«id»","createdDateTime":"«time»Z","userDisplayName":"«name»","userPrincipalName":"«upn»","userId":"«oid»","appId":"«appid»","appDisplayName":"«app»","ipAddress":"«ip»","clientAppUsed":"Browser","correlationId":"«guid:c»","conditionalAccessStatus":"«pick:failure|notApplied»","isInteractive":true,
        "riskDetail":"none","riskLevelAggregated":"«pick:none|low|high»","riskLevelDuringSignIn":"«pick:none|medium|high»","riskState":"«pick:none|atRisk»","riskEventTypes":[],"riskEventTypes_v2":[«pick:|"unfamiliarFeatures"|"anonymizedIPAddress"»],"resourceDisplayName":"«pick:Microsoft Graph|Windows Azure Service Management API»","resourceId":"00000003-0000-0000-c000-000000000000",
        "status":«pick:{"errorCode":50126,"failureReason":"Error validating credentials due to invalid username or password.","additionalDetails":"The user did not enter the right credentials. \u00a0Some of these are to be expected."}|{"errorCode":50074,"failureReason":"Strong Authentication is required.","additionalDetails":"MFA required in Azure AD"}|{"errorCode":50053,"failureReason":"Account is locked because user tried to sign in too many times.","additionalDetails":null}|{"errorCode":53003,"failureReason":"Access has been blocked by Conditional Access policies.","additionalDetails":null}»,
        "deviceDetail":{"deviceId":"","displayName":"","operatingSystem":"«os»","browser":"«browser»","isCompliant":false,"isManaged":false,"trustType":""},"location":{"city":"«city»","state":"«state»","countryOrRegion":"«country»","geoCoordinates":{"altitude":null,"latitude":«latitude»,"longitude":«longitude»}},"appliedConditionalAccessPolicies":[{"id":"«newguid»","displayName":"Block legacy authentication","enforcedGrantControls":["Block"],"enforcedSessionControls":[],"result":"«pick:failure|notApplied|reportOnlyFailure»"}«pad:policy»]}"#,
    },
];

pub(super) const NON_INTERACTIVE: &[Template] = &[
    Template {
        weight: 80,
        tag: "",
        text: r#"{"id":"«id»","createdDateTime":"«time»Z","userDisplayName":"«name»","userPrincipalName":"«upn»","userId":"«oid»","appId":"«appid»","appDisplayName":"«app»","ipAddress":"«ip»","ipAddressFromResourceProvider":null,"clientAppUsed":"«pick:Browser|Mobile Apps and Desktop clients»","userAgent":"«agent»","correlationId":"«guid:c»",
        "conditionalAccessStatus":"«pick:notApplied|success»","originalRequestId":"«guid:o»","isInteractive":false,"tokenIssuerName":"","tokenIssuerType":"AzureAD","processingTimeInMilliseconds":«int:40:900»,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none","riskEventTypes_v2":[],"resourceDisplayName":"Microsoft Graph","resourceId":"00000003-0000-0000-c000-000000000000",
        "resourceTenantId":"«tenant»","homeTenantId":"«tenant»","homeTenantName":"","authenticationMethodsUsed":[],"authenticationRequirement":"«pick:singleFactorAuthentication|multiFactorAuthentication»","signInIdentifier":"","signInIdentifierType":null,"servicePrincipalName":"","signInEventTypes":["nonInteractiveUser"],"servicePrincipalId":"","userType":"member","flaggedForReview":false,"isTenantRestricted":false,
        "autonomousSystemNumber":«int:64496:64511»,"crossTenantAccessType":"none","servicePrincipalCredentialKeyId":"","uniqueTokenIdentifier":"«token»","incomingTokenType":"«pick:none|primaryRefreshToken|refreshToken»","authenticationProtocol":"none","sessionId":"«guid:s»","mfaDetail":null,"status":{"errorCode":0,"failureReason":"Other.","additionalDetails":null},
        "deviceDetail":{"deviceId":"«newguid»","displayName":"«machine»","operatingSystem":"«os»","browser":"«browser»","isCompliant":«pick:true|false»,"isManaged":«pick:true|false»,"trustType":"Azure AD registered"},"location":{"city":"«city»","state":"«state»","countryOrRegion":"«country»","geoCoordinates":{}},
        "appliedConditionalAccessPolicies":[{"id":"«newguid»","displayName":"Exchange Online requires compliant device","enforcedGrantControls":[],"enforcedSessionControls":[],"result":"notEnabled","conditionsSatisfied":"none","conditionsNotSatisfied":"none","includeRulesSatisfied":[],"excludeRulesSatisfied":[]}«pad:policy»],
        "authenticationProcessingDetails":[{"key":"Root Key Type","value":"Unknown"},{"key":"Oauth Scope Info","value":"[\"openid\",\"profile\",\"User.Read\"]"}],"networkLocationDetails":[],"authenticationDetails":[],"authenticationRequirementPolicies":[],"sessionLifetimePolicies":[]}"#,
    },
    Template {
        weight: 20,
        tag: "",
        text: r#"{"id":"«id»","createdDateTime":"«time»Z","userDisplayName":"«name»","userPrincipalName":"«upn»","userId":"«oid»","appId":"«appid»","appDisplayName":"«app»","ipAddress":"«ip»","ipAddressFromResourceProvider":"","clientAppUsed":"","userAgent":null,"correlationId":"«guid:c»","conditionalAccessStatus":"failure","originalRequestId":"","isInteractive":false,
        "tokenIssuerName":"","tokenIssuerType":"AzureAD","processingTimeInMilliseconds":«int:40:900»,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none","riskEventTypes_v2":[],"resourceDisplayName":"«app»","resourceId":"«appid»","resourceTenantId":"«tenant»","homeTenantId":"«tenant»","homeTenantName":"","authenticationMethodsUsed":[],
        "authenticationRequirement":"singleFactorAuthentication","signInEventTypes":["nonInteractiveUser"],"servicePrincipalId":"","userType":"«pick:member|guest»","flaggedForReview":false,"isTenantRestricted":false,"autonomousSystemNumber":«int:64496:64511»,"crossTenantAccessType":"«pick:none|b2bCollaboration»","uniqueTokenIdentifier":"«token»","incomingTokenType":"none","authenticationProtocol":"none",
        "status":«pick:{"errorCode":70043,"failureReason":"The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.","additionalDetails":null}|{"errorCode":50173,"failureReason":"The provided grant has expired due to it being revoked.","additionalDetails":null}|{"errorCode":65001,"failureReason":"The user or administrator has not consented to use the application.","additionalDetails":null}»,
        "deviceDetail":{"deviceId":"","displayName":"","operatingSystem":"«os»","browser":"Rich Client 5.14.0.0","isCompliant":false,"isManaged":false,"trustType":""},"location":{"city":"«city»","state":"«state»","countryOrRegion":"«country»","geoCoordinates":{"altitude":null,"latitude":«latitude»,"longitude":«longitude»}},"appliedConditionalAccessPolicies":[{"id":"«newguid»","displayName":"Require MFA","enforcedGrantControls":["Mfa"],"enforcedSessionControls":[],"result":"failure","conditionsSatisfied":"application,users","conditionsNotSatisfied":"none"}«pad:policy»],
        "authenticationProcessingDetails":[],"networkLocationDetails":[{"networkType":"namedNetwork","networkNames":["Head office"]}],"authenticationDetails":[],"sessionLifetimePolicies":[]}"#,
    },
];

pub(super) const SERVICE_PRINCIPAL: &[Template] = &[Template {
    weight: 1,
    tag: "",
    text: r#"{"id":"«id»","createdDateTime":"«time»Z","userDisplayName":"","userPrincipalName":"","userId":"","appId":"«workloadapp»","appDisplayName":"«workload»","ipAddress":"«ip»","ipAddressFromResourceProvider":null,"clientAppUsed":"","userAgent":null,"correlationId":"«guid:c»","conditionalAccessStatus":"«pick:notApplied|success»","originalRequestId":"","isInteractive":false,
        "tokenIssuerName":"","tokenIssuerType":"AzureAD","clientCredentialType":"«pick:clientSecret|certificate|federatedIdentityCredential»","processingTimeInMilliseconds":«int:0:120»,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none","riskEventTypes_v2":[],"resourceDisplayName":"«pick:Windows Azure Service Management API|Microsoft Graph|Azure Key Vault»","resourceId":"797f4846-ba00-4fd7-ba43-dac1f8f63013",
        "resourceTenantId":"«tenant»","homeTenantId":"","homeTenantName":"","authenticationMethodsUsed":[],"servicePrincipalName":"«workload»","servicePrincipalId":"«workloadid»","signInEventTypes":["servicePrincipal"],"userType":"member","flaggedForReview":false,"isTenantRestricted":false,"autonomousSystemNumber":«int:64496:64511»,"crossTenantAccessType":"none","servicePrincipalCredentialKeyId":"«newguid»","servicePrincipalCredentialThumbprint":"«hex:40»","uniqueTokenIdentifier":"«token»","incomingTokenType":"none",
        "authenticationProtocol":"none","status":«pick:{"errorCode":0,"failureReason":"Other.","additionalDetails":null}|{"errorCode":0,"failureReason":"Other.","additionalDetails":null}|{"errorCode":0,"failureReason":null,"additionalDetails":null}|{"errorCode":7000215,"failureReason":"Invalid client secret is provided.","additionalDetails":null}|{"errorCode":7000222,"failureReason":"The provided client secret keys are expired.","additionalDetails":null}»,
        "deviceDetail":null,"location":{"city":"«city»","state":"«state»","countryOrRegion":"«country»","geoCoordinates":{"latitude":«latitude»,"longitude":«longitude»}},"appliedConditionalAccessPolicies":[{"id":"«newguid»","displayName":"Workloads from known places","enforcedGrantControls":["Block"],"enforcedSessionControls":[],"result":"notApplied"}«pad:policy»],"authenticationProcessingDetails":[{"key":"Azure AD App Authentication Library","value":"Family: MSAL Library: MSAL.Python 1.34.0 Platform: Python"}],"networkLocationDetails":[],"authenticationDetails":[]}"#,
}];

pub(super) const MANAGED_IDENTITY: &[Template] = &[Template {
    weight: 1,
    tag: "",
    text: r#"{"id":"«id»","createdDateTime":"«time»Z","userId":null,"appId":"«workloadapp»","ipAddress":"","correlationId":"«guid:c»","conditionalAccessStatus":"notApplied","isInteractive":false,"tokenIssuerType":"AzureAD","processingTimeInMilliseconds":0,"riskDetail":"none","riskLevelAggregated":"«pick:none|low»","riskLevelDuringSignIn":"«pick:none|low»","riskState":"none",
        "resourceDisplayName":"«pick:Windows Azure Service Management API|Azure Key Vault|Azure Storage|Microsoft Graph»","resourceId":"«pick:797f4846-ba00-4fd7-ba43-dac1f8f63013|cfa8b339-82a2-471a-a3c9-0fc0be7a4093|e406a681-f3d4-42a8-90b6-c2b029497af1»","servicePrincipalName":"«workload»","servicePrincipalId":"«workloadid»","signInEventTypes":["managedIdentity"],"managedServiceIdentity":{"msiType":"«pick:systemAssigned|userAssigned»","associatedResourceId":"/subscriptions/«newguid»/resourceGroups/rg-«pick:billing|web|data»/providers/Microsoft.Compute/virtualMachines/vm-«int:1:40»","federatedTokenId":null,"federatedTokenIssuer":null},
        "flaggedForReview":false,"isTenantRestricted":false,"crossTenantAccessType":"none","uniqueTokenIdentifier":"«token»","incomingTokenType":"none","authenticationProtocol":"none","status":{"errorCode":0},"location":{"city":"","state":"","countryOrRegion":"","geoCoordinates":{"latitude":0.0,"longitude":0.0}},"appliedConditionalAccessPolicies":[],"authenticationProcessingDetails":[],"networkLocationDetails":[{"networkType":"unknownFutureValue","networkNames":["vnet-«pick:a|b|c»"]}]}"#,
}];
