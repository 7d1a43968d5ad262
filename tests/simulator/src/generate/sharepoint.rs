//! Audit.SharePoint: files, pages, lists and sharing in SharePoint and OneDrive.
//!
//! Invariant: `ObjectId` is the address of the thing acted on; `EventData` is markup in a string.

use crate::template::Template;

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        weight: 34,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:FileAccessed|FileAccessed|FilePreviewed|FileModified|FileUploaded|FileDownloaded|FileDeleted»","OrganizationId":"«tenant»","RecordType":6,
        "UserKey":"i:0h.f|membership|«lpuid»@live.com","UserType":0,"Version":1,"Workload":"OneDrive","ClientIP":"«clientip»","ObjectId":"https://contoso-my.sharepoint.com/personal/«personal»/Documents/«file»","UserId":"«upn»",
        "CorrelationId":"«guid»","EventSource":"SharePoint","ItemType":"File","ListId":"«newguid»","ListItemUniqueId":"«guid»","Site":"«newguid»","UserAgent":"«agent»","WebId":"«newguid»","HighPriorityMediaProcessing":false,
        "SourceFileExtension":"«extension»","SiteUrl":"https://contoso-my.sharepoint.com/personal/«personal»/","SourceFileName":"«file»","SourceRelativeUrl":"Documents"}"#,
    },
    Template {
        weight: 16,
        tag: "",
        text: r#"{"AppAccessContext":{"AADSessionId":"«guid»","CorrelationId":"«guid:c»","UniqueTokenId":"«hex:22»"},"CreationTime":"«time»","Id":"«id»","Operation":"«pick:FileSyncDownloadedFull|FileSyncUploadedFull|FileModifiedExtended|FileRenamed»",
        "OrganizationId":"«tenant»","RecordType":6,"UserKey":"i:0h.f|membership|«lpuid»@live.com","UserType":0,"Version":1,"Workload":"SharePoint","ClientIP":"«clientip»","ObjectId":"https://contoso.sharepoint.com/sites/«site»/Shared Documents/«file»",
        "UserId":"«upn»","CorrelationId":"«guid:c»","EventSource":"SharePoint","ItemType":"File","ListId":"«newguid»","ListItemUniqueId":"«guid»","Site":"«newguid»","UserAgent":"Microsoft SkyDriveSync 25.189.0928.0002 ship; Windows NT 10.0 (22631)",
        "WebId":"«newguid»","MachineDomainInfo":"«newguid»","MachineId":"«newguid»","FileSyncBytesCommitted":"«digits:7»","HighPriorityMediaProcessing":false,"SourceFileExtension":"«extension»","SiteUrl":"https://contoso.sharepoint.com/sites/«site»",
        "SourceFileName":"«file»","SourceRelativeUrl":"Shared Documents","Platform":«pick:1|"WinDesktop"»}"#,
    },
    Template {
        weight: 12,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:ListViewed|ListUpdated|ListCreated|ListItemViewed»","OrganizationId":"«tenant»","RecordType":36,"UserKey":"i:0h.f|membership|«lpuid»@live.com","UserType":0,"Version":1,
        "Workload":"SharePoint","ClientIP":"«clientip»","ObjectId":"https://contoso.sharepoint.com/sites/«site»/«guid:l»","UserId":"«upn»","CorrelationId":"«guid»","DoNotDistributeEvent":«pick:true|true|"True"»,"EventSource":"SharePoint","ItemType":"List",
        "ListId":"«guid:l»","Site":"«newguid»","UserAgent":"«agent»","WebId":"«newguid»","CustomizedDoclib":false,"FromApp":false,"ItemCount":«int:0:400»,"ListBaseTemplateType":"«pick:101|100|119|850»","ListBaseType":«pick:"DocumentLibrary"|"GenericList"|1»,
        "ListColor":"","ListIcon":"","SkipForServiceWorker":true,"Source":"Unknown","TemplateTypeId":"","ListTitle":"«guid:l»"}"#,
    },
    Template {
        weight: 12,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:PageViewed|PageViewedExtended|ClientViewSignaled»","OrganizationId":"«tenant»","RecordType":4,"UserKey":"i:0h.f|membership|«lpuid»@live.com","UserType":0,"Version":1,
        "Workload":"«pick:SharePoint|OneDrive»","ClientIP":"«clientip»","ObjectId":"https://contoso.sharepoint.com/sites/«site»/SitePages/Home.aspx","UserId":"«upn»","CorrelationId":"«guid»","CustomUniqueId":«pick:true|false»,"EventSource":"SharePoint",
        "ItemType":"Page","ListItemUniqueId":"«guid»","Site":"«newguid»","UserAgent":"«agent»","WebId":"«newguid»"}"#,
    },
    Template {
        weight: 8,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:SharingSet|SharingInvitationCreated|AddedToSecureLink|CompanyLinkCreated|SharingInheritanceBroken»","OrganizationId":"«tenant»","RecordType":14,
        "UserKey":"i:0h.f|membership|«lpuid»@live.com","UserType":0,"Version":1,"Workload":"SharePoint","ClientIP":"«clientip»","ObjectId":"https://contoso.sharepoint.com/sites/«site»/Shared Documents/«file»","UserId":"«upn»","CorrelationId":"«guid»",
        "EventSource":"SharePoint","ItemType":"File","ListId":"«newguid»","ListItemUniqueId":"«guid»","Site":"«newguid»","UserAgent":"«agent»","WebId":"«newguid»","EventData":"<Permissions granted>«pick:Contribute|Limited Access|Read»</Permissions granted>",
        "SourceFileExtension":"«extension»","SiteUrl":"https://contoso.sharepoint.com/sites/«site»","SourceFileName":"«file»","SourceRelativeUrl":"Shared Documents","TargetUserOrGroupName":"«pick:partner@example.org|Limited Access System Group|guest@example.net»",
        "TargetUserOrGroupType":"«pick:Guest|SharePointGroup|Member»","UniqueSharingId":"«guid»"}"#,
    },
    Template {
        weight: 5,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"«pick:AnonymousLinkCreated|AnonymousLinkUsed»","OrganizationId":"«tenant»","RecordType":14,"UserKey":"«pick:anonymous|i:0h.f!membership!urn%3aspo%3aanon»","UserType":0,"Version":1,
        "Workload":"OneDrive","ClientIP":"«clientip»","ObjectId":"https://contoso-my.sharepoint.com/personal/«personal»/Documents/«file»","UserId":"«pick:anonymous|urn:spo:anon»","CorrelationId":"«guid»","EventSource":"SharePoint","ItemType":"File",
        "ListId":"«newguid»","ListItemUniqueId":"«guid»","Site":"«newguid»","UserAgent":"«agent»","WebId":"«newguid»","EventData":"<Type>«pick:Edit|View»</Type>","SourceFileExtension":"«extension»","SiteUrl":"https://contoso-my.sharepoint.com/personal/«personal»",
        "SourceFileName":"«file»","SourceRelativeUrl":"Documents","UniqueSharingId":"«guid»"}"#,
    },
    Template {
        weight: 5,
        tag: "",
        text: r#"{"ClientIP":"","CorrelationId":"«guid»","CreationTime":"«time»","EventData":"<Group>Site Members</Group>","EventSource":"SharePoint","Id":"«id»","ItemType":"Web","ObjectId":"https://contoso.sharepoint.com/sites/«site»",
        "Operation":"«pick:AddedToGroup|RemovedFromGroup|SiteCollectionAdminAdded»","OrganizationId":"«tenant»","RecordType":14,"Site":"«newguid»","SiteUrl":"https://contoso.sharepoint.com/sites/«site»","TargetUserOrGroupName":"Everyone except external users",
        "TargetUserOrGroupType":"SecurityGroup","UserAgent":"","UserId":"«pick:app@sharepoint|SHAREPOINT\\system»","UserKey":"i:0i.t|00000003-0000-0ff1-ce00-000000000000|app@sharepoint","UserType":0,"Version":1,"WebId":"«newguid»","Workload":"SharePoint"}"#,
    },
    Template {
        weight: 3,
        tag: "",
        text: r#"{"CreationTime":"«time»","Id":"«id»","Operation":"FileMalwareDetected","OrganizationId":"«tenant»","RecordType":6,"UserKey":"i:0h.f|membership|«lpuid»@live.com","UserType":0,"Version":1,"Workload":"SharePoint","ClientIP":"::1",
        "ObjectId":"https://contoso.sharepoint.com/sites/«site»/Shared Documents/«file»","UserId":"«upn»","CorrelationId":"«guid»","EventSource":"SharePoint","ItemType":"File","ListId":"«newguid»","ListItemUniqueId":"«guid»","Site":"«newguid»","UserAgent":"",
        "WebId":"«newguid»","SourceFileExtension":"«extension»","VirusInfo":"Win32/Contrived.«hex:1»","VirusVendor":"Default","SiteUrl":"https://contoso.sharepoint.com/sites/«site»/","SourceFileName":"«file»","SourceRelativeUrl":"Shared Documents"}"#,
    },
];
