//! Components that misbehave (`tests/hostile`), with the real program and `--plugin`: a test for each way.
//!
//! Whatever one stream of a component does, the run stays within bounds of time, memory, log and stop, the honest stream
//! beside it is complete, and one line names what was done and where. The bounds here are wide: they show that there are some.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use m365_hostile::{HONEST_RECORDS, MARKER};

use crate::harness::{Tenant, program, stderr, stdout};

/// For how long to wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long a run may take to stop.
const STOP: Duration = Duration::from_secs(90);
/// Peak memory of a whole run in KiB, with guests of 64 MiB each.
const MEMORY_KIB: u64 = 800 << 10;
/// Bytes of log that one misbehaving stream causes at most in a test, and of one line.
const LOG_BYTES: usize = 3 << 20;
const LINE_BYTES: usize = 12 << 10;

/// The component, built once in the folder in which the plugin's components are.
fn component() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = Path::new(env!("M365_COMPONENT")).parent().unwrap();
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(root)
            .args(["build", "--quiet", "--locked", "--package", "m365-hostile", "--lib", "--profile", "component"])
            .args(["--target", "wasm32-wasip2", "--target-dir"])
            .arg(target)
            // As in host/build.rs.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env_remove("CARGO_TARGET_DIR")
            .env(
                "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
                "-C target-feature=+simd128 -C llvm-args=--inline-threshold=600",
            )
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the hostile component can't be built");
        fs::read(target.join("wasm32-wasip2/component/m365_hostile.wasm")).expect("the component")
    })
}

/// The component in a file, with a mode written into it for what is called before there is a stream.
fn component_file(folder: &Path, written: &str) -> PathBuf {
    let mut bytes = component().to_vec();
    let colon = MARKER.iter().position(|byte| *byte == b':').unwrap();
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, &MARKER).collect();
    assert!(!places.is_empty(), "the marker is in the component");
    for at in places {
        let room = &mut bytes[at + colon + 1..at + MARKER.len()];
        room[..written.len()].copy_from_slice(written.as_bytes());
    }
    let file = folder.join("hostile.wasm");
    fs::write(&file, bytes).unwrap();
    file
}

/// A run of the program, whose log goes to a file.
struct Run {
    child: Child,
    log: PathBuf,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    /// Guests get a few seconds where `words` are about that, and otherwise more than a busy machine keeps them waiting.
    fn start(tenant: &Tenant, written: &str, streams: &[&str], memory_mib: u32, words: &str) -> Self {
        let seconds = if words.contains("longer than 3 s") { 3 } else { 30 };
        let component = component_file(tenant.folder.path(), written);
        let config = tenant.configure(&format!(
            "streams = {streams:?}\n[limits]\nguest_seconds = {seconds}\nguest_memory_mib = {memory_mib}\n"
        ));
        let log = tenant.path("log");
        let child = program()
            .args(["run", "--plugin"])
            .arg(component)
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        String::from_utf8(fs::read(&self.log).unwrap()).expect("the log is text")
    }

