//! Builds the two components from `plugin/` and tells the crate where they are, and the digest of the one that is built in.
//!
//! They go into a target folder of their own below the workspace's, since the outer build holds the lock of its folder.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = manifest.join("..");
    for watched in [
        "plugin/src",
        "plugin/build",
        "plugin/build.rs",
        "plugin/Cargo.toml",
        "wit",
        "schemas/build",
        "schemas/events",
        "schemas/ocsf",
        "schemas/records",
        "schemas/src",
        "Cargo.lock",
        "Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    ensure_target();

    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = out.ancestors().nth(4).unwrap_or(&out).join("component");
    let transform_only = ["--no-default-features", "--features", "transform-only"];
    let transform = component(&root, &target, "m365-transform.wasm", &transform_only);
    let built_in = component(&root, &target, "m365.wasm", &[]);
    let bytes =
        std::fs::read(&built_in).unwrap_or_else(|error| panic!("{} can't be read: {error}", built_in.display()));
    println!("cargo::rustc-env=M365_TRANSFORM_COMPONENT={}", transform.display());
    println!("cargo::rustc-env=M365_COMPONENT={}", built_in.display());
    println!("cargo::rustc-env=M365_COMPONENT_DIGEST={}", blake3::hash(&bytes));
}

/// Builds a component and gives it a name of its own.
fn component(root: &Path, target: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    build(root, target, arguments);
    let built = target.join(TARGET).join("component").join("m365_plugin.wasm");
    let component = target.join(name);
    if let Err(error) = std::fs::copy(&built, &component) {
        panic!("{} can't be copied to {}: {error}", built.display(), component.display());
    }
    component
}

fn build(root: &Path, target: &Path, arguments: &[&str]) {
    let status = Command::new(variable("CARGO"))
        .current_dir(root)
        .args(["build", "--package", "m365-plugin", "--lib", "--profile", "component", "--target", TARGET])
        .args(arguments)
        .arg("--target-dir")
        .arg(target)
        // What the outer build sets for native code, or for a lint run, is not for the component.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CLIPPY_ARGS")
        .env_remove("CARGO_TARGET_DIR")
        // Hosts of the component model have SIMD, which scanning and hashing bytes can use. A call costs more in a component
        // than natively: more inlining takes 2 to 7 % less time, for a third more code.
        .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", "-C target-feature=+simd128 -C llvm-args=--inline-threshold=600")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("The plugin could not be built for {TARGET} ({status}); the messages above say why."),
        Err(error) => panic!("cargo could not be started to build the plugin: {error}"),
    }
}

/// Installs the standard library for the component's target if it is missing.
fn ensure_target() {
    let installed = || {
        Command::new(variable("RUSTC"))
            .args(["--print", "target-libdir", "--target", TARGET])
            .output()
            .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
    };
    if installed() {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    if !added.is_ok_and(|status| status.success()) || !installed() {
        panic!(
            "The plugin is built for {TARGET}, which this toolchain lacks. Run this once: rustup target add {TARGET}"
        );
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
