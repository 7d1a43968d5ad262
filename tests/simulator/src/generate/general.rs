//! Audit.General: everything that has no content type of its own: Teams, compliance centre, Defender, Power BI, Forms, Copilot and others.
//!
//! Invariant: the shapes differ as much as the workloads do; nothing here is common to all but the Management API's common schema.

use crate::template::Template;

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        weight: 14,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:MemberAdded|MemberRemoved|MemberRoleChanged»","OrganizationId":"«tenant»","RecordType":25,"UserKey":"«oid»","UserType":0,"Version":1,"Workload":"MicrosoftTeams","ClientIP":"«clientip»",
        "UserId":"«upn»","AADGroupId":"«newguid»","CommunicationType":"Team","Members":[{"DisplayName":"«name2»","Role":«int:1:3»,"UPN":"«upn2»"}],"TeamGuid":"19:«hex:32»@thread.tacv2","TeamName":"«site»","ItemName":"«site»"}"#,
    },
    Template {
        weight: 12,
        tag: "",
        text: r#"{"AppAccessContext":{"IssuedAtTime":"«time:-3600»","UniqueTokenId":"«hex:22»"},"CreationTime":"«time»","Id":"«id»","Operation":"«pick:ChatCreated|MessageSent|MessageCreatedHasLink»","OrganizationId":"«tenant»","RecordType":25,"UserKey":"«oid»",
        "UserType":0,"Version":1,"Workload":"MicrosoftTeams","ClientIP":"«clientip»","UserId":"«upn»","ChatThreadId":"19:«oid»_«oid2»@unq.gbl.spaces","CommunicationType":"OneOnOne","ExtraProperties":[{"Key":"TimeZone","Value":"Europe/Zurich"},{"Key":"OsName","Value":"windows"},
        {"Key":"ClientName","Value":"skypeteams"},{"Key":"ClientVersion","Value":"49/25100211213"}],"Members":[{"OrganizationId":"«tenant»","DisplayName":"«name»","UPN":"«upn»"},{"OrganizationId":"«newguid»","DisplayName":"Kim Akers","UPN":"kim@example.org"}],
        "ParticipantInfo":{"HasForeignTenantUsers":true,"HasGuestUsers":false,"HasOtherGuestUsers":false,"HasUnauthenticatedUsers":false,"ParticipatingDomains":["contoso.com","example.org"],"ParticipatingTenantIds":["«tenant»","«newguid»"]},"ResourceTenantId":"«tenant»",
        "ItemName":"19:«oid»_«oid2»@unq.gbl.spaces"}"#,
    },
    Template {
        weight: 12,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"TeamsSessionStarted","OrganizationId":"«tenant»","RecordType":25,"UserKey":"«oid»","UserType":0,"Version":1,"Workload":"MicrosoftTeams","ClientIP":"«clientip»","ObjectId":"«pick:Web|Desktop|Unknown»",
        "UserId":"«upn»","ExtraProperties":[{"Key":"OsName","Value":"«os»"}]}"#,
    },
    Template {
        weight: 8,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"AlertTriggered","OrganizationId":"«tenant»","RecordType":40,"ResultStatus":"Succeeded","UserKey":"SecurityComplianceAlerts","UserType":4,"Version":1,"Workload":"SecurityComplianceCenter","ObjectId":"«guid:a»",
        "UserId":"SecurityComplianceAlerts","AlertId":"«guid:a»","AlertLinks":[{"AlertLinkHref":""}],"AlertType":"System","Category":"ThreatManagement","Comments":"New alert","Data":"{\"f3u\":\"«upn»\",\"ts\":\"«frac:-120»\",\"te\":\"«frac:-60»\",\"op\":\"MailRedirect\",\"wl\":\"Exchange\",\"tid\":\"«tenant»\",\"tdc\":\"1\",\"reid\":\"«guid»\",\"rid\":\"«guid»\",\"cid\":\"«newguid»\",\"ad\":\"This alert is triggered when somebody sets up a forwarding rule -V1.0.0.5\",\"lon\":\"MailRedirect\",\"an\":\"Creation of forwarding/redirect rule\",\"sev\":\"«pick:Informational|Low|High»\"}",
        "Name":"Creation of forwarding/redirect rule","PolicyId":"«newguid»","Severity":"«pick:Informational|Low|High»","Source":"Office 365 Security & Compliance","Status":"Active"}"#,
    },
    Template {
        weight: 6,
        tag: "",
        text: r#"{"AlertEntityId":"«upn»","AlertId":"«guid:a»","AlertLinks":[{"AlertLinkHref":"https://security.microsoft.com/alerts/«guid:a»"}],"AlertType":"System","Category":"AccessGovernance","Comments":"New alert","CreationTime":"«time»",
        "Data":"{\"etype\":\"User\",\"eid\":\"«upn»\",\"tid\":\"«tenant»\",\"ts\":\"«frac:-315»\",\"te\":\"«frac:-315»\",\"op\":\"GrantAdminPermission\",\"tdc\":\"1\",\"suid\":\"«upn»\",\"ut\":\"Admin\",\"lon\":\"GrantAdminPermission\"}","EntityType":"User","Id":"«id»","Name":"Elevation of Exchange admin privilege",
        "ObjectId":"«upn»","Operation":"AlertEntityGenerated","OrganizationId":"«tenant»","PolicyId":"«newguid»","RecordType":40,"ResultStatus":"Succeeded","Severity":"Low","Source":"Office 365 Security & Compliance","Status":"«pick:Active|Investigating|Resolved»","UserId":"SecurityComplianceAlerts","UserKey":"SecurityComplianceAlerts","UserType":4,"Version":1,"Workload":"SecurityComplianceCenter"}"#,
    },
    Template {
        weight: 4,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"AirInvestigationData","OrganizationId":"«tenant»","RecordType":64,"UserKey":"AirInvestigation","UserType":4,"Version":1,"Workload":"AirInvestigation","ObjectId":"«id»","UserId":"AirInvestigation",
        "DeepLinkUrl":"https://security.microsoft.com/mtp-investigation/urn:ZappedUrlInvestigation:«guid:i»","EndTimeUtc":"«time:-2»","InvestigationId":"urn:ZappedUrlInvestigation:«guid:i»","InvestigationName":"Mail with malicious urls is zapped - urn:ZappedUrlInvestigation:«guid:i»","InvestigationType":"ZappedUrlInvestigation",
        "LastUpdateTimeUtc":"«time:-308»","RunningTime":«int:30:4000»,"StartTimeUtc":"«time:-931»","Status":"«pick:Remediated|Pending Action|No Threats Found»","Data":"{\"Version\":\"3.0\",\"VendorName\":\"Microsoft\",\"ProviderName\":\"OATP\",\"AlertType\":\"«newguid»\",\"StartTimeUtc\":\"«american:-931»\",\"QueryTime\":\"«american:-930»\",\"Severity\":\"Informational\",\"QueryTime\":\"«american:-300»\",\"Entities\":[{\"$id\":\"1\",\"Url\":\"https://login.example.net/«hex:8»\",\"Type\":\"url\"},{\"$id\":\"2\",\"Recipient\":\"«upn»\",\"SenderIP\":\"«ip4»\",\"Subject\":\"«subject»\",\"Type\":\"mailMessage\"}]}",
        "Actions":["{\"$id\":\"1\",\"ActionId\":\"urn:EmailZapper:«hex:32»\",\"ActionStatus\":\"Completed\"}"]}"#,
    },
    Template {
        weight: 10,
        tag: "",
        text: r#"{"Id":"«id»","RecordType":20,"CreationTime":"«time»","Operation":"«pick:ViewReport|ViewDashboard|ExportReport|GetWorkspaces»","OrganizationId":"«tenant»","UserType":0,"UserKey":"«puid»","Workload":"PowerBI","UserId":"«upn»","ClientIP":"«ip»","UserAgent":"«agent»",
        "Activity":"ViewReport","ItemName":"«site» KPIs","WorkSpaceName":"Ventes – été","DatasetName":"«site»","ReportName":"«site» KPIs","WorkspaceId":"«newguid»","ObjectId":"«site» KPIs","DatasetId":"«newguid»","ReportId":"«newguid»","ArtifactKind":"Report","IsSuccess":«pick:true|true|false»,
        "ReportType":"PowerBIReport","RequestId":"«guid»","ActivityId":"«guid»","DistributionMethod":"Workspace","ConsumptionMethod":"Power BI Web","RefreshEnforcementPolicy":0}"#,
    },
    Template {
        weight: 6,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:ViewForm|CreateResponse|EditForm|SubmitResponse»","OrganizationId":"«tenant»","RecordType":66,"UserKey":"«oid»","UserType":0,"Version":1,"Workload":"MicrosoftForms","ClientIP":"«ip»","ObjectId":"«hex:40»","UserId":"«upn»",
        "ActivityParameters":"{\"ResponseId\":\"«digits:4»\",\"IsOwner\":\"False\"}","FormId":"«hex:40»","FormName":"Enquête «site»","FormsUserType":«pick:"Responder"|1»,"SourceApp":"Form"}"#,
    },
    Template {
        weight: 6,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"CopilotInteraction","OrganizationId":"«tenant»","RecordType":261,"UserKey":"«oid»","UserType":0,"Version":1,"Workload":"Copilot","ClientIP":"«pick:ffff:10.0.3.17|198.51.100.71|»","ClientRegion":"eu","UserId":"«upn»",
        "CopilotEventData":{"AISystemPlugin":[{"Id":"BingWebSearch","Name":"BingWebSearch"}],"AccessedResources":[{"Action":"Read","ID":"«guid»","Name":"«file»","SiteUrl":"https://contoso.sharepoint.com/sites/«site»/Shared Documents/«file»","Type":"«extension»"}],"AppHost":"«pick:Word|Teams|BizChat|Excel»",
        "Contexts":[{"Id":"https://contoso.sharepoint.com/sites/«site»/_layouts/15/Doc.aspx?sourcedoc=%7B«guid»%7D&file=doc.docx&action=default","Type":"docx"}],"MessageIds":[],"Messages":[{"Id":"«millis»","isPrompt":true},{"Id":"«millis:1»","isPrompt":false}],"ModelTransparencyDetails":[],"ThreadId":"19:«hex:40»@thread.v2"}}"#,
    },
    Template {
        weight: 6,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:Get-ComplianceTag|New-DlpComplianceRule|Get-DlpSiDetectionsReport|New-ComplianceSearch»","OrganizationId":"«tenant»","RecordType":18,"ResultStatus":"Success","UserKey":"«upn»","UserType":2,"Version":1,"Workload":"SecurityComplianceCenter",
        "ObjectId":"","UserId":"«upn»","SecurityComplianceCenterEventType":0,"ClientApplication":"EMC","CmdletVersion":"...","EffectiveOrganization":"«domain»","NonPIIParameters":"","Parameters":"«pick:|-Identity \"Finance\" -ResultSize \"Unlimited\"»","StartTime":"«time»","UserServicePlan":""}"#,
    },
    Template {
        weight: 4,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:SearchAlertAggregate|ValidaterbacAccessCheck|SearchMtpStatus»","OrganizationId":"«tenant»","RecordType":52,"UserKey":"«oid»","UserType":0,"Version":1,"Workload":"SecurityComplianceCenter","UserId":"«oid»","AadAppId":"80ccca67-54bd-44ab-8625-4b79c4dc7775",
        "DataType":"AlertAggregate","DatabaseType":"DataInsights","RelativeUrl":"/DataInsights/DataInsightsService.svc/Find/AlertAggregate?tenantid=«tenant»&PageSize=«int:20:540»","ResultCount":"«int:0:9»"}"#,
    },
    Template {
        weight: 4,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"TIMailData","OrganizationId":"«tenant»","RecordType":28,"UserKey":"ThreatIntel","UserType":4,"Version":1,"Workload":"ThreatIntelligence","ObjectId":"«guid»","UserId":"ThreatIntel","AdditionalActionsAndResults":["OriginalDelivery: [N/A]"],
        "AttachmentData":[{"FileName":"Invoice.pdf.exe","FileType":"exe;zip","FileVerdict":1,"MalwareFamily":"Trojan_Gen_Contrived_«hex:2»","SHA256":"«hex:64»"}],"AuthDetails":[{"Name":"SPF","Value":"«pick:Pass|Fail»"},{"Name":"DKIM","Value":"Fail"},{"Name":"DMARC","Value":"Best guess pass"}],
        "DeliveryAction":"«pick:Blocked|Delivered|DeliveredAsSpam»","DetectionMethod":"File detonation","DetectionType":"Inline","Directionality":"Inbound","EventDeepLink":"https://security.microsoft.com/?hash=/threatexplorer?messageParams=«guid»","InternetMessageId":"<«hex:32»@mail.example.net>","LatestDeliveryLocation":"Quarantine",
        "MessageTime":"«time:-122»","NetworkMessageId":"«guid»","OriginalDeliveryLocation":"Quarantine","P1Sender":"prvs=0«digits:6»=billing@example.net","P2Sender":"billing@example.net","Policy":"SafeAttachements","PolicyAction":"Quarantine","Recipients":["«upn»"],"SenderIp":"«ip4»","Subject":"«subject»",
        "SystemOverrides":[{"Details":"Antimalware policy block by file type","FinalOverride":"No","Result":"Block","Source":"Tenant"}],"ThreatsAndDetectionTech":["Malware: [File detonation]","Spam: [General filter]"],"Verdict":"«pick:Malware|Phish»"}"#,
    },
    Template {
        weight: 3,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"AtpDetection","OrganizationId":"«tenant»","RecordType":47,"UserKey":"ThreatIntel","UserType":4,"Version":1,"Workload":"ThreatIntelligence","UserId":"ThreatIntel","DetectionDate":"«time:-38»","DetectionMethod":"AntiMalware",
        "EventDeepLink":"https://security.microsoft.com/threatexplorer","FileData":{"DocumentId":"«guid»","FileName":"«file»","FilePath":"https://contoso.sharepoint.com/sites/«site»/Shared Documents/«file»","FileSize":"«digits:5»","FileVerdict":1,"MalwareFamily":"Win32/Contrived.«hex:1»","SHA256":"«hex:64»"},
        "LastModifiedBy":"«upn»","LastModifiedDate":"«time:-4000»","SourceWorkload":«int:0:3»}"#,
    },
    Template {
        weight: 3,
        tag: "",
        text: r#"{"ActorUserId":"«upn»","ActorYammerUserId":«digits:11»,"ClientIP":"«ip4»:«int:1024:65000»","CreationTime":"«time»","GroupName":"«site»","Id":"«id»","ObjectId":"«site»","Operation":"«pick:GroupCreation|FileVisited|MessageDeleted»","OrganizationId":"«tenant»","RecordType":22,"ResultStatus":"TRUE",
        "UserId":"«upn»","UserKey":"«lpuid»","UserType":0,"Version":1,"Workload":"Yammer","YammerNetworkId":«digits:10»}"#,
    },
    Template {
        weight: 3,
        tag: "",
        text: r#"{"SensitiveInfoTypeData":[],"ProtectionEventData":{"ProtectionEventType":1,"ProtectionType":"Template","TemplateId":"«newguid»","IsProtected":true,"IsProtectedBefore":false,"ProtectionOwner":"«upn»"},"Common":{"ApplicationId":"«newguid»","ApplicationName":"Microsoft Word","ProcessName":"WINWORD","Platform":1,
        "DeviceName":"«machine»","Location":"On-premises file shares","ProductVersion":"2.18.68.0"},"DataState":"Use","SensitivityLabelEventData":{"SensitivityLabelId":"«newguid»","LabelEventType":4,"ActionSource":1},"ObjectId":"«file»","UserId":"«upn»","ClientIP":"«ip»","Id":"«id»","RecordType":94,"CreationTime":"«time»",
        "Operation":"«pick:SensitivityLabelApplied|SensitivityLabelUpdated»","OrganizationId":"«tenant»","UserType":0,"UserKey":"«oid»","Workload":"Aip","Version":1,"Scope":1}"#,
    },
];
