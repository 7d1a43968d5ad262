//! What a guest gets of WASI: clocks, random numbers, and streams that lead nowhere. No files, no sockets, no environment.
//!
//! The invariant: no call of it waits for longer than a guest may compute. Waiting for a timer is the only one that could.

use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::p2::{DynPollable, add_to_linker_sync};
use wasmtime_wasi::{WasiCtx, WasiView};

use super::bounds::RANDOM_BYTES;
use super::imports::GuestState;
use super::limits::Stopped;

/// The longest time between two looks at what a guest waits for.
const LOOK: Duration = Duration::from_millis(20);

/// A context with nothing in it.
pub(super) fn context() -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder.max_random_size(RANDOM_BYTES);
    builder.build()
}

struct Waiting;

impl HasData for Waiting {
    type Data<'a> = &'a mut GuestState;
}

/// Adds WASI to a linker, with waits that end.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let added = poll::add_to_linker::<_, Waiting>(linker, |state| state);
    linker.allow_shadowing(false);
    added
}

impl GuestState {
    /// Looks again and again until `look` finds something. The time is the guest's.
    fn wait_for<T>(&mut self, mut look: impl FnMut(&mut Self) -> wasmtime::Result<Option<T>>) -> wasmtime::Result<T> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            self.check_time(Stopped::Waited)?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
        }
    }

    fn is_ready(&mut self, pollable: &Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.ctx().table, Resource::new_borrow(pollable.rep()))
    }
}

impl poll::Host for GuestState {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(wasmtime::Error::msg("it waits for nothing: the list is empty"));
        }
        self.wait_for(|state| {
            let mut ready = Vec::new();
            for (index, pollable) in (0..).zip(&pollables) {
                if state.is_ready(pollable)? {
                    ready.push(index);
                }
            }
            Ok((!ready.is_empty()).then_some(ready))
        })
    }
}

impl poll::HostPollable for GuestState {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.is_ready(&pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.wait_for(|state| Ok(state.is_ready(&pollable)?.then_some(())))
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.ctx().table, pollable)
    }
}
