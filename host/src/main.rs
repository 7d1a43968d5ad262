//! The program `m365-pipe`: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    m365_pipe::commands::main()
}
