//! What a record says was done: the name as it has to come out, and the class and activity of names that mean one thing.

use serde_json::Value;

use crate::{raw::text, records::Record};

/// The operation's name as events carry it: without blanks around it and without the full stop that one of two APIs writes.
pub fn name(stream: &str, record: &Value) -> String {
    let name = match stream {
        "graph.directory-audits" => text(record, "activityDisplayName"),
        "graph.alerts" | "graph.alerts-legacy" => Some("alert"),
        graph if graph.starts_with("graph.") => Some("Sign-in activity"),
        _ => text(record, "Operation"),
    };
    name.unwrap_or_default().trim_end_matches(['.', ' ']).to_owned()
}

/// Names, and the class and activity that they have to have. An activity is of another class only where the record lacks what its own
/// class requires; those classes are behind it.
const MEANINGS: &str = "
UserLoggedIn                        3002/1
UserLoginFailed                     3002/1
Sign-in activity                    3002/1
MailboxLogin                        3002/1
TeamsSessionStarted                 3002/1
Add user                            3001/1
Delete user                         3001/6
Disable account                     3001/5
Enable account                      3001/2
Change user password                3001/3
Reset user password                 3001/4
Update user                         3001/99
Add member to group                 3006/3 3004/1
Remove member from group            3006/4 3004/4
Add group                           3006/6
Delete group                        3006/5
Add member to role                  3005/1 3004/1
Remove member from role             3005/2 3004/4
Consent to application              3005/1 3004/3
Add delegated permission grant      3005/1 3004/1
Add app role assignment to service principal 3005/1 3004/1
Add service principal               3004/1
Update service principal            3004/3
Add application                     3004/1
Update application                  3004/3
Delete application                  3004/4
Add service principal credentials   3004/3
Set domain authentication           3004/3
New-InboxRule                       3004/1
Set-InboxRule                       3004/3
Remove-InboxRule                    3004/4
Set-Mailbox                         3004/3
New-TransportRule                   3004/1
Set-TransportRule                   3004/3
Add-MailboxPermission               3005/1
Remove-MailboxPermission            3005/2
Add-RecipientPermission             3005/1
Remove-RecipientPermission          3005/2
Add-RoleGroupMember                 3006/3
MailItemsAccessed                   6001/2
FolderBind                          6001/2
Create                              6001/1
Update                              6001/3
Move                                6001/3
SoftDelete                          6001/4
HardDelete                          6001/4
MoveToDeletedItems                  6001/4
Send                                4009/1 6001/1
SendAs                              4009/1 6001/1
SendOnBehalf                        4009/1 6001/1
AddFolderPermissions                3005/1 6001/1
ModifyFolderPermissions             3005/1 6001/3
RemoveFolderPermissions             3005/2 6001/4
FileUploaded                        6006/1
FileDownloaded                      6006/2
FileSyncDownloadedFull              6006/2
FileModified                        6006/3
FileDeleted                         6006/4
FileRecycled                        6006/4
FileRenamed                         6006/5
FolderRenamed                       6006/5
FileCopied                          6006/6
FileMoved                           6006/7
FileRestored                        6006/8
FilePreviewed                       6006/9
FileCheckedOut                      6006/10
FileCheckedIn                       6006/11
FileAccessed                        6006/14
AnonymousLinkCreated                6006/12
AnonymousLinkUsed                   6006/14
SharingRevoked                      6006/13
PageViewed                          6001/2
SearchQueryPerformed                6001/5
SiteCollectionAdminAdded            3005/1
AddedToGroup                        3006/3
RemovedFromGroup                    3006/4
TeamCreated                         3006/6
TeamDeleted                         3006/5
MemberAdded                         3006/3
MemberRemoved                       3006/4
MemberRoleChanged                   3005/1
AppInstalled                        6002/1
MessageSent                         6001/1
ViewReport                          6001/2
DlpRuleMatch                        2006/1
DLPRuleMatch                        2006/1
DlpRuleUndo                         2006/3
DlpInfo                             2006/4
TIMailData                          4009/3
CopilotInteraction                  6003/99
";

/// Words at the beginning of a name that can't mean these activities.
const CONTRADICTIONS: [(&[&str], &[&str]); 6] = [
    (
        &["Remove", "Delete", "Hard Delete", "Revoke", "Uninstall"],
        &["Create", "Add User", "Assign Privileges", "Enable", "Upload", "Share"],
    ),
    (&["Disable", "Block"], &["Create", "Enable", "Add User", "Assign Privileges"]),
    (&["Enable", "Unblock"], &["Delete", "Disable", "Remove User", "Revoke Privileges"]),
    (&["Add", "New-", "Create"], &["Delete", "Disable", "Remove User", "Revoke Privileges", "Read"]),
    (&["Get-", "View", "List "], &["Create", "Update", "Delete", "Enable", "Disable"]),
    (&["Set-", "Update ", "Edit"], &["Create", "Delete", "Read"]),
];

/// Compares the class and activity with what the name means.
pub fn check(record: &Record, name: &str, event: &Value) -> Result<(), String> {
    let found = format!("{}/{}", event["class_uid"], event["activity_id"]);
    if event["type_uid"].as_i64()
        != Some(event["class_uid"].as_i64().unwrap_or(0) * 100 + event["activity_id"].as_i64().unwrap_or(0))
    {
        return Err(format!("type_uid {} is not of {found}", event["type_uid"]));
    }
    if record.stream.starts_with("graph.alerts") {
        return check_alert(&record.value, event);
    }
    let meaning = MEANINGS.lines().find_map(|line| {
        let (operation, meaning) = line.split_at_checked(line.rfind("  ").or_else(|| line.find(" 3005/"))?)?;
        (operation.trim() == name).then(|| meaning.split_whitespace().collect::<Vec<_>>())
    });
    // A site or list is shared, deleted or opened as a resource of the web; a mailbox's rules and search have tables of their own.
    let container = found.starts_with("6001/") && text(&record.value, "ItemType").is_some();
    if let Some(meaning) = meaning
        && !meaning.contains(&found.as_str())
        && !container
    {
        return Err(format!("it is {found} and not {meaning:?}"));
    }
    let activity = event["activity_name"].as_str().unwrap_or_default();
    for (begins, never) in CONTRADICTIONS {
        if begins.iter().any(|word| name.starts_with(word)) && never.contains(&activity) {
            return Err(format!("{name} can't be {activity}"));
        }
    }
    if found.starts_with("0/") {
        return Err("it is a Base Event".to_owned());
    }
    Ok(())
}

/// 1 Create, 2 Update, 3 Close.
fn check_alert(record: &Value, event: &Value) -> Result<(), String> {
    let closed = matches!(text(record, "status"), Some("resolved" | "dismissed"));
    let activity = event["activity_id"].as_i64().unwrap_or_default();
    if closed != (activity == 3) || event["class_uid"] != serde_json::json!(2004) {
        return Err(format!("the alert is {} and the activity {activity}", record["status"]));
    }
    Ok(())
}
