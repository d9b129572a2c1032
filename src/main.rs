//! The `mjumbe` program: parses the command line and runs one command.

fn main() -> std::process::ExitCode {
    mjumbe::cli::main()
}
