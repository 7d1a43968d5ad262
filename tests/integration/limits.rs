//! What a guest may use: it is stopped at its limits, and the host lives on.

use std::time::Duration;

use m365_pipe::guest::{Batch, GuestError, GuestLimits, Plugin, PluginFile};

const SETTINGS: &str = r#"{"tenant":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f"}"#;

/// The built-in component as a file: a stranger, which runs with epoch checks.
fn stranger(limits: GuestLimits) -> Result<Plugin, m365_pipe::guest::LoadError> {
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    Plugin::load(&PluginFile::File(env!("M365_COMPONENT").into()), Some(&cache), limits)
}

fn batch(count: u32) -> Batch {
    let line = b"{\"CreationTime\":\"2026-05-04T03:02:01\",\"Id\":\"a\",\"Operation\":\"FileAccessed\",\"RecordType\":6,\"Workload\":\"SharePoint\",\"UserId\":\"anna@contoso.com\"}\n";
    Batch { count, data: line.repeat(count as usize) }
}

#[test]
fn a_guest_that_computes_too_long_is_stopped() {
    let plugin = stranger(GuestLimits { time: Duration::ZERO, ..GuestLimits::default() }).unwrap();
    let mut instance = plugin.transform(SETTINGS).unwrap();
    let error = instance.process("office365.sharepoint", &batch(60_000), 0).err();
    let Some(GuestError::Trapped(reason)) = error else { panic!("it was not stopped: {error:?}") };
    assert!(reason.contains("computed for longer than"), "{reason}");

    // The next instance is as good as ever.
    let plugin = stranger(GuestLimits::default()).unwrap();
    let output = plugin.transform(SETTINGS).unwrap().process("office365.sharepoint", &batch(3), 0).unwrap();
    assert_eq!(output.batch.count, 3);
}

#[test]
fn a_guest_that_takes_too_much_memory_is_stopped() {
    let plugin = stranger(GuestLimits { memory: 16 << 20, ..GuestLimits::default() }).unwrap();
    let mut instance = plugin.transform(SETTINGS).unwrap();
    let error = instance.process("office365.sharepoint", &batch(120_000), 0).err();
    assert!(matches!(error, Some(GuestError::Trapped(_))), "{error:?}");
    let output = plugin.transform(SETTINGS).unwrap().process("office365.sharepoint", &batch(3), 0).unwrap();
    assert_eq!(output.batch.count, 3);
}

#[test]
fn settings_that_a_guest_refuses_are_told() {
    let plugin = stranger(GuestLimits::default()).unwrap();
    let error = plugin.transform("not json").err();
    assert!(matches!(&error, Some(GuestError::Answered { message, .. }) if !message.is_empty()), "{error:?}");
}

#[test]
fn a_batch_that_lies_about_its_lines_is_no_reason_to_fail() {
    let plugin = stranger(GuestLimits::default()).unwrap();
    let mut instance = plugin.transform(SETTINGS).unwrap();
    let lie = Batch { count: 2, data: batch(5).data };
    // Whatever the plugin makes of it, the host notices that the answer doesn't add up, or the plugin says so.
    assert!(instance.process("office365.sharepoint", &lie, 0).is_err());
}
