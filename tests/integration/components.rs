//! The two components by themselves: what they import, and that the transform needs no host but WebAssembly itself.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "transform-plugin" });
}

const FULL: &str = env!("M365_COMPONENT");
const TRANSFORM: &str = env!("M365_TRANSFORM_COMPONENT");

/// What the standard library brings along. None of it is a way out: files and sockets are not in it.
const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
];

fn engine() -> Engine {
    let mut config = Config::new();
    config.concurrency_support(false);
    Engine::new(&config).unwrap()
}

fn imports(file: &str) -> (Vec<String>, Vec<String>) {
    let engine = engine();
    let component = Component::from_file(&engine, file).unwrap();
    let all = component.component_type().imports(&engine).map(|(name, _)| name.to_owned()).collect::<Vec<String>>();
    all.into_iter().partition(|name| name.starts_with("log-pipeline:"))
}

#[test]
fn the_component_imports_http_and_log_and_nothing_else_of_ours() {
    let (ours, others) = imports(FULL);
    let mut ours = ours;
    ours.sort();
    assert_eq!(
        ours,
        ["log-pipeline:plugin/http@0.1.0", "log-pipeline:plugin/log@0.1.0", "log-pipeline:plugin/types@0.1.0"]
    );
    assert_only_harmless(&others);
}

#[test]
fn the_transform_imports_neither_http_nor_log() {
    let (ours, others) = imports(TRANSFORM);
    // Types are no functions: there is nothing to provide for them.
    assert!(ours.iter().all(|name| name == "log-pipeline:plugin/types@0.1.0"), "{ours:?}");
    assert_only_harmless(&others);
}

fn assert_only_harmless(imports: &[String]) {
    for import in imports {
        let name = import.split('@').next().unwrap_or_default();
        assert!(WASI.contains(&name), "an import beyond the list: {import}");
    }
}

#[test]
fn the_transform_runs_with_nothing_but_wasmtime_and_the_wit() {
    let engine = engine();
    let component = Component::from_file(&engine, TRANSFORM).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    // Everything that the standard library imports is a trap: if normalising called any of it, this test would fail.
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let mut store = Store::new(&engine, ());
    let plugin = bindings::TransformPlugin::instantiate(&mut store, &component, &linker).unwrap();

    let description = plugin.log_pipeline_plugin_info().call_describe(&mut store).unwrap();
    assert_eq!(description.streams.len(), 12);

    let transform = plugin.log_pipeline_plugin_transform();
    transform.call_configure(&mut store, r#"{"tenant":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f"}"#).unwrap().unwrap();
    let record = r#"{"id":"6e3f2c1a-0b5d-4c6e-9f70-1a2b3c4d5e6f","createdDateTime":"2026-05-04T03:02:01Z","userDisplayName":"Anna Lind","userPrincipalName":"anna@contoso.com","userId":"3a7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f","appId":"1b730954-1685-4b74-9bfd-dac224a7b894","appDisplayName":"Contoso Portal","ipAddress":"203.0.113.9","clientAppUsed":"Browser","conditionalAccessStatus":"notApplied","isInteractive":true,"resourceDisplayName":"Microsoft Graph","resourceId":"00000003-0000-0000-c000-000000000000","status":{"errorCode":0,"failureReason":"Other.","additionalDetails":null},"location":{"city":"Lund","state":"Skane","countryOrRegion":"SE","geoCoordinates":{"latitude":55.7,"longitude":13.19}}}"#;
    let batch = bindings::exports::log_pipeline::plugin::transform::Batch {
        count: 2,
        data: format!("{record}\n\"no object\"\n").into_bytes(),
    };
    let output = transform
        .call_process(&mut store, &"graph.signins.interactive".to_owned(), &batch, 1_780_000_000_000)
        .unwrap()
        .unwrap();
    assert_eq!((output.batch.count, output.rejects.len(), output.filtered), (1, 1, 0));
    assert_eq!(output.rejects[0].index, 1);
    let event: serde_json::Value = serde_json::from_slice(&output.batch.data).unwrap();
    assert_eq!((&event["class_uid"], &event["user"]["name"]), (&3002.into(), &"anna@contoso.com".into()));
}

#[test]
fn both_components_export_what_their_worlds_say() {
    let engine = engine();
    for (file, expected) in [(FULL, vec!["info", "source", "transform"]), (TRANSFORM, vec!["info", "transform"])] {
        let component = Component::from_file(&engine, file).unwrap();
        let mut exports: Vec<String> = component
            .component_type()
            .exports(&engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
            .map(|(name, _)| name.trim_start_matches("log-pipeline:plugin/").trim_end_matches("@0.1.0").to_owned())
            .filter(|name| name != "types")
            .collect();
        exports.sort();
        assert_eq!(exports, expected, "{file}");
    }
}
