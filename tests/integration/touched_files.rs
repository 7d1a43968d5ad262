//! Somebody else touches the files of the collector while it runs: only what the touched file itself held is missing, it
//! is told, and nothing is there twice. And what files it makes, for whom, and which paths it refuses.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use m365_sim::{Options, Quotas};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Tenant, assert_code, program, stderr};

/// What is done, at moments that a seed chooses.
#[derive(Debug, Clone, Copy)]
enum Touch {
    Delete,
    Rename,
    RenameAndCreate,
    CopyTruncate,
    Cut,
    Append,
    MoveFolder,
}

const TOUCHES: [Touch; 7] = [
    Touch::Delete,
    Touch::Rename,
    Touch::RenameAndCreate,
    Touch::CopyTruncate,
    Touch::Cut,
    Touch::Append,
    Touch::MoveFolder,
];

/// A collector that runs while its file is touched.
struct Touched {
    tenant: Tenant,
    path: PathBuf,
    log: PathBuf,
    child: Child,
    /// Files with what was in the sink's file before it was renamed, copied, or destroyed.
    aside: Vec<PathBuf>,
    foreign: usize,
}

impl Touched {
    fn start(seed: u64) -> Self {
        let tenant = Tenant::with(Options {
            speed: 100.0,
            latency: Duration::from_millis(5),
            blob_records: 4,
            content_page: 10,
            ahead: Duration::from_secs(40 * 60),
            ..Options::new(seed, 1_500).with_quotas(Quotas::unlimited())
        });
        let folder = tenant.path("out");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("raw.ndjson");
        let config = tenant.configure(&format!(
            "[limits]\nbatch_kib = 16\n[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {path:?}\n"
        ));
        let log = tenant.path("log");
        let child = program()
            .args(["run", "-c"])
            .arg(&config)
            .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { tenant, path, log, child, aside: Vec::new(), foreign: 0 }
    }

