//! DLP.All: rule matches in mail, in files and on devices.
//!
//! Invariant: one `Id` can stand for several records here (a match and its undo), which the catalogue does more often than for other streams.

use crate::template::Template;

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        weight: 5,
        tag: "",
        text: r#"{"CreationTime":"«time»","ExchangeMetaData":{"BCC":[],"CC":["«upn2»"],"FileSize":«int:2000:90000»,"From":"«upn»","MessageID":"<«hex:40»@eurprd04.prod.outlook.com>","RecipientCount":2,"Sent":"«time:-1»","Subject":"«subject»","To":["partner@example.org"],"UniqueID":"«guid:u»"},
        "Id":"«id»","IncidentId":"«guid:i»","ObjectId":"<«hex:40»@eurprd04.prod.outlook.com>","Operation":"«pick:DlpRuleMatch|DlpRuleMatch|DlpRuleUndo|DlpInfo»","OrganizationId":"«tenant»","PolicyDetails":[{"PolicyId":"«newguid»","PolicyName":"Kreditkarten","Rules":[{"ActionParameters":["GenerateIncidentReport:«upn»"],
        "Actions":["BlockAccess","NotifyUser","GenerateIncidentReport"],"ConditionsMatched":{"OtherConditions":[{"Name":"AccessScope","Value":"IncludeExternalUsers"}],"SensitiveInformation":[{"Confidence":85,"Count":«int:1:40»,"Location":"Message Body","SensitiveInformationDetailedClassificationAttributes":[{"Confidence":65,"Count":1,"IsMatch":false},{"Confidence":85,"Count":1,"IsMatch":true}],
        "SensitiveInformationDetections":{"DetectedValues":[{"Name":"4111 1111 1111 1111","Value":"card number 4111 1111 1111 1111 valid to 10/29"}],"ResultsTruncated":false},"SensitiveInformationTypeName":"Credit Card Number","SensitiveType":"50842eb7-edc8-4019-85dd-5a5c1f2bb085","UniqueCount":1}]},"RuleId":"«newguid»","RuleMode":"Enable","RuleName":"High volume of content detected","Severity":"«pick:High|Medium|Low»"}]}],
        "RecordType":13,"SensitiveInfoDetectionIsIncluded":true,"UserId":"«pick:DlpAgent|DLPAgent»","UserKey":"«digits:19»","UserType":4,"Version":1,"Workload":"Exchange"}"#,
    },
    Template {
        weight: 4,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","IncidentId":"«guid:i»","ObjectId":"«guid:o»","Operation":"DLPRuleMatch","OrganizationId":"«tenant»","PolicyDetails":[{"PolicyId":"«newguid»","PolicyName":"U.S. Financial Data","Rules":[{"ActionParameters":[],"Actions":["NotifyUser"],
        "ConditionsMatched":{"SensitiveInformation":[{"Confidence":75,"Count":«int:1:9»,"SensitiveType":"cb353f78-2b72-4c3c-8827-92ebe4f69fdf"}]},"RuleId":"«newguid»","RuleMode":"«pick:Enable|Audit»","RuleName":"Low volume of content detected","Severity":"Low"}]}],"RecordType":11,"SensitiveInfoDetectionIsIncluded":false,
        "SharePointMetaData":{"FileName":"«file»","FileOwner":"«name»","FilePathUrl":"https://contoso-my.sharepoint.com/personal/«personal»/Documents/«file»","From":"«UPN»","ItemCreationTime":"«time:-3480»","ItemLastModifiedTime":"«time:-32»","SiteCollectionGuid":"«newguid»","SiteCollectionUrl":"https://contoso-my.sharepoint.com/personal/«personal»","UniqueID":"«guid:o»"},
        "UserId":"DlpPolicyEventBasedAssistantOneDriveForBusiness","UserKey":"DlpPolicyEventBasedAssistantOneDriveForBusiness","UserType":4,"Version":1,"Workload":"OneDrive"}"#,
    },
    Template {
        weight: 2,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","IncidentId":"«guid:i»","ObjectId":"C:\\Users\\«alias»\\Documents\\«file»","Operation":"DLPRuleMatch","OrganizationId":"«tenant»","RecordType":63,"UserKey":"«upn»","UserType":0,"Version":1,"Workload":"Endpoint","ClientIP":"«ip4»","UserId":"«upn»",
        "EndpointMetaData":{"DeviceName":"«machine»","EnforcementMode":«int:1:4»,"FileExtension":"«extension»","FileType":"«extension»","EndpointOperation":"«pick:FileCopiedToRemovableMedia|FileUploadedToCloud|FilePrinted»","Sha256":"«hex:64»","OriginatingDomain":"example.net","SensitiveInfoTypeData":[{"Confidence":85,"Count":«int:1:30»,"SensitiveInfoTypeId":"50842eb7-edc8-4019-85dd-5a5c1f2bb085","SensitiveInfoTypeName":"Credit Card Number"}]},
        "PolicyDetails":[{"PolicyId":"«newguid»","PolicyName":"Endgeräte","Rules":[{"Actions":["«pick:AuditAccess|BlockAccess»"],"ConditionsMatched":{"SensitiveInformation":[{"Confidence":85,"Count":3,"SensitiveType":"50842eb7-edc8-4019-85dd-5a5c1f2bb085"}]},"RuleId":"«newguid»","RuleMode":"Enable","RuleName":"Removable media","Severity":"Medium"}]}],
        "SensitiveInfoDetectionIsIncluded":false}"#,
    },
];
