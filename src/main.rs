//! The binary: everything is in [`earnest::cli`].

fn main() -> std::process::ExitCode {
    earnest::cli::main()
}