    /// Waits for something, for so long that only a fault can make it longer.
    fn until(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            let log = std::fs::read_to_string(&self.log).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(120), "never: {what}\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn told(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap().matches(words).count()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Keeps some bytes for the count at the end.
    fn keep(&mut self, bytes: &[u8]) {
        let path = self.tenant.path(&format!("aside{}", self.aside.len()));
        std::fs::write(&path, bytes).unwrap();
        self.aside.push(path);
    }

    fn touch(&mut self, touch: Touch) {
        self.until("there is something in the file", || self.path.metadata().is_ok_and(|file| file.len() > 1));
        let before = self.told("omebody else");
        let number = self.aside.len();
        // Stopped, so that what was in it at that moment is known.
        self.signal(Signal::STOP);
        let bytes = std::fs::read(&self.path).unwrap();
        let aside = self.path.with_file_name(format!("raw.ndjson.{number}"));
        match touch {
            Touch::Delete => {
                std::fs::remove_file(&self.path).unwrap();
                self.keep(&bytes);
            }
            Touch::Rename | Touch::RenameAndCreate => {
                std::fs::rename(&self.path, &aside).unwrap();
                if matches!(touch, Touch::RenameAndCreate) {
                    File::create(&self.path).unwrap();
                }
                self.aside.push(aside);
            }
            Touch::CopyTruncate => {
                std::fs::write(&self.path, "").unwrap();
                self.keep(&bytes);
            }
            Touch::Cut => {
                let half = bytes.len() / 2;
                OpenOptions::new().write(true).open(&self.path).unwrap().set_len(half as u64).unwrap();
                // The line that is cut in its middle is destroyed whole.
                let whole = bytes[..half].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                self.keep(&bytes[whole..]);
            }
            Touch::Append => {
                let mut file = OpenOptions::new().append(true).open(&self.path).unwrap();
                file.write_all(b"{\"foreign\":1}\n").unwrap();
                self.foreign += 1;
            }
            Touch::MoveFolder => {
                let folder = self.tenant.path(&format!("moved{number}"));
                std::fs::rename(self.path.parent().unwrap(), &folder).unwrap();
                std::fs::create_dir(self.path.parent().unwrap()).unwrap();
                // Those that were aside moved with it.
                for path in &mut self.aside {
                    if path.parent() == self.path.parent() {
                        *path = folder.join(path.file_name().unwrap());
                    }
                }
                self.aside.push(folder.join("raw.ndjson"));
            }
        }
        self.signal(Signal::CONT);
        // That somebody writes there is told once an hour, by a clock that runs a hundred times as fast.
        if !matches!(touch, Touch::Append) {
            self.until("it is told", || self.told("omebody else") > before);
        }
    }

    /// Ends it, lets another run finish, and counts.
    fn end(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.tenant.simulator.advance_to(Duration::from_secs(3 * 3600));
        let config = self.tenant.path("config.toml");
        let output = program()
            .args(["run", "--until-caught-up", "-c"])
            .arg(&config)
            .env("M365_PIPE_TEST_CLOCK", self.tenant.simulator.clock_setting())
            .output()
            .unwrap();
        assert_code(&output, 0);
        // What was being written when it was copied or destroyed comes again, and was at the end of what was there.
        let files: Vec<PathBuf> = [self.path.clone()].into_iter().chain(self.aside.clone()).collect();
        let mut foreign = 0;
        let mut halves = 0;
        let mut contents: Vec<Vec<Vec<u8>>> = Vec::new();
        for path in &files {
            let bytes = std::fs::read(path).unwrap();
            assert!(!bytes.contains(&0), "a hole in {path:?}");
            let mut lines = Vec::new();
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                if line.starts_with(b"{\"foreign\"") {
                    foreign += 1;
                } else if serde_json::from_slice::<serde_json::Value>(line).is_err() {
                    halves += 1;
                } else {
                    lines.push(line.to_vec());
                }
            }
            contents.push(lines);
        }
        assert!(foreign >= self.foreign, "{foreign} of {} lines of somebody else", self.foreign);
        // A cut leaves one, and so does a copy of what was just being written.
        assert!(halves <= TOUCHES.len(), "{halves} halves of lines");
        for at in 0..files.len() {
            if files[at].parent() == Some(self.tenant.folder.path()) {
                let others = contents.iter().enumerate().filter(|(other, _)| *other != at);
                let others: BTreeSet<Vec<u8>> = others.flat_map(|(_, lines)| lines.clone()).collect();
                while contents[at].last().is_some_and(|line| others.contains(line)) {
                    contents[at].pop();
                }
            }
            let mut text = contents[at].join(&b'\n');
            text.push(b'\n');
            std::fs::write(&files[at], text).unwrap();
        }
        let verdict = self.tenant.simulator.verdict(&files);
        assert!(verdict.passed(), "{verdict}\n{}", std::fs::read_to_string(&self.log).unwrap());
    }
}

#[test]
fn whatever_is_done_to_a_sinks_file_only_what_it_held_is_missing() {
    let seeds: u64 = std::env::var("M365_SEEDS").map_or(2, |text| text.parse().expect("M365_SEEDS is a number"));
    for seed in 1..=seeds {
        let mut moments = fastrand::Rng::with_seed(seed);
        let mut touched = Touched::start(seed);
        let mut touches = TOUCHES.to_vec();
        moments.shuffle(&mut touches);
        for touch in touches {
            std::thread::sleep(Duration::from_millis(moments.u64(0..700)));
            touched.touch(touch);
        }
        // Whatever was being written at that moment, each of them is told, and nothing else is wrong.
        let log = std::fs::read_to_string(&touched.log).unwrap();
        for (words, times) in [("was deleted", 1), ("was cut", 2), ("was renamed", 2)] {
            assert!(touched.told(&format!("{words} by somebody else")) >= times, "{words}\n{log}");
        }
        let other = log.lines().find(|line| line.contains("ERROR") && !line.contains("omebody else"));
        assert_eq!(other, None, "{log}");
        touched.end();
    }
}