    /// The end of the log, for a test that fails.
    fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<String> = log.lines().rev().take(30).map(|line| line.chars().take(400).collect()).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, mut there: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        while !there(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before {what}:\n{}", self.end_of_log());
            }
            assert!(started.elapsed() < PATIENCE, "there is no {what} after {PATIENCE:?}:\n{}", self.end_of_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The most memory that it used so far, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()).map_or(0, |kib| kib.parse().unwrap())
    }

    /// Asks it to stop, as a service manager does, and waits for its end.
    #[track_caller]
    fn stop(&mut self) -> Option<i32> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(asked.elapsed() < STOP, "it doesn't stop:\n{}", self.end_of_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Lines of a file sink that hold a text.
fn lines_with(file: &Path, text: &str) -> Vec<String> {
    let bytes = fs::read(file).unwrap_or_default();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines
        .filter(|line| memchr::memmem::find(line, text.as_bytes()).is_some())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

/// What a log may hold whatever a component says.
#[track_caller]
fn assert_bounded_log(log: &str) {
    assert!(log.len() < LOG_BYTES, "the log has {} bytes", log.len());
    for line in log.lines() {
        let shown: String = line.chars().take(200).collect();
        assert!(line.len() < LINE_BYTES, "a line has {} bytes: {shown}", line.len());
        let odd = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202e}');
        assert!(!line.chars().any(odd), "{shown}");
        assert!(!line.trim_start().starts_with("FORGED") && !line.starts_with("2026-01-01"), "a forged line: {shown}");
    }
}

/// One stream misbehaves, and the honest one beside it is complete. The log says `words` about the bad one.
fn beside(mode: &str, words: &str) {
    let stream = format!("hostile.{mode}");
    let tenant = Tenant::new(10);
    // What hands over more than a call may has to have room for it.
    let memory_mib = if mode.ends_with("-huge") { 320 } else { 64 };
    let mut run = Run::start(&tenant, "", &["honest", &stream], memory_mib, words);
    let (raw, events) = (tenant.path("raw.ndjson"), tenant.path("events.ndjson"));
    run.wait_until("the honest stream's end", |_| {
        [&raw, &events].iter().all(|file| lines_with(file, "\"honest-").len() >= HONEST_RECORDS)
    });
    if !words.is_empty() {
        let named = format!("stream={stream:?}");
        run.wait_until(&format!("line with {words:?}"), |run| {
            run.log().lines().any(|line| line.contains(words) && line.contains(&named))
        });
    }
    let peak = run.peak_kib();
    let allowed = MEMORY_KIB + if memory_mib > 64 { 1 << 20 } else { 0 };
    assert!(peak > 0 && peak < allowed, "it took {peak} KiB");
    assert_eq!(run.stop(), Some(0), "{}", run.end_of_log());
    assert_bounded_log(&run.log());
    for file in [&raw, &events] {
        let mut honest = lines_with(file, "\"honest-");
        assert_eq!(honest.len(), HONEST_RECORDS, "none is there twice");
        honest.sort();
        honest.dedup();
        assert_eq!(honest.len(), HONEST_RECORDS);
        for line in lines_with(file, "{") {
            let json = serde_json::from_str::<serde_json::Value>(&line);
            assert!(json.is_ok_and(|value| value.is_object()), "{line}");
        }
    }
}

/// A component that misbehaves before there is a stream: the command ends by itself, with a sentence.
#[track_caller]
fn ends(written: &str, arguments: &[&str], code: i32, words: &str) -> Output {
    let tenant = Tenant::new(10);
    let component = component_file(tenant.folder.path(), written);
    let config = tenant.configure("streams = [\"honest\"]\n[limits]\nguest_seconds = 3\nguest_memory_mib = 64\n");
    let mut command = program();
    command.args(arguments).arg("--plugin").arg(component);
    if matches!(arguments[0], "run" | "check") {
        command.arg("-c").arg(config);
    }
    let started = Instant::now();
    let output = command.output().unwrap();
    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(code), "{:.2000}", stderr(&output));
    assert!(stderr(&output).contains(words), "{:.2000}", stderr(&output));
    assert_bounded_log(&stderr(&output));
    output
}

