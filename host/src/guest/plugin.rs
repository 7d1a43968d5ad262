//! Loading a component: from bytes to something that makes instances.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, OptLevel, Store};

use super::bindings::{Operation, PluginDescription, source, transform};
use super::bounds::{CALL_BYTES, COMPONENT_BYTES, INFO_TIME};
use super::imports::GuestState;
use super::instance::{GuestError, Reader, SourceInstance, TransformInstance};
use super::limits::{GuestLimits, Stopped, Watchdog, WhenStuck};
use super::lines::Lines;
use super::{cache, contract, wasi};
use crate::http::{Cancel, Client};

/// The component that is part of this program.
static BUILT_IN: &[u8] = include_bytes!(env!("M365_COMPONENT"));

/// Its BLAKE3 digest, known since the build: a start that finds it compiled doesn't touch its megabytes.
const BUILT_IN_DIGEST: &str = env!("M365_COMPONENT_DIGEST");

/// How often the clock of the epoch checks ticks.
const TICK: Duration = Duration::from_millis(100);

/// Which component to load.
#[derive(Debug, Clone)]
pub enum PluginFile {
    /// The one that is part of this program, without epoch checks and under the watchdog.
    BuiltIn,
    /// The same with epoch checks: slower, and a guest that hangs ends its call and not the process.
    BuiltInInterruptible,
    /// Another one, which runs with epoch checks.
    File(PathBuf),
}

/// Why a plugin can't be loaded. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("The plugin {path} can't be read: {reason}. Name an existing file with --plugin.")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's words.
        reason: String,
    },
    /// The file holds no component.
    #[error(
        "{path} is not a WebAssembly component: {reason}. Give a component built for wasm32-wasip2 from wit/, such as m365.wasm."
    )]
    NotAComponent {
        /// The file.
        path: String,
        /// What the compiler says.
        reason: String,
    },
    /// A component of another world.
    #[error(
        "{path} is a component, but no plugin: it has neither of the worlds `source-plugin` and `transform-plugin` of log-pipeline:plugin@0.1.0 ({reason})."
    )]
    NotAPlugin {
        /// The file.
        path: String,
        /// What is missing.
        reason: String,
    },
    /// The component failed when it was asked what it is.
    #[error("The plugin {path} failed to describe itself: {reason}")]
    Broken {
        /// The file.
        path: String,
        /// What happened.
        reason: String,
    },
}

/// A loaded plugin. Making instances of it is cheap.
pub struct Plugin {
    engine: Engine,
    source: Option<source::SourcePluginPre<GuestState>>,
    transform: Option<transform::TransformPluginPre<GuestState>>,
    description: PluginDescription,
    limits: GuestLimits,
    watchdog: Option<Watchdog>,
    /// Whether somebody brought it along: then what it makes is looked at more closely.
    stranger: bool,
    /// What the guests say themselves, and what the host has to say of them.
    said: Arc<Lines>,
    told: Lines,
    ticking: Arc<AtomicBool>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Plugin").field("name", &self.description.name).finish_non_exhaustive()
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.ticking.store(false, Ordering::Relaxed);
    }
}

fn engine(with_epochs: bool) -> Result<Engine, String> {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(with_epochs)
        .concurrency_support(false)
        .wasm_memory64(false)
        .max_wasm_stack(1 << 20);
    Engine::new(&config).map_err(|error| error.to_string())
}

/// Calls a function of the interface `info`, which both worlds have, in an instance of its own.
macro_rules! ask {
    ($self:ident, $name:literal, $function:ident($($argument:expr)?), $convert:expr) => {{
        let limits = GuestLimits { time: INFO_TIME, ..$self.limits };
        let mut store = $self.store(None, "", limits);
        store.data_mut().begin();
        let answer = match (&$self.source, &$self.transform) {
            (Some(pre), _) => pre.instantiate(&mut store).and_then(|guest| {
                guest.log_pipeline_plugin_info().$function(&mut store $(, $argument)?).map($convert)
            }),
            (None, Some(pre)) => pre.instantiate(&mut store).and_then(|guest| {
                guest.log_pipeline_plugin_info().$function(&mut store $(, $argument)?).map($convert)
            }),
            (None, None) => return Err(GuestError::missing("info")),
        };
        store.data().activity.leave();
        answer.map_err(|error| GuestError::trap($name, &error))
    }};
}

