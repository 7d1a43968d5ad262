//! Counts the instructions that normalising one long record takes, under valgrind's callgrind: a list with twice the entries may take
//! [`MOST`] times as many. Whatever is quadratic shows here, on any machine.
//!
//! `cargo bench -p m365-bench --bench linear` counts all of [`SHAPES`]; `-- NAME` those whose text holds NAME. A new list is one line of
//! that table, and [`untold`] fails for one that a mapping reads and no line has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use m365_plugin::normalize::Normalizer;

/// Twice the entries may take so many times the instructions. What sorts takes a little more than twice.
const MOST: f64 = 2.2;
/// Entries of the shorter list. With fewer, what every record costs hides what an entry does.
const ENTRIES: usize = 2_000;
/// The number of the first entry: with as many digits as all others, so that each entry is as long as any.
const FIRST: usize = 10_000;
const SETTINGS: &str = r#"{"tenant":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11","format":"ecs"}"#;
const NOW: u64 = 1_764_061_441_000;

/// A stream, and a record of it without what all of its kind have. What stands between `⟦` and `⟧` is written as often as there are entries,
/// with commas between, and between `⟪` and `⟫` without; `#` is the number of the entry.
const SHAPES: &[(&str, &str)] = &[
    // Objects and texts of any kind of record.
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,⟦"f#":"a"⟧"##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,⟦"f#":1,"f##1":2⟧"##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,⟦"f":#⟧"##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,⟦"f#":1,"f#":2,"f#":3⟧"##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,"a":[⟦{"a":1,"a":2,"a":3,"a#1":4}⟧]"##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,"a":{⟦"f#":{"g":"a"}⟧}"##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,"a":"{⟦\"f#\":\"a\"⟧}""##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,"a":[⟦{"Name":"password#","Value":"x"}⟧]"##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,"a":[⟦{"Name":"password","Value":"x#"}⟧]"##),
    (
        "office365.exchange",
        r##""Operation":"New-InboxRule","RecordType":1,"a":[⟦{"Value":"x","b":{"Name":"secret#","NewValue":"x"}}⟧]"##,
    ),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,"a":"⟪\\\"\n\u00e4#⟫""##),
    ("office365.exchange", r##""Operation":"New-InboxRule","RecordType":1,"UserType":"⟦w#⟧""##),
    (
        "office365.exchange",
        r##""Operation":"New-InboxRule","RecordType":1,"UserId":"⟪u#⟫","ObjectId":"⟪o/#⟫","ClientIP":"⟪1.⟫""##,
    ),
    ("office365.general", r##""Operation":"⟪o#⟫","RecordType":99999,"a":"b""##),
    // Cmdlets.
    (
        "office365.exchange",
        r##""Operation":"New-InboxRule","RecordType":1,"ObjectId":"x","Parameters":[⟦{"Name":"n#","Value":"v#"}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"New-InboxRule","RecordType":1,"ObjectId":"x","Parameters":[⟦{"Name":"Name","Value":"v#"}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"Set-Mailbox","RecordType":1,"Parameters":[{"Name":"Identity","Value":"x"}],"ModifiedProperties":[⟦{"Name":"n#","NewValue":"v#","OldValue":"o"}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"Add-RoleGroupMember","RecordType":1,"Parameters":[{"Name":"Identity","Value":"g"},{"Name":"Member","Value":"⟦u#@x.com⟧"}]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"Add-MailboxPermission","RecordType":1,"Parameters":[{"Name":"Identity","Value":"g"},{"Name":"User","Value":"u@x.com"},{"Name":"AccessRights","Value":"⟦r#⟧"}]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"New-MailboxSearch","RecordType":1,"Parameters":[⟦{"Name":"n#","Value":"v#"}⟧]"##,
    ),
    (
        "office365.general",
        r##""Operation":"Set-Mailbox","RecordType":18,"Parameters":"⟪-p# \"v#\" ⟫","NonPIIParameters":"⟪-p# \"<v>\" ⟫""##,
    ),
    ("office365.general", r##""Operation":"Set-Mailbox","RecordType":18,"Parameters":"⟪-a (⟫""##),
    ("office365.general", r##""Operation":"Set-Mailbox","RecordType":18,"Parameters":"⟪-Password # ⟫""##),
    ("office365.general", r##""Operation":"Set-Mailbox","RecordType":18,"Parameters":"⟪-Password (⟫""##),
    ("office365.general", r##""Operation":"Set-Mailbox","RecordType":18,"Parameters":"-Password ⟪-a-⟫""##),
    // Mailboxes.
    (
        "office365.exchange",
        r##""Operation":"HardDelete","RecordType":3,"MailboxOwnerUPN":"a@x.com","AffectedItems":[⟦{"Id":"i#","InternetMessageId":"m#@x","Subject":"s#","ParentFolder":{"Id":"p#","Path":"\\p#"}}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"MailItemsAccessed","RecordType":50,"Folders":[⟦{"Id":"i#","Path":"\\p#","FolderItems":[{"InternetMessageId":"m#@x"}]}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"MailItemsAccessed","RecordType":50,"Folders":[{"Id":"i","Path":"\\p","FolderItems":[⟦{"InternetMessageId":"m#@x"}⟧]}]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"MailItemsAccessed","RecordType":50,"Messages":[⟦{"Id":"i#","MessageItems":[{"InternetMessageId":"m#@x"}]}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"MailItemsAccessed","RecordType":50,"Folders":[{"Id":"i"}],"OperationProperties":[⟦{"Name":"n#","Value":"v#"}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"UpdateInboxRules","RecordType":2,"MailboxOwnerUPN":"a@x.com","OperationProperties":[⟦{"Name":"n#","Value":"v#"}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"UpdateInboxRules","RecordType":2,"MailboxOwnerUPN":"a@x.com","OperationProperties":[{"Name":"RuleActions","Value":"[⟦{\"ActionType\":\"Forward\",\"Recipients\":[\"r#@x.com\"]}⟧]"}]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"Send","RecordType":2,"MailboxOwnerUPN":"a@x.com","Item":{"Subject":"s","Attachments":"⟪f#.txt (1b); ⟫"}"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"Send","RecordType":2,"MailboxOwnerUPN":"a@x.com","Item":{"Subject":"s"},"recipientList":[⟦{"Address":"r#@x.com"}⟧]"##,
    ),
    (
        "office365.exchange",
        r##""Operation":"AddFolderPermissions","RecordType":2,"Item":{"ParentFolder":{"Id":"i","MemberUpn":"m@x.com","MemberRights":"⟦r#⟧"}}"##,
    ),
    // The directory.
    (
        "office365.azure-ad",
        r##""Operation":"UserLoggedIn","RecordType":15,"ExtendedProperties":[⟦{"Name":"n#","Value":"v#"}⟧]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"UserLoggedIn","RecordType":15,"DeviceProperties":[⟦{"Name":"n#","Value":"v#"}⟧]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"UserLoggedIn","RecordType":15,"Actor":[⟦{"ID":"User_00000000-0000-4000-8000-00000000000a","Type":2}⟧],"Target":[⟦{"ID":"t#","Type":0}⟧]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"Update user.","RecordType":8,"ModifiedProperties":[⟦{"Name":"n#","NewValue":"v#","OldValue":"o#"}⟧]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"Update user.","RecordType":8,"ModifiedProperties":[⟦{"Name":"n#","NewValue":"[\r\n  \"v#\"\r\n]","OldValue":"[]"}⟧]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"Update policy.","RecordType":8,"ObjectId":"o","Target":[⟦{"ID":"t#","Type":1}⟧],"ModifiedProperties":[⟦{"Name":"n#","NewValue":"\"v#\"","OldValue":"o#"}⟧]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"Add delegated permission grant.","RecordType":8,"ObjectId":"o","ModifiedProperties":[{"Name":"DelegatedPermissionGrant.Scope","NewValue":"⟪s# ⟫","OldValue":""}]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"Consent to application.","RecordType":8,"ObjectId":"o","ModifiedProperties":[{"Name":"ConsentAction.Permissions","NewValue":"[] => [⟪[Id: x, Scope: s#, CreatedDateTime: ]⟫]","OldValue":""}]"##,
    ),
    (
        "office365.azure-ad",
        r##""Operation":"Update user.","RecordType":8,"AppAccessContext":[⟦{"AADSessionId":"#"}⟧],"ExtendedProperties":[{"Name":"additionalDetails","Value":"{⟦\"k#\":#⟧}"}]"##,
    ),
    (
        "graph.directory-audits",
        r##""category":"UserManagement","activityDisplayName":"Update user","result":"success","targetResources":[⟦{"id":"u#","type":"User","displayName":"d#","modifiedProperties":[{"displayName":"m#","newValue":"\"a\"","oldValue":"\"b\""}]}⟧]"##,
    ),
    (
        "graph.directory-audits",
        r##""category":"Policy","activityDisplayName":"Update policy","targetResource":[⟦{"id":"u#","type":"Policy","displayName":"d#"}⟧]"##,
    ),
    (
        "graph.directory-audits",
        r##""category":"Policy","activityDisplayName":"Update policy","targetResources":[{"id":"u","type":"Policy","modifiedProperties":[⟦{"displayName":"m#","newValue":"\"a\"","oldValue":"\"b\""}⟧]}]"##,
    ),
    (
        "graph.directory-audits",
        r##""category":"RoleManagement","activityDisplayName":"Add member to role","targetResources":[{"id":"u","type":"User","modifiedProperties":[{"displayName":"Role.DisplayName","newValue":"\"r\""}]},⟦{"id":"r#","type":"Role","displayName":"d#"}⟧]"##,
    ),
    (
        "graph.directory-audits",
        r##""category":"Other","activityDisplayName":"Unheard of","additionalDetails":[⟦{"key":"k#","value":"v#"}⟧]"##,
    ),
    // Sign-ins.
    (
        "graph.signins.interactive",
        r##""userPrincipalName":"a@b.c","status":{"errorCode":0},"appliedConditionalAccessPolicies":[⟦{"id":"p#","displayName":"d#","result":"success","enforcedGrantControls":["mfa"]}⟧]"##,
    ),
    (
        "graph.signins.interactive",
        r##""userPrincipalName":"a@b.c","status":{"errorCode":0},"appliedConditionalAccessPolicies":[{"id":"p","result":"success","enforcedGrantControls":[⟦"c#"⟧]}]"##,
    ),
    (
        "graph.signins.interactive",
        r##""userPrincipalName":"a@b.c","status":{"errorCode":0},"authenticationDetails":[⟦{"authenticationMethod":"m#","succeeded":true}⟧]"##,
    ),
    (
        "graph.signins.interactive",
        r##""userPrincipalName":"a@b.c","status":{"errorCode":0},"networkLocationDetails":[⟦{"networkType":"n#","networkNames":["x"]}⟧],"signInEventTypes":[⟦"t#"⟧]"##,
    ),
    (
        "graph.signins.noninteractive",
        r##""userPrincipalName":"a@b.c","status":{"errorCode":0},"authenticationProcessingDetails":[⟦{"key":"k#","value":"v#"}⟧]"##,
    ),
    (
        "graph.signins.service-principal",
        r##""servicePrincipalName":"a","status":{"errorCode":0},"riskEventTypes_v2":[⟦"t#"⟧],"appliedEventListeners":[⟦{"eventType":"#"}⟧]"##,
    ),
    (
        "graph.signins.managed-identity",
        r##""servicePrincipalName":"a","status":{"errorCode":0},"resourceOwnerTenantId":"x","x":[⟦[#]⟧]"##,
    ),
    // Alerts.
    (
        "graph.alerts",
        r##""evidence":[⟦{"@odata.type":"#microsoft.graph.security.ipEvidence","ipAddress":"10.1.1.1","roles":["attacked"]}⟧]"##,
    ),
    (
        "graph.alerts",
        r##""evidence":[⟦{"@odata.type":"#microsoft.graph.security.processEvidence","processId":#,"parentProcessId":#,"processCommandLine":"c#","imageFile":{"fileName":"f#"}}⟧]"##,
    ),
    (
        "graph.alerts",
        r##""evidence":[⟦{"@odata.type":"#microsoft.graph.security.mailboxEvidence","primaryAddress":"u#@x.com","roles":["attacked"],"detailedRoles":["x#"]}⟧]"##,
    ),
    (
        "graph.alerts",
        r##""evidence":[⟦{"@odata.type":"#microsoft.graph.security.cloudApplicationEvidence","appId":#,"displayName":"d#","roles":["attacked"]}⟧]"##,
    ),
    ("graph.alerts", r##""evidence":[⟦{"@odata.type":"#microsoft.graph.security.malwareEvidence","name":"m#"}⟧]"##),
    (
        "graph.alerts",
        r##""evidence":[⟦{"@odata.type":"#microsoft.graph.security.urlEvidence","url":"https://x.com/#"}⟧]"##,
    ),
    (
        "graph.alerts",
        r##""evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","mdeDeviceId":"x","roles":[⟦"r#"⟧],"ipInterfaces":[⟦"127.0.0.1"⟧]}]"##,
    ),
    (
        "graph.alerts",
        r##""evidence":[{"@odata.type":"#microsoft.graph.security.blobEvidence","name":"x","fileHashes":[⟦{"algorithm":"md5","value":"00000000000000000000000000000000"}⟧]}]"##,
    ),
    ("graph.alerts", r##""evidence":[⟦{"password":"x","displayName":"password","NewValue":"x#"}⟧]"##),
    ("graph.alerts", r##""mitreTechniques":[⟦"T#.001"⟧],"categories":[⟦"c#"⟧],"systemTags":[⟦"t#"⟧]"##),
    ("graph.alerts", r##""comments":[⟦{"comment":"c#","createdDateTime":"2026-11-30T18:00:00Z"}⟧]"##),
    (
        "graph.alerts-legacy",
        r##""userStates":[⟦{"userPrincipalName":"u#@x.com"}⟧],"hostStates":[⟦{"fqdn":"h#.x.com"}⟧]"##,
    ),
    ("graph.alerts-legacy", r##""fileStates":[⟦{"name":"f#"}⟧],"processes":[⟦{"name":"f#","processId":#}⟧]"##),
    (
        "graph.alerts-legacy",
        r##""networkConnections":[⟦{"sourceAddress":"10.1.1.1","sourcePort":"#"}⟧],"registryKeyStates":[⟦{"key":"k#"}⟧]"##,
    ),
    (
        "graph.alerts-legacy",
        r##""uriClickSecurityStates":[⟦{"uriDomain":"d#.com"}⟧],"messageSecurityStates":[⟦{"connectingIP":"10.1.1.1","x":#}⟧]"##,
    ),
    (
        "graph.alerts-legacy",
        r##""cloudAppStates":[⟦{"destinationServiceName":"d#"}⟧],"securityResources":[⟦{"resource":"r#","resourceType":"attacked"}⟧]"##,
    ),
    ("graph.alerts-legacy", r##""malwareStates":[⟦{"name":"m#"}⟧],"vulnerabilityStates":[⟦{"cve":"CVE-2026-#"}⟧]"##),
    (
        "graph.alerts-legacy",
        r##""comments":[⟦"c#"⟧],"recommendedActions":[⟦"c#"⟧],"tags":[⟦"c#"⟧],"incidentIds":[⟦"c#"⟧],"detectionIds":[⟦"c#"⟧],"sourceMaterials":[⟦"c#"⟧]"##,
    ),
    (
        "office365.general",
        r##""Operation":"AlertTriggered","RecordType":40,"AlertId":"a","AlertLinks":[⟦{"x":"#"}⟧],"Data":"{⟦\"k#\":\"v\"⟧}""##,
    ),
    (
        "office365.general",
        r##""Operation":"AirInvestigationData","RecordType":64,"InvestigationId":"a","Actions":[⟦"{\"ActionType\":\"t#\",\"Entities\":[{\"Type\":\"ip\",\"Address\":\"10.1.1.1\"}]}"⟧],"Data":"{\"Entities\":[⟦{\"Type\":\"x\",\"y\":#}⟧]}""##,
    ),
    (
        "office365.general",
        r##""Operation":"TIMailData","RecordType":28,"P2Sender":"a@x.com","Subject":"s","Recipients":[⟦"r#@x.com"⟧]"##,
    ),
    (
        "office365.general",
        r##""Operation":"TIMailData","RecordType":28,"P2Sender":"a@x.com","AttachmentData":[⟦{"FileName":"f#","FileVerdict":"1","MalwareFamily":"m#"}⟧]"##,
    ),
    (
        "office365.general",
        r##""Operation":"TIMailData","RecordType":28,"P2Sender":"a@x.com","AuthDetails":[⟦{"Name":"n#","Value":"v#"}⟧]"##,
    ),
    // Data loss prevention and labels.
    (
        "office365.dlp",
        r##""Operation":"DlpRuleMatch","RecordType":13,"IncidentId":"i","PolicyDetails":[⟦{"PolicyId":"p#","PolicyName":"n#","Rules":[{"RuleId":"r#","RuleName":"x","Severity":"Low","Actions":["a"],"ConditionsMatched":{"SensitiveInformation":[{"Count":1,"SensitiveType":"s#"}]}}]}⟧]"##,
    ),
    (
        "office365.dlp",
        r##""Operation":"DlpRuleMatch","RecordType":13,"IncidentId":"i","PolicyDetails":[{"PolicyId":"p","Rules":[⟦{"RuleId":"r#","Actions":["a#"]}⟧]}]"##,
    ),
    (
        "office365.dlp",
        r##""Operation":"DlpRuleMatch","RecordType":13,"IncidentId":"i","PolicyDetails":[{"Rules":[{"RuleId":"r","Actions":[⟦"a#"⟧],"ConditionsMatched":{"SensitiveInformation":[⟦{"SensitiveType":"s#","SensitiveInformationDetections":{"DetectedValues":[{"Name":"x#","Value":"y"}]}}⟧]}}]}]"##,
    ),
    (
        "office365.dlp",
        r##""Operation":"DlpRuleMatch","RecordType":63,"IncidentId":"i","EndpointMetaData":{"SensitiveInformation":[⟦{"SensitiveType":"s#","Count":#}⟧]}"##,
    ),
    ("office365.general", r##""Operation":"MipLabel","RecordType":43,"Sender":"a@x.com","Receivers":[⟦"r#@x.com"⟧]"##),
    // Teams, Copilot, Power BI, SharePoint.
    (
        "office365.general",
        r##""Operation":"MemberAdded","RecordType":25,"TeamGuid":"t","TeamName":"n","Members":[⟦{"DisplayName":"d#","UPN":"u#@x","Role":1}⟧]"##,
    ),
    (
        "office365.general",
        r##""Operation":"MemberRoleChanged","RecordType":25,"TeamGuid":"t","Members":[⟦{"DisplayName":"d#","UPN":"u#@x","Role":2}⟧]"##,
    ),
    ("office365.general", r##""Operation":"MessagesListed","RecordType":25,"Messages":[⟦{"Id":"m#","x":"y"}⟧]"##),
    (
        "office365.general",
        r##""Operation":"TeamSettingChanged","RecordType":25,"TeamGuid":"t","ModifiedProperties":[⟦{"Name":"n#","NewValue":"v#","OldValue":"o"}⟧]"##,
    ),
    (
        "office365.general",
        r##""Operation":"CopilotInteraction","RecordType":261,"CopilotEventData":{"AppHost":"Word","Messages":[⟦{"Id":"m#","isPrompt":true}⟧],"AccessedResources":[⟦{"ID":"r#","Name":"n#","SiteUrl":"https://x/#","Type":"docx"}⟧]}"##,
    ),
    (
        "office365.general",
        r##""Operation":"CopilotInteraction","RecordType":261,"CopilotEventData":{"AppHost":"Word","AISystemPlugin":[⟦{"Id":"m#"}⟧],"ModelTransparencyDetails":[⟦{"ModelName":"r#"}⟧]}"##,
    ),
    (
        "office365.general",
        r##""Operation":"AddGroupMembers","RecordType":20,"WorkspaceId":"w","WorkSpaceName":"n","MembershipInformation":[⟦{"MemberEmail":"u#@x.com","Status":"Admin","x":1}⟧]"##,
    ),
    (
        "office365.sharepoint",
        r##""Operation":"SharingSet","RecordType":14,"ObjectId":"https://x.com/a","ItemType":"File","SourceFileName":"f","EventData":"⟪<a#>b#</a#>⟫""##,
    ),
    (
        "office365.sharepoint",
        r##""Operation":"SharingSet","RecordType":14,"ObjectId":"https://x.com/a","ItemType":"File","SourceFileName":"f","EventData":"⟪<a>⟫""##,
    ),
    (
        "office365.sharepoint",
        r##""Operation":"SiteCollectionCreated","RecordType":4,"ObjectId":"https://x.com/a","ItemType":"Site","EventData":"⟪<a#>b#</a#>⟫","ModifiedProperties":[⟦{"Name":"n#","NewValue":"v#","OldValue":"o"}⟧]"##,
    ),
];

#[derive(Parser)]
struct Arguments {
    /// Only shapes whose text holds this.
    only: Option<String>,
    /// Normalise one record of this shape with so many entries and do nothing else: what is counted.
    #[arg(long, hide = true, num_args = 2, value_names = ["SHAPE", "ENTRIES"])]
    counted: Option<Vec<usize>>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    if let Some([shape, entries]) = arguments.counted.as_deref() {
        let (stream, shape) = SHAPES[*shape];
        counted_by_callgrind(&Normalizer::new(SETTINGS)?, stream, record(stream, shape, *entries).as_bytes());
        return Ok(());
    }
    let chosen: Vec<_> = SHAPES
        .iter()
        .enumerate()
        .filter(|(_, (_, shape))| arguments.only.as_ref().is_none_or(|only| shape.contains(only)))
        .collect();
    let mut wrong = untold()?;
    let normalizer = Normalizer::new(SETTINGS)?;
    for (_, (stream, shape)) in &chosen {
        let output = normalizer.process(stream, record(stream, shape, 3).as_bytes(), NOW)?;
        wrong.extend(output.rejects.iter().map(|reject| format!("{shape} gives no event: {}", reject.message)));
    }
    println!("| stream | shape | instructions per entry | twice as many |");
    println!("|---|---|---|---|");
    let places: Vec<usize> = chosen.iter().map(|(place, _)| *place).collect();
    for ((_, (stream, shape)), counted) in chosen.iter().zip(in_turn(&places)) {
        let (one, two) = counted?;
        if one < ENTRIES as u64 {
            return Err("callgrind doesn't see the function that is counted".into());
        }
        let ratio = two as f64 / one as f64;
        let text: String = shape.chars().take(100).collect();
        println!("| {stream} | `{}` | {} | {ratio:.2} |", text.replace('|', "/"), one / ENTRIES as u64);
        if ratio > MOST {
            wrong.push(format!("twice the entries take {ratio:.2} times the instructions in {stream}: {shape}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// The instructions of each of these shapes with [`ENTRIES`] and with twice as many, counted by as many processes at a time as there are
/// cores: what is counted doesn't depend on what else runs.
fn in_turn(shapes: &[usize]) -> Vec<Result<(u64, u64), String>> {
    let next = AtomicUsize::new(0);
    let counted = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(shape) = shapes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let both = || Ok((instructions(*shape, ENTRIES)?, instructions(*shape, 2 * ENTRIES)?));
                    let both = both().map_err(|error: Box<dyn std::error::Error>| error.to_string());
                    counted.lock().expect("no thread panicked").insert(*shape, both);
                }
            });
        }
    });
    let mut counted = counted.into_inner().expect("no thread panicked");
    shapes.iter().filter_map(|shape| counted.remove(shape)).collect()
}

/// A record of so many entries.
fn record(stream: &str, shape: &str, entries: usize) -> String {
    let all = match stream {
        _ if stream.starts_with("office365") => {
            r#""Id":"i","CreationTime":"2026-11-30T18:00:00","OrganizationId":"5b0c6e4a-9d1f-4c83-a7e2-3f6d18b0c954","UserKey":"k","Version":1,"Workload":"w""#
        }
        "graph.directory-audits" => r#""id":"i","activityDateTime":"2026-11-30T18:00:00Z""#,
        "graph.alerts" => {
            r#""id":"i","title":"t","severity":"high","status":"new","createdDateTime":"2026-11-30T18:00:00Z","lastUpdateDateTime":"2026-11-30T18:00:00Z""#
        }
        "graph.alerts-legacy" => {
            r#""id":"i","title":"t","severity":"high","status":"newAlert","createdDateTime":"2026-11-30T18:00:00Z","vendorInformation":{"provider":"p","vendor":"Microsoft"}"#
        }
        _ => r#""id":"i","createdDateTime":"2026-11-30T18:00:00Z","appId":"a""#,
    };
    let mut record = format!("{{{all},");
    if stream.starts_with("office365") && !shape.contains("\"UserId\"") {
        record.push_str("\"UserId\":\"a@contoso.com\",\"UserType\":2,");
    }
    let mut rest = shape;
    while let Some(begin) = rest.find(['⟦', '⟪']) {
        let comma = rest[begin..].starts_with('⟦');
        let inside = &rest[begin + '⟦'.len_utf8()..];
        let end = inside.find(['⟧', '⟫']).unwrap_or(inside.len());
        record.push_str(&rest[..begin]);
        for entry in 0..entries {
            if comma && entry > 0 {
                record.push(',');
            }
            // The sign that a derived type begins with, and the one before the number of an earlier value, are no numbers.
            let text = inside[..end].replace("#microsoft", "\0microsoft").replace("#1\"", "\u{1}1\"");
            record.push_str(&text.replace('#', &(FIRST + entry).to_string()).replace(['\0', '\u{1}'], "#"));
        }
        rest = &inside[end + '⟧'.len_utf8()..];
    }
    record + rest + "}"
}

/// What callgrind counts.
#[inline(never)]
fn counted_by_callgrind(normalizer: &Normalizer, stream: &str, record: &[u8]) {
    let _ = std::hint::black_box(normalizer.process(stream, record, NOW));
}

/// The instructions of one record of a shape.
fn instructions(shape: usize, entries: usize) -> Outcome<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_by_callgrind*"])
        .arg(std::env::current_exe()?)
        .args(["--counted", &shape.to_string(), &entries.to_string()])
        .output()
        .map_err(|error| format!("valgrind can't be started: {error}. It is a package of that name."))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    let count = collected.filter(|_| output.status.success()).and_then(|count| count.parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing: {log}").into())
}

/// Lists that a mapping reads by name and that no shape has.
fn untold() -> Outcome<Vec<String>> {
    /// What lists are read with.
    const READERS: [&str; 7] = [
        ".items(\"",
        ".pairs(\"",
        "take_texts(record, \"",
        "take_addresses(record, \"",
        "first_alone(record, \"",
        "named_values::take(context, record, \"",
        "named_values::peek(context, record, \"",
    ];
    let mut names = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin/src/normalize")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)?;
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for reader in READERS {
                    names
                        .extend(code.split(reader).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
                }
            }
        }
    }
    let missing = names.into_iter().filter(|name| {
        let member = format!("\"{name}\":");
        let in_text = format!("\\\"{name}\\\":");
        !SHAPES.iter().any(|(_, shape)| shape.contains(&member) || shape.contains(&in_text))
    });
    Ok(missing.map(|name| format!("the list {name} is read and has no shape here")).collect())
}