/// A test for each way in which one stream misbehaves: its name, its mode, and what the log says of it.
macro_rules! beside {
    ($($name:ident: $mode:literal => $words:literal,)+) => {
        $(#[test] fn $name() { beside($mode, $words); })+
    };
}

mod discovering {
    use super::beside;

    beside! {
        hangs: "discover-hang" => "computed for longer than 3 s in one call (limits.guest_seconds) (in `discover`)",
        reads_the_clock_for_ever: "discover-clock" => "computed for longer than 3 s",
        sleeps_an_hour: "discover-sleep" => "slept, or waited for a timer, for longer than 3 s",
        sleeps_for_ever: "discover-sleep-forever" => "slept, or waited for a timer, for longer than 3 s",
        takes_naps_for_ever: "discover-naps" => "for longer than 3 s in one call",
        traps: "discover-trap" => "unreachable",
        exits: "discover-exit" => "(in `discover`)",
        calls_itself_for_ever: "discover-recursion" => "(in `discover`)",
        takes_all_memory: "discover-memory" => "it asked for more than 64 MiB of memory",
        floods_the_log: "discover-log-flood" => "come faster than they are taken",
        logs_for_ever: "discover-log-for-ever" => "computed for longer than 3 s",
        logs_megabytes: "discover-log-long" => "long long",
        logs_with_many_fields: "discover-log-fields" => "f=v",
        forges_log_lines: "discover-log-forged" => "harmless",
        floods_standard_output: "discover-stdout" => "",
        hands_over_too_much: "discover-huge" => "`discover` handed over more than 64 MiB in one call",
        has_a_long_state: "discover-state-long" => "262145 bytes as a state; 262144 at most",
        has_a_long_id: "discover-id-long" => "513 bytes as the id of a split; 512 at most",
        has_an_empty_id: "discover-id-empty" => "a split without an id",
        has_a_long_payload: "discover-payload-long" => "bytes as the payload of a split",
        speaks_for_another_stream: "discover-other-stream" => "handed over a split of \"honest\"",
        lists_too_many_splits: "discover-splits-many" => "150000 splits; 100000 at most",
        has_a_long_pass: "discover-pass-long" => "bytes as the name of a pass; 32 at most",
        has_an_odd_pass: "discover-pass-odd" => "no short lower-case word",
        covers_too_many_stretches: "discover-coverage-many" => "100000 stretches as coverage",
        covers_backwards: "discover-coverage-backwards" => "ends before it begins: 2000 to 1000",
        loses_too_many_stretches: "discover-lost-many" => "100000 stretches as lost",
        loses_with_a_long_reason: "discover-lost-long" => "declared a gap: gone FORGED gone",
        waits_for_ever: "discover-next-max" => "",
        has_more_for_ever: "discover-more-for-ever" => "goes on listing",
        lists_splits_for_ever: "discover-splits-for-ever" => "no more are listed for now",
        has_the_largest_numbers: "discover-numbers-max" => "",
        fails_with_megabytes: "discover-error-long" => "m m m m",
        fails_with_forged_lines: "discover-error-forged" => "harmless 2026-01-01T00:00:00Z ERROR FORGED",
        claims_that_the_run_ends: "discover-error-cancelled" => "Not at all.",
        claims_that_our_quota_is_full: "discover-error-quota" => "Not at all.",
        asks_for_the_longest_wait: "discover-error-wait-max" => "Much later.",
    }
}

mod requesting {
    use super::beside;

    beside! {
        with_many_headers: "http-headers" => "the number of its headers is 40000, and 64 at most",
        with_megabytes_of_headers: "http-header-bytes" => "its headers in bytes is",
        with_a_header_of_the_hosts: "http-reserved-header" => "it sets a header that only the host sets",
        with_a_header_that_splits: "http-split-header" => "invalid name or value",
        with_a_long_url: "http-url" => "its URL in bytes is",
        with_a_long_body: "http-body" => "its body in bytes is",
        with_a_body_on_a_get: "http-get-with-body" => "it is a GET with a body",
        with_a_long_audience: "http-audience" => "the name of its audience in bytes is",
        with_a_long_quota: "http-quota" => "the name of its quota in bytes is",
        with_an_unknown_quota: "http-unknown-quota" => "its quota isn't declared",
        to_a_foreign_host: "http-foreign-host" => "https://example.com:443",
        without_an_audience: "http-no-audience" => "aren't allowed for its audience",
        what_is_refused_for_ever: "http-refused-for-ever" => "it sent more than 20 requests in one call that the host refuses",
        and_hoarding_answers: "http-hoard" => "(in `discover`)",
        and_reading_the_end_for_ever: "http-read-for-ever" => "computed for longer than 3 s",
        and_asking_for_headers_for_ever: "http-response-headers" => "computed for longer than 3 s",
        with_the_longest_time: "http-timeout-max" => "",
    }
}

mod opening {
    use super::beside;

    beside! {
        hangs: "open-hang" => "computed for longer than 3 s",
        sleeps: "open-sleep" => "slept, or waited for a timer, for longer than 3 s",
        traps: "open-trap" => "(in `reader.open`)",
        exits: "open-exit" => "(in `reader.open`)",
        takes_all_memory: "open-memory" => "MiB of memory",
        fails_with_megabytes: "open-error-long" => "m m m m",
        claims_that_the_run_ends: "open-error-cancelled" => "Not at all.",
        asks_for_the_longest_wait: "open-error-wait-max" => "Much later.",
    }
}

mod reading {
    use super::beside;

    beside! {
        hangs: "next-hang" => "computed for longer than 3 s in one call (limits.guest_seconds) (in `reader.next`)",
        sleeps: "next-sleep" => "slept, or waited for a timer, for longer than 3 s",
        traps: "next-trap" => "(in `reader.next`)",
        takes_all_memory: "next-memory" => "MiB of memory",
        floods_the_log: "next-log-flood" => "come faster than they are taken",
        hands_over_too_much: "next-huge" => "`reader.next` handed over more than 64 MiB in one call",
        claims_more_lines: "next-count-more" => "a batch that claims 51 lines and holds 50",
        claims_fewer_lines: "next-count-less" => "a batch that claims 49 lines and holds 50",
        has_an_empty_line: "next-empty-line" => "a batch whose line 50 is empty",
        lacks_the_last_line_feed: "next-no-line-feed" => "claims 50 lines and holds 49",
        has_a_record_that_is_no_json: "next-no-json" => "a record that is no JSON text in UTF-8",
        has_a_record_that_is_no_text: "next-no-utf8" => "a record that is no JSON text in UTF-8",
        has_a_long_position: "next-resume-long" => "65537 bytes as the position in a split; 65536 at most",
        stands_still: "next-standstill" => "an empty chunk that goes no further",
        goes_on_without_records: "next-empty-for-ever" => "more than 10000 empty chunks in a row",
        passes_over_too_many_parts: "next-losses-many" => "10000 losses in a chunk; 256 at most",
        passes_over_parts_with_long_reasons: "next-loss-long" => "",
        ends_without_an_end: "next-none-first" => "without a chunk that was `done`",
        fails_with_forged_lines: "next-error-forged" => "harmless 2026-01-01T00:00:00Z ERROR FORGED",
        never_ends: "next-endless" => "",
        fails_on_many_splits: "next-many-splits-fail" => "Not at all.",
    }
}

mod normalising {
    use super::beside;

    beside! {
        hangs: "process-hang" => "computed for longer than 3 s in one call (limits.guest_seconds) (in `process`)",
        sleeps: "process-sleep" => "slept, or waited for a timer, for longer than 3 s",
        traps: "process-trap" => "(in `process`)",
        exits: "process-exit" => "(in `process`)",
        takes_all_memory: "process-memory" => "MiB of memory",
        calls_itself_for_ever: "process-recursion" => "(in `process`)",
        floods_the_log: "process-log-flood" => "come faster than they are taken",
        hands_over_too_much: "process-huge" => "`process` handed over more than 64 MiB in one call",
        makes_no_json: "process-no-json" => "made an event that is no JSON object (line 0)",
        makes_no_objects: "process-no-object" => "made an event that is no JSON object (line 0)",
        makes_no_text: "process-no-utf8" => "made an event that is no JSON object (line 0)",
        makes_empty_lines: "process-empty-line" => "is empty",
        claims_more_lines: "process-count-more" => "claims 51 lines and holds 50",
        drops_records: "process-none" => "made 0 events out of 50 records",
        makes_events_of_nothing: "process-of-nothing" => "made 50 events out of no record",
        rejects_what_is_not_there: "process-reject-out-of-range" => "rejects line 50 of 50",
        rejects_twice: "process-reject-twice" => "rejects line 0 after line 0",
        rejects_everything: "process-reject-all" => "became a dead letter: no",
        rejects_with_long_reasons: "process-reject-long" => "became a dead letter: no no no",
        finds_everything_unknown: "process-unknown-many" => "200000 things that it doesn't know; 1000 at most",
        finds_something_long_unknown: "process-unknown-long" => "bytes as something that it doesn't know",
        filters_more_than_there_is: "process-filtered-max" => "records without an event out of 50",
        fails_with_megabytes: "process-error-long" => "m m m m",
        wants_to_the_network: "process-network" => "has no way out to the network",
    }
}

/// A test for each way in which a component misbehaves when it is loaded or asked what it is.
macro_rules! ends {
    ($($name:ident: $mode:literal, $arguments:expr, $code:literal => $words:literal,)+) => {
        $(#[test] fn $name() { ends($mode, &$arguments, $code, $words); })+
    };
}

mod loading {
    use super::ends;

    ends! {
        hangs_at_its_start: "start-hang", ["run"], 4 => "computed for longer than 5 s",
        describes_itself_for_ever: "describe-hang", ["run"], 4 => "failed to describe itself",
        sleeps_when_asked_what_it_is: "describe-sleep", ["run"], 4 => "slept, or waited for a timer",
        traps_when_asked_what_it_is: "describe-trap", ["run"], 4 => "(in `describe`)",
        exits_when_asked_what_it_is: "describe-exit", ["run"], 4 => "(in `describe`)",
        takes_all_memory: "describe-memory", ["run"], 4 => "MiB of memory",
        calls_itself_for_ever: "describe-recursion", ["run"], 4 => "(in `describe`)",
        floods_the_log: "describe-log-flood", ["streams"], 0 => "come faster than they are taken",
        has_too_many_streams: "describe-streams-many", ["run"], 4 => "streams; 1000 at most",
        has_a_long_name: "describe-name-long", ["run"], 4 => "1000 bytes as the name of a stream; 64 at most",
        has_an_odd_name: "describe-name-odd", ["run"], 4 => "control characters in the name of a stream",
        has_a_name_twice: "describe-name-twice", ["run"], 4 => "twice: \"honest\"",
        has_a_long_notice: "describe-notice-long", ["run"], 4 => "bytes as the notice of a stream; 1024 at most",
        has_a_forged_notice: "describe-notice-forged", ["run"], 4 => "control characters in the notice of a stream",
        has_an_unknown_audience: "describe-audience-unknown", ["run"], 4 => "of an audience that it doesn't describe",
        has_an_empty_quota: "describe-quota-empty", ["run"], 4 => "which lets nothing through",
        has_too_many_permissions: "describe-permissions-many", ["run"], 4 => "entries as the permissions of a stream",
        has_a_long_name_itself: "describe-plugin-name", ["run"], 4 => "bytes as the name of the plugin",
        has_too_many_schemas: "describe-schemas-many", ["run"], 4 => "schemas; 1000 at most",
        lists_operations_for_ever: "operations-hang", ["streams", "--operations"], 4 => "(in `operations`)",
        lists_too_many_operations: "operations-many", ["streams", "--operations"], 4 => "200000 operations; 100000 at most",
        lists_forged_operations: "operations-forged", ["streams", "--operations"], 4 => "control characters in an operation",
        gives_a_schema_for_ever: "schema-hang", ["schema", "print", "events/test"], 4 => "(in `schema`)",
        gives_a_long_schema: "schema-long", ["schema", "print", "events/test"], 4 => "bytes as a schema",
    }
}

/// Settings are taken for all streams, so none can be collected; the run goes on, says so, and can be stopped.
fn configuring(written: &str, words: &str) {
    let tenant = Tenant::new(10);
    let mut run = Run::start(&tenant, written, &["honest"], 64, words);
    run.wait_until(&format!("line with {words:?}"), |run| {
        run.log().lines().any(|line| line.contains(words) && line.contains("stream=\"honest\""))
    });
    assert!(run.peak_kib() < MEMORY_KIB);
    assert_eq!(run.stop(), Some(0));
    assert_bounded_log(&run.log());
}

#[test]
fn settings_that_are_taken_for_ever() {
    configuring("configure-hang", "computed for longer than 3 s");
}

#[test]
fn settings_over_which_it_sleeps() {
    configuring("configure-sleep", "slept, or waited for a timer, for longer than 3 s");
}

#[test]
fn settings_on_which_it_traps() {
    configuring("configure-trap", "(in `configure`)");
}

#[test]
fn settings_that_it_refuses_with_megabytes() {
    configuring("configure-error-long", "m m m m");
}

#[test]
fn settings_that_it_refuses() {
    configuring("configure-error-config", "These settings are not good.");
}

#[test]
fn a_check_that_misbehaves_fails_alone() {
    let tenant = Tenant::new(10);
    let component = component_file(tenant.folder.path(), "");
    let modes = ["hang", "sleep", "trap", "many", "long", "forged"];
    let streams: Vec<String> =
        modes.iter().map(|mode| format!("hostile.check-{mode}")).chain(["honest".to_owned()]).collect();
    let config =
        tenant.configure(&format!("streams = {streams:?}\n[limits]\nguest_seconds = 3\nguest_memory_mib = 64\n"));
    let output = program().args(["check", "--plugin"]).arg(component).arg("-c").arg(config).output().unwrap();
    let said = stdout(&output);
    assert_bounded_log(&said);
    let line = |stream: &str| said.lines().find(|line| line.contains(stream)).unwrap_or_else(|| panic!("{said:.3000}"));
    for (stream, words) in [
        ("hostile.check-hang", "computed for longer than 3 s"),
        ("hostile.check-sleep", "slept, or waited for a timer"),
        ("hostile.check-trap", "(in `check`)"),
        ("hostile.check-many", "100000 findings; 100 at most"),
    ] {
        assert!(line(stream).starts_with("FAILED") && line(stream).contains(words), "{}", line(stream));
    }
    assert!(line("hostile.check-forged").contains("harmless FORGED"));
    assert!(line("honest").starts_with("ok"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_record_whose_event_is_no_json_is_kept() {
    let tenant = Tenant::new(10);
    let stream = "hostile.process-no-json";
    let mut run = Run::start(&tenant, "", &[stream], 64, "");
    let (events, raw) = (tenant.path("events.ndjson"), tenant.path("raw.ndjson"));
    run.wait_until("every record", |_| lines_with(&raw, stream).len() >= HONEST_RECORDS);
    assert_eq!(run.stop(), Some(0));
    let component = tenant.path("hostile.wasm");
    let list = program()
        .args(["dead-letters", "list", "--json", "--plugin"])
        .arg(component)
        .arg("-c")
        .arg(tenant.path("config.toml"))
        .output()
        .unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let letters: u64 = list["groups"].as_array().unwrap().iter().filter_map(|group| group["letters"].as_u64()).sum();
    // The first event of each batch is broken, and halving ends when each record is a batch.
    assert_eq!(letters, HONEST_RECORDS as u64, "{list}");
    assert_eq!(list["groups"][0]["code"], "contract", "{list}");
    assert!(fs::read(events).unwrap().is_empty());
}

#[test]
fn what_is_no_component_file_is_not_read() {
    for file in ["/dev/zero", "/"] {
        let output = program().args(["streams", "--plugin", file]).output().unwrap();
        assert_eq!(output.status.code(), Some(4));
        assert!(stderr(&output).contains("a regular file is needed"), "{}", stderr(&output));
    }
}