impl Plugin {
    /// Loads a component, out of the cache in `cache` if it was compiled before.
    ///
    /// # Errors
    /// If there is no such file, or it isn't a component of one of the plugin worlds.
    pub fn load(file: &PluginFile, cache: Option<&Path>, limits: GuestLimits) -> Result<Self, LoadError> {
        let (name, bytes, digest, trusted) = match file {
            PluginFile::BuiltIn | PluginFile::BuiltInInterruptible => (
                "the built-in plugin".to_owned(),
                Cow::Borrowed(BUILT_IN),
                BUILT_IN_DIGEST.to_owned(),
                matches!(file, PluginFile::BuiltIn),
            ),
            PluginFile::File(path) => {
                let name = path.display().to_string();
                let bytes = crate::files::read(path, COMPONENT_BYTES)
                    .map_err(|error| LoadError::Unreadable { path: name.clone(), reason: error.to_string() })?;
                let digest = blake3::hash(&bytes).to_string();
                (name, Cow::Owned(bytes), digest, false)
            }
        };
        let broken = |reason: String| LoadError::Broken { path: name.clone(), reason };
        let engine = engine(!trusted).map_err(broken)?;
        let cached = cache.and_then(|folder| cache::load(folder, &engine, &digest));
        let component = match cached {
            Some(component) => component,
            None => {
                let component = Component::from_binary(&engine, &bytes).map_err(|error| LoadError::NotAComponent {
                    path: name.clone(),
                    reason: first_line(&format!("{error:#}")),
                })?;
                if let Some(folder) = cache {
                    cache::store(folder, &engine, &digest, &component);
                }
                component
            }
        };

        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker).map_err(|error| broken(error.to_string()))?;
        source::SourcePlugin::add_to_linker::<_, GuestState>(&mut linker, |state| state)
            .map_err(|error| broken(error.to_string()))?;
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::NotAPlugin { path: name.clone(), reason: first_line(&format!("{error:#}")) })?;
        let source = source::SourcePluginPre::new(pre.clone());
        let transform = transform::TransformPluginPre::new(pre);
        if let (Err(error), Err(_)) = (&source, &transform) {
            return Err(LoadError::NotAPlugin { path: name, reason: first_line(&format!("{error:#}")) });
        }

        let ticking = Arc::new(AtomicBool::new(true));
        if !trusted {
            let (engine, ticking) = (engine.weak(), ticking.clone());
            std::thread::spawn(move || {
                while ticking.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => break,
                    }
                }
            });
        }
        let mut plugin = Self {
            engine,
            source: source.ok(),
            transform: transform.ok(),
            description: PluginDescription {
                name: String::new(),
                version: String::new(),
                streams: Vec::new(),
                audiences: Vec::new(),
                quotas: Vec::new(),
                schemas: Vec::new(),
            },
            limits,
            watchdog: trusted.then(|| Watchdog::start(limits.time)),
            stranger: matches!(file, PluginFile::File(_)),
            said: Arc::new(Lines::new("Log lines of the plugin")),
            told: Lines::new("Lines about the plugin"),
            ticking,
        };
        plugin.description = plugin.ask_for_description().map_err(|error| broken(error.to_string()))?;
        Ok(plugin)
    }

    /// What the plugin says of itself.
    pub fn description(&self) -> &PluginDescription {
        &self.description
    }

    /// Whether the plugin can read a source.
    pub fn reads(&self) -> bool {
        self.source.is_some()
    }

    /// Says what to do with the stream and the split on which the plugin hangs, before the watchdog ends the process. The
    /// first call counts; a plugin that can be interrupted never comes to it.
    pub fn when_stuck(&self, note: WhenStuck) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.when_stuck(note);
        }
    }

    /// Whether somebody brought the component along, by `--plugin`: nothing that it hands over is known to be right.
    pub fn is_stranger(&self) -> bool {
        self.stranger
    }

    /// Whether the host may write another line about what the plugin does in a stream, with such a reason. What it may not
    /// write is counted, and told once.
    pub fn may_tell(&self, stream: &str, reason: &str) -> bool {
        self.told.allow(stream, reason.len() + 200)
    }

    /// The text of one of the plugin's schemas.
    ///
    /// # Errors
    /// If the plugin traps or breaks the contract.
    pub fn schema(&self, id: &str) -> Result<Option<String>, GuestError> {
        let schema = ask!(self, "schema", call_schema(id), |schema| schema)?;
        contract::schema(schema.as_deref()).map_err(|what| GuestError::breach("schema", &what))?;
        Ok(schema)
    }

    /// The operations whose meaning the plugin knows.
    ///
    /// # Errors
    /// If the plugin traps or breaks the contract.
    #[allow(clippy::useless_conversion, reason = "the operations of one of the two worlds")]
    pub fn operations(&self) -> Result<Vec<Operation>, GuestError> {
        let operations = ask!(self, "operations", call_operations(), |operations| {
            operations.into_iter().map(Operation::from).collect::<Vec<_>>()
        })?;
        contract::operations(&operations).map_err(|what| GuestError::breach("operations", &what))?;
        Ok(operations)
    }

    #[allow(clippy::useless_conversion, reason = "the description of one of the two worlds")]
    fn ask_for_description(&self) -> Result<PluginDescription, GuestError> {
        let description = ask!(self, "describe", call_describe(), PluginDescription::from)?;
        contract::description(&description).map_err(|what| GuestError::breach("describe", &what))?;
        Ok(description)
    }

    /// An instance that reads, configured, with `client` as its way out.
    ///
    /// # Errors
    /// If the plugin has no source, traps, or refuses the settings.
    pub fn source(
        &self,
        settings: &str,
        stream: &str,
        client: Client,
        cancel: Cancel,
    ) -> Result<SourceInstance, GuestError> {
        let pre = self.source.as_ref().ok_or_else(|| GuestError::missing("source"))?;
        let mut store = self.store(Some((client, cancel)), stream, self.limits);
        store.data_mut().begin();
        let guest = pre.instantiate(&mut store).map_err(|error| GuestError::trap("instantiate", &error))?;
        SourceInstance::new(store, guest, settings)
    }

    /// An instance with a split open for reading.
    ///
    /// # Errors
    /// As [`Self::source`], and whatever the plugin answers to opening the split.
    pub fn reader(
        &self,
        settings: &str,
        client: Client,
        cancel: Cancel,
        split: &super::Split,
        resume: Option<&str>,
        now_ms: u64,
    ) -> Result<Reader, GuestError> {
        let source = self.source(settings, &split.stream, client, cancel)?;
        source.is_for(split);
        source.open(split, resume, now_ms)
    }

    /// An instance that normalises, configured, without a way out.
    ///
    /// # Errors
    /// If the plugin has no transform, traps, or refuses the settings.
    pub fn transform(&self, settings: &str) -> Result<TransformInstance, GuestError> {
        let pre = self.transform.as_ref().ok_or_else(|| GuestError::missing("transform"))?;
        let mut store = self.store(None, "", self.limits);
        store.data_mut().begin();
        let guest = pre.instantiate(&mut store).map_err(|error| GuestError::trap("instantiate", &error))?;
        TransformInstance::new(store, guest, settings, self.stranger)
    }

    fn store(&self, way_out: Option<(Client, Cancel)>, stream: &str, limits: GuestLimits) -> Store<GuestState> {
        let state = GuestState::new(&limits, way_out, stream, self.said.clone());
        let activity = state.activity.clone();
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.room);
        store.set_hostcall_fuel(CALL_BYTES);
        store.set_max_component_handles(1000);
        match &self.watchdog {
            Some(watchdog) => watchdog.watch(&activity),
            None => {
                store.set_epoch_deadline(1);
                store.epoch_deadline_callback(|context| {
                    context.data().check_time(Stopped::Computed)?;
                    Ok(wasmtime::UpdateDeadline::Continue(1))
                });
            }
        }
        store
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}