#[test]
fn a_file_that_was_touched_while_nothing_ran_is_told_and_nothing_else_is_missing() {
    let tenant = Tenant::new(100);
    let path = tenant.path("raw.ndjson");
    let config = tenant.configure("");
    assert_code(&tenant.collect(&config), 0);
    let before = std::fs::read(&path).unwrap();
    // Somebody's line behind an orderly end stays.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"foreign\":1}\n").unwrap();
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    assert!(stderr(&output).contains("Somebody else writes to the file"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&path).unwrap(), [before.as_slice(), b"{\"foreign\":1}\n"].concat());
    // A copy in its place is as good.
    std::fs::copy(&path, tenant.path("copy")).unwrap();
    std::fs::rename(tenant.path("copy"), &path).unwrap();
    let output = tenant.collect(&config);
    assert!(!stderr(&output).contains("omebody else"), "{}", stderr(&output));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    let told = format!("it held {} confirmed bytes", before.len() + 14);
    assert!(stderr(&output).contains(&told) && stderr(&output).contains("100 bytes are there"), "{}", stderr(&output));
    // Renamed beside its path, nothing is missing.
    std::fs::rename(&path, tenant.path("raw.ndjson.1")).unwrap();
    let output = tenant.collect(&config);
    assert!(
        stderr(&output).contains("Nothing is missing") && !stderr(&output).contains("ERROR"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn two_writers_of_one_file_are_refused() {
    let tenant = Tenant::new(50);
    let sink = |path: &Path| format!("[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {path:?}\n");
    std::fs::create_dir(tenant.path("sub")).unwrap();
    std::fs::write(tenant.path("raw.ndjson"), "").unwrap();
    let link = tenant.path("link");
    std::os::unix::fs::symlink(tenant.path("raw.ndjson"), &link).unwrap();
    for other in [link, tenant.path("sub/../raw.ndjson")] {
        let output = tenant.collect(&tenant.configure(&(sink(&tenant.path("raw.ndjson")) + &sink(&other))));
        assert_code(&output, 2);
        assert!(stderr(&output).contains("write to the same place"), "{}", stderr(&output));
    }
    std::fs::hard_link(tenant.path("raw.ndjson"), tenant.path("hard")).unwrap();
    let output = tenant.collect(&tenant.configure(&(sink(&tenant.path("raw.ndjson")) + &sink(&tenant.path("hard")))));
    assert_code(&output, 6);
    assert!(stderr(&output).contains("another sink of this configuration"), "{}", stderr(&output));

    let first = tenant.configure(&sink(&tenant.path("raw.ndjson")));
    let mut child = program().args(["run", "-c"]).arg(&first).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while std::fs::metadata(tenant.path("raw.ndjson")).unwrap().len() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "it never delivers");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Another collector with a ledger of its own.
    let text = std::fs::read_to_string(&first).unwrap().replace("/data\"", "/data2\"");
    let second = tenant.path("second.toml");
    std::fs::write(&second, text).unwrap();
    let output = tenant.collect(&second);
    assert_code(&output, 6);
    assert!(stderr(&output).contains("another m365-pipe"), "{}", stderr(&output));
    // A lock ends with its process, however that ends.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_code(&tenant.collect(&first), 0);
    tenant.assert_delivered_exactly_once();
}

#[test]
fn a_second_process_stays_out_without_the_lock_file_and_a_deleted_ledger_comes_back() {
    let tenant = Tenant::new(50);
    let config = tenant.configure("");
    let log = tenant.path("log");
    let mut child = program().args(["run", "-c"]).arg(&config).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let begun = Instant::now();
    let until = |done: &dyn Fn() -> bool| {
        while !done() {
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(120), "it takes too long\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(&|| tenant.delivered_bytes() > 0);
    std::fs::remove_file(tenant.path("data/lock")).unwrap();
    let output = tenant.collect(&config);
    assert_code(&output, 7);
    assert!(stderr(&output).contains("in use by another m365-pipe"), "{}", stderr(&output));
    for entry in std::fs::read_dir(tenant.path("data")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("was deleted by somebody else while it was in use"), "{told}");
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
}

/// The program under a umask.
fn under_umask(umask: &str, cache: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_m365-pipe")])
        .env("M365_PIPE_CACHE", cache)
        .stdin(Stdio::null());
    shell
}

#[test]
fn modes_are_ours_whatever_the_umask_is() {
    for (umask, sink, named) in [("000", 0o640, 0o666), ("022", 0o640, 0o644), ("077", 0o600, 0o600)] {
        let tenant = Tenant::new(20);
        let sinks = format!(
            "[[sinks]]\ntype = \"file\"\npath = {:?}\n[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {:?}\nmode = \"0666\"\n",
            tenant.path("events.ndjson"),
            tenant.path("raw.ndjson"),
        );
        let config = tenant.configure(&sinks);
        let cache = tenant.path("cache");
        let mut child =
            under_umask(umask, &cache).args(["run", "-c"]).arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while tenant.delivered_bytes() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(120), "it never delivers");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
        assert_eq!(mode(&tenant.path("events.ndjson")), sink, "umask {umask}");
        assert_eq!(mode(&tenant.path("raw.ndjson")), named, "umask {umask}");
        for folder in [tenant.path("data"), cache] {
            assert_eq!(mode(&folder), 0o700, "umask {umask}: {folder:?}");
            let files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!files.is_empty());
            files.iter().for_each(|file| assert_eq!(mode(file), 0o600, "umask {umask}: {file:?}"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_named_pipe_as_a_path_is_refused_and_does_not_hang_the_start() {
    let tenant = Tenant::new(20);
    let pipe = tenant.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let config = tenant.configure("");
    let text = std::fs::read_to_string(&config).unwrap();
    let written = |name: &str, text: String| {
        let path = tenant.path(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let pipe_text = pipe.display().to_string();
    let sink = text.replace(&tenant.path("raw.ndjson").display().to_string(), &pipe_text);
    let ledger = text.replace(&tenant.path("data").display().to_string(), &pipe_text);
    std::fs::create_dir(tenant.path("data3")).unwrap();
    std::fs::rename(&pipe, tenant.path("data3/ledger.sqlite")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (config, code, what) in [
        (pipe.clone(), 2, "a named pipe"),
        (written("sink.toml", sink), 6, "a named pipe"),
        (written("ca.toml", text.clone() + &format!("\n[http]\nca_file = {pipe:?}\n")), 2, "a named pipe"),
        (written("data.toml", ledger), 7, "not a folder"),
        (written("ledger.toml", text.replace("/data\"", "/data3\"")), 7, "a named pipe"),
    ] {
        let output = tenant.collect(&config);
        assert_code(&output, code);
        assert!(stderr(&output).contains(what), "{config:?}: {}", stderr(&output));
    }
    // What a shell opened for us is read: `-c <(command)`.
    let script = format!("cat {:?} | exec \"$0\" run --until-caught-up -c /dev/stdin", config.display().to_string());
    let mut shell = Command::new("sh");
    let program = program();
    for (name, value) in program.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    assert_code(&shell.args(["-c", &script]).arg(program.get_program()).output().unwrap(), 0);
    tenant.assert_delivered_exactly_once();
}

/// The bytes of a file stay where they are while it is read by somebody: nothing but appending is done to it.
#[test]
fn a_reader_that_follows_the_file_sees_every_line_once() {
    let tenant = Tenant::new(200);
    let config = tenant.configure("[limits]\nbatch_kib = 16\n");
    File::create(tenant.path("raw.ndjson")).unwrap();
    let mut child =
        program().args(["run", "--until-caught-up", "-c"]).arg(&config).stderr(Stdio::null()).spawn().unwrap();
    let file = File::open(tenant.path("raw.ndjson")).unwrap();
    let (mut read, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let ended = child.try_wait().unwrap().is_some();
        let count = file.read_at(&mut buffer, read.len() as u64).unwrap();
        read.extend_from_slice(&buffer[..count]);
        if ended && count == 0 {
            break;
        }
    }
    assert_eq!(read, std::fs::read(tenant.path("raw.ndjson")).unwrap());
    tenant.assert_delivered_exactly_once();
}
