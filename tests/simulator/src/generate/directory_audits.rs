//! Graph directory audits.
//!
//! Invariant: `id` is no GUID but begins with the service's name and holds one; old and new values are JSON in strings.

use crate::template::Template;

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        weight: 5,
        tag: "",
        text: r#"{"id":"Directory_«id»_«pick:M1N6X|FI4U8|APC1W»_«digits:8»","category":"UserManagement","correlationId":"«id»","result":"success","resultReason":"","activityDisplayName":"«pick:Update user|Add user|Reset user password»","activityDateTime":"«frac»","loggedByService":"Core Directory","operationType":"Update",
        "initiatedBy":{"app":null,"user":{"id":"«oid»","displayName":«pick:null|"MOD Administrator"»,"userPrincipalName":"«upn»","ipAddress":"«pick:|203.0.113.77|2001:db8:44::9»","userType":null,"homeTenantId":null,"homeTenantName":null}},"targetResources":[{"id":"«oid2»","displayName":null,"type":"User","userPrincipalName":"«upn2»","groupType":null,
        "modifiedProperties":[{"displayName":"«pick:Department|JobTitle»","oldValue":"[\"«pick:Sales|Support»\"]","newValue":"[\"«pick:Finance|Ingénierie»\"]"},{"displayName":"Included Updated Properties","oldValue":null,"newValue":"\"Department\""},{"displayName":"TargetId.UserType","oldValue":null,"newValue":"\"Member\""}]}],"additionalDetails":[{"key":"UserType","value":"Member"}«pad:kv»]}"#,
    },
    Template {
        weight: 4,
        tag: "",
        text: r#"{"id":"Directory_«id»_«pick:FI4U8|6X649»_«digits:8»","category":"«pick:GroupManagement|RoleManagement»","correlationId":"«guid:c»","result":"«pick:success|success|failure»","resultReason":"«pick:||Insufficient privileges»","activityDisplayName":"«pick:Add member to group|Remove member from group|Add member to role»","activityDateTime":"«frac»","loggedByService":"Core Directory",
        "operationType":"Assign","initiatedBy":{"user":null,"app":{"appId":null,"displayName":"«workload»","servicePrincipalId":"«workloadid»","servicePrincipalName":null}},"targetResources":[{"id":"«oid2»","displayName":null,"type":"User","userPrincipalName":"«upn2»","groupType":null,"modifiedProperties":[{"displayName":"Group.ObjectID","oldValue":null,"newValue":"\"«newguid»\""},
        {"displayName":"Group.DisplayName","oldValue":null,"newValue":"\"«site»\""},{"displayName":"Group.WellKnownObjectName","oldValue":null,"newValue":null}]},{"id":"«newguid»","displayName":null,"type":"Group","userPrincipalName":null,"groupType":"azureAD","modifiedProperties":[]}],"additionalDetails":[{"key":"User-Agent","value":"SkypeSpaces/2.4b$*"}«pad:kv»]}"#,
    },
    Template {
        weight: 3,
        tag: "",
        text: r#"{"id":"Directory_«id»_6X649_«digits:9»","category":"ApplicationManagement","correlationId":"«guid:c»","result":"success","resultReason":"","activityDisplayName":"«pick:Add service principal credentials|Update application – Certificates and secrets management |Consent to application»","activityDateTime":"«frac»","loggedByService":"Core Directory","operationType":"Update",
        "initiatedBy":{"app":null,"user":{"id":"«oid»","displayName":null,"userPrincipalName":"«upn»","ipAddress":"«ip»","userType":null,"homeTenantId":null,"homeTenantName":null}},"targetResources":[{"id":"«workloadid»","displayName":"«workload»","type":"ServicePrincipal","userPrincipalName":null,"groupType":null,"modifiedProperties":[{"displayName":"KeyDescription","oldValue":"[]",
        "newValue":"[\"[KeyIdentifier=«newguid»,KeyType=AsymmetricX509Cert,KeyUsage=Verify,DisplayName=CN=«workload»]\"]"},{"displayName":"IsActive","oldValue":"[false]","newValue":"[true]"}]}],"additionalDetails":[{"key":"User-Agent","value":"«agent»"},{"key":"AppId","value":"«workloadapp»"}«pad:kv»]}"#,
    },
    Template {
        weight: 1,
        tag: "",
        text: r#"{"id":"SSGM_«id»_MCDC4_«digits:8»","category":"GroupManagement","correlationId":"«guid:c»","result":"success","resultReason":"OK","activityDisplayName":"GroupLifecyclePolicies_Get","activityDateTime":"«frac»","loggedByService":"Self-service Group Management","operationType":"","initiatedBy":{"app":null,"user":{"id":"«oid»","displayName":"«name»","userPrincipalName":"«upn»","ipAddress":"«ip4»","roles":[]}},
        "targetResources":[],"additionalDetails":[{"key":"User-Agent","value":"«agent»"}«pad:kv»]}"#,
    },
];
