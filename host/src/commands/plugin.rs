//! Loading the plugin for a command, with the cache of compiled code.

use std::path::PathBuf;

use super::Global;
use crate::guest::{GuestLimits, LoadError, Plugin, PluginFile};

/// Loads the built-in plugin, or the one that `--plugin` names.
pub(super) fn load(global: &Global, limits: GuestLimits) -> Result<Plugin, LoadError> {
    let file = global.plugin.clone().map_or(PluginFile::BuiltIn, PluginFile::File);
    Plugin::load(&file, cache_folder().as_deref(), limits)
}

/// The same as one that can be interrupted: slower, and a guest that hangs ends its call and not the process.
pub(super) fn load_interruptible(global: &Global, limits: GuestLimits) -> Result<Plugin, LoadError> {
    let file = global.plugin.clone().map_or(PluginFile::BuiltInInterruptible, PluginFile::File);
    Plugin::load(&file, cache_folder().as_deref(), limits)
}

/// `$M365_PIPE_CACHE`, or the place where programs keep what they can make again.
fn cache_folder() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("M365_PIPE_CACHE").or_else(|| {
        named("XDG_CACHE_HOME")
            .or_else(|| named("HOME").map(|home| home.join(".cache")))
            .map(|path| path.join("m365-pipe"))
    })
}
