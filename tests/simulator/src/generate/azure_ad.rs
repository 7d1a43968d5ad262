//! Audit.AzureActiveDirectory: sign-ins of the token service and directory changes as the Management API spells them.
//!
//! Invariant: `ResultStatus` of a failed sign-in says Success more often than not; operation and `ErrorNumber` tell the outcome.

use crate::template::Template;

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        weight: 40,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"UserLoggedIn","OrganizationId":"«tenant»","RecordType":15,"ResultStatus":"«pick:Success|Succeeded|Success»","UserKey":"«oid»","UserType":0,"Version":1,
        "Workload":"AzureActiveDirectory","ClientIP":"«ip»","ObjectId":"«appid»","UserId":"«upn»","AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"ResultStatusDetail","Value":"«pick:Success|Redirect|Success»"},
        {"Name":"UserAgent","Value":"«agent»"},{"Name":"RequestType","Value":"«pick:OAuth2:Authorize|OAuth2:Token|Login:login|SAS:EndAuth»"}«pad:nv»],"ModifiedProperties":[],"Actor":[{"ID":"«oid»","Type":0},{"ID":"«upn»","Type":5}],
        "ActorContextId":"«tenant»","ActorIpAddress":"«ip»","InterSystemsId":"«guid»","IntraSystemId":"«guid»","SupportTicketId":"","Target":[{"ID":"«appid»","Type":0}],"TargetContextId":"«tenant»","ApplicationId":"«appid»",
        "DeviceProperties":[{"Name":"OS","Value":"«os»"},{"Name":"BrowserType","Value":"Chrome"},{"Name":"IsCompliantAndManaged","Value":"False"},{"Name":"SessionId","Value":"«guid»"}],"ErrorNumber":"«pick:0|0|0|50140»"}"#,
    },
    Template {
        weight: 18,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"UserLoginFailed","OrganizationId":"«tenant»","RecordType":15,"ResultStatus":"«pick:Success|Success|Failed»","UserKey":"«oid»","UserType":0,"Version":1,
        "Workload":"AzureActiveDirectory","ClientIP":"«ip»","ObjectId":"«pick:Unknown|00000002-0000-0000-c000-000000000000»","UserId":"«upn»","AzureActiveDirectoryEventType":1,
        "ExtendedProperties":[{"Name":"ResultStatusDetail","Value":"UserError"},{"Name":"UserAgent","Value":"«agent»"},{"Name":"UserAuthenticationMethod","Value":"1"},{"Name":"RequestType","Value":"OAuth2:Token"}«pad:nv»],
        "ModifiedProperties":[],"Actor":[{"ID":"«oid»","Type":0},{"ID":"«upn»","Type":5}],"ActorContextId":"«tenant»","ActorIpAddress":"«ip»","InterSystemsId":"«guid»","IntraSystemId":"«guid»","SupportTicketId":"",
        "Target":[{"ID":"Unknown","Type":0}],"TargetContextId":"«tenant»","ApplicationId":"«appid»","DeviceProperties":[{"Name":"OS","Value":"«os»"},{"Name":"SessionId","Value":"«guid»"}],
        "ErrorNumber":«pick:"50126","LogonError":"InvalidUserNameOrPassword"|"50053","LogonError":"IdsLocked"|"50058","LogonError":"UserInformationNotProvided"|"65001","LogonError":"DelegationDoesNotExist"|"50072","LogonError":"UserStrongAuthEnrollmentRequiredInterrupt"»}"#,
    },
    Template {
        weight: 8,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"Update user.","OrganizationId":"«tenant»","RecordType":8,"ResultStatus":"Success","UserKey":"«puid»@«domain»","UserType":0,"Version":1,
        "Workload":"AzureActiveDirectory","ObjectId":"«upn2»","UserId":"«upn»","AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"additionalDetails","Value":"{\"UserType\":\"Member\"}"},
        {"Name":"extendedAuditEventCategory","Value":"User"}«pad:nv»],"ModifiedProperties":[{"Name":"«pick:Department|JobTitle|TelephoneNumber»","NewValue":"[\r\n  \"«pick:Finance|Vertrieb|Ingénierie»\"\r\n]","OldValue":"[\r\n  \"«pick:Sales|Support|IT»\"\r\n]"},
        {"Name":"Included Updated Properties","NewValue":"Department","OldValue":""},{"Name":"TargetId.UserType","NewValue":"Member","OldValue":""}],"Actor":[{"ID":"«upn»","Type":5},{"ID":"«puid»","Type":3},
        {"ID":"User_«oid»","Type":2},{"ID":"«oid»","Type":2},{"ID":"User","Type":2}],"ActorContextId":"«tenant»","InterSystemsId":"«guid»","IntraSystemId":"«guid»","SupportTicketId":"",
        "Target":[{"ID":"User_«oid2»","Type":2},{"ID":"«oid2»","Type":2},{"ID":"User","Type":2},{"ID":"«upn2»","Type":5},{"ID":"«puid2»","Type":3}],"TargetContextId":"«tenant»"}"#,
    },
    Template {
        weight: 6,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:Add member to role.|Remove member from role.»","OrganizationId":"«tenant»","RecordType":8,"ResultStatus":"Success","UserKey":"«puid»@«domain»","UserType":0,"Version":1,
        "Workload":"AzureActiveDirectory","ObjectId":"«upn2»","UserId":"«upn»","AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"additionalDetails","Value":"{}"},{"Name":"extendedAuditEventCategory","Value":"Role"}«pad:nv»],
        "ModifiedProperties":[{"Name":"Role.ObjectID","NewValue":"«newguid»","OldValue":""},«pick:{"Name":"Role.DisplayName","NewValue":"Exchange Administrator","OldValue":""},{"Name":"Role.TemplateId","NewValue":"29232cdf-9323-42fd-ade2-1d097af3e4de","OldValue":""}|{"Name":"Role.DisplayName","NewValue":"Global Administrator","OldValue":""},{"Name":"Role.TemplateId","NewValue":"62e90394-69f5-4237-9190-012177145e10","OldValue":""}»],
        "Actor":[{"ID":"«upn»","Type":5},{"ID":"«puid»","Type":3},{"ID":"User_«oid»","Type":2},{"ID":"«oid»","Type":2},{"ID":"User","Type":2}],"ActorContextId":"«tenant»","ActorIpAddress":"«ip»",
        "InterSystemsId":"«guid»","IntraSystemId":"«guid»","SupportTicketId":"","Target":[{"ID":"User_«oid2»","Type":2},{"ID":"«oid2»","Type":2},{"ID":"User","Type":2},{"ID":"«upn2»","Type":5},{"ID":"«puid2»","Type":3}],"TargetContextId":"«tenant»"}"#,
    },
    Template {
        weight: 5,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:Update application – Certificates and secrets management |Update service principal.|Add service principal credentials.»","OrganizationId":"«tenant»","RecordType":8,
        "ResultStatus":"«pick:Success|Success|Failure»","UserKey":"«puid»@«domain»","UserType":0,"Version":1,"Workload":"AzureActiveDirectory","ObjectId":"«workload»;«workloadapp»;https://«workload».contoso.com","UserId":"«upn»",
        "AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"additionalDetails","Value":"{\"User-Agent\":\"«agent»\",\"AppId\":\"«workloadapp»\"}"},{"Name":"extendedAuditEventCategory","Value":"ServicePrincipal"}«pad:nv»],
        "ModifiedProperties":[{"Name":"KeyDescription","NewValue":"[\r\n  \"[KeyIdentifier=«newguid»,KeyType=Password,KeyUsage=Verify,DisplayName=rotation]\"\r\n]","OldValue":"[]"},{"Name":"Included Updated Properties","NewValue":"KeyDescription","OldValue":""}],
        "Actor":[{"ID":"«upn»","Type":5},{"ID":"«puid»","Type":3},{"ID":"User_«oid»","Type":2}],"ActorContextId":"«tenant»","ActorIpAddress":"<null>","InterSystemsId":"«guid»","IntraSystemId":"«guid»","SupportTicketId":"",
        "Target":[{"ID":"Application_«workloadid»","Type":2},{"ID":"«workloadid»","Type":2},{"ID":"Application","Type":2},{"ID":"«workload»","Type":1},{"ID":"«workloadapp»","Type":2}],"TargetContextId":"«tenant»"}"#,
    },
    Template {
        weight: 4,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"Consent to application.","OrganizationId":"«tenant»","RecordType":8,"ResultStatus":"Success","UserKey":"«puid»@«domain»","UserType":0,"Version":1,
        "Workload":"AzureActiveDirectory","ClientIP":"«ip»","ObjectId":"«workloadapp»","UserId":"«upn»","AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"additionalDetails","Value":"{\"User-Agent\":\"EvoSTS\",\"AppId\":\"«workloadapp»\"}"},
        {"Name":"extendedAuditEventCategory","Value":"ServicePrincipal"}«pad:nv»],"ModifiedProperties":[{"Name":"ConsentContext.IsAdminConsent","NewValue":"«pick:True|False»","OldValue":""},{"Name":"ConsentContext.OnBehalfOfAll","NewValue":"False","OldValue":""},
        {"Name":"ConsentAction.Permissions","NewValue":"[] => [[Id: «hex:24», ClientId: «workloadid», PrincipalId: «oid», ResourceId: «newguid», ConsentType: Principal, Scope: Mail.Read offline_access, CreatedDateTime: , LastModifiedDateTime ]]; ","OldValue":""},
        {"Name":"TargetId.ServicePrincipalNames","NewValue":"«workloadapp»","OldValue":""}],"Actor":[{"ID":"«upn»","Type":5},{"ID":"«puid»","Type":3}],"ActorContextId":"«tenant»","InterSystemsId":"«guid»","IntraSystemId":"«guid»",
        "SupportTicketId":"","Target":[{"ID":"ServicePrincipal_«workloadid»","Type":2},{"ID":"«workloadid»","Type":2},{"ID":"ServicePrincipal","Type":2},{"ID":"«workload»","Type":1}],"TargetContextId":"«tenant»"}"#,
    },
    Template {
        weight: 5,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:Add member to group.|Update group.|Add app role assignment to service principal.»","OrganizationId":"«tenant»","RecordType":8,"ResultStatus":"Success","UserKey":"Not Available","UserType":4,"Version":1,
        "Workload":"AzureActiveDirectory","ObjectId":"Not Available","UserId":"ServicePrincipal_«workloadid»","AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"additionalDetails","Value":"{}"},{"Name":"extendedAuditEventCategory","Value":"Group"}«pad:nv»],
        "ModifiedProperties":[{"Name":"Group.ObjectID","NewValue":"«newguid»","OldValue":""},{"Name":"Group.DisplayName","NewValue":"«site» Members","OldValue":""}],"Actor":[{"ID":"«workload»","Type":1},{"ID":"«workloadapp»","Type":2},{"ID":"ServicePrincipal_«workloadid»","Type":2}],
        "ActorContextId":"«tenant»","InterSystemsId":"«guid»","IntraSystemId":"«guid»","SupportTicketId":"","Target":[{"ID":"User_«oid2»","Type":2},{"ID":"«oid2»","Type":2},{"ID":"«upn2»","Type":5}],"TargetContextId":"«tenant»"}"#,
    },
];
