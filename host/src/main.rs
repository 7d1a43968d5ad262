//! The program `m365-pipe`: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    share_heaps();
    m365_pipe::commands::main()
}

/// Lets the C library's allocator make two heaps at most. It would make one for nearly each thread, and what a batch leaves
/// free in one is of no use to the others: 6 to 8 MiB of a run. Other C libraries have one heap, or see to it themselves.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the option can only be set by a call of the C library")]
fn share_heaps() {
    // SAFETY: the call takes two numbers and only sets an option. No other thread runs yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn share_heaps() {}
