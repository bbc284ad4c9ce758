//! Generates the Rust side of ffi/aside_abi.h, and the C compiler's check that it lays all of it out the same: each struct
//! with each member, each number. Needs libclang and a C compiler, no server.
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[expect(clippy::disallowed_methods, reason = "no server's memory is at its end here")]
fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=ffi/aside_abi.h");
    println!("cargo:rerun-if-changed=ffi/abi_check.c");
    let out = PathBuf::from(env::var("OUT_DIR").context("OUT_DIR is set by cargo")?);
    let header = || bindgen::Builder::default().header("ffi/aside_abi.h").default_enum_style(bindgen::EnumVariation::ModuleConsts);
    let types = header()
        .allowlist_type("aside_.*")
        .allowlist_var("ASIDE_.*")
        .blocklist_function(".*")
        .blocklist_type("aside_pool|aside_registry|aside_coordinator")
        .raw_line("pub use super::memory::pool::aside_pool;")
        .raw_line("pub use super::exports::events::aside_coordinator;")
        .raw_line("pub use super::memory::registry::aside_registry;")
        .derive_default(true)
        .generate()
        .context("bindgen on ffi/aside_abi.h (is libclang installed?)")?
        .to_string();
    fs::write(out.join("abi.rs"), &types)?;
    // The declarations of the exports, for `export!` to compare with.
    header()
        .allowlist_function("aside_.*")
        .blocklist_type(".*")
        .raw_line("use super::abi::*;")
        .generate()
        .context("bindgen on the exports of ffi/aside_abi.h")?
        .write_to_file(out.join("declared.rs"))?;
    same_layout(&types, &out.join("abi_layout.h"))?;
    cc::Build::new()
        .file("ffi/abi_check.c")
        .include("ffi")
        .include(&out)
        .warnings_into_errors(true)
        .try_compile("aside_abi_check")
        .context("ffi/abi_check.c")?;
    Ok(())
}

/// What the Rust compiler asserts of each struct and of each number, for the C compiler to assert as well.
fn same_layout(types: &str, to: &Path) -> Result<()> {
    let (mut checks, mut structs, mut numbers) = (String::new(), 0, 0);
    let mut line = |check: String| writeln!(checks, "SAME({check});");
    // Where there is no rustfmt, bindgen writes all of it in one line, with blanks between the words.
    for text in types.split(';') {
        if let Some((name, rest)) = quoted(text, "[\"Size of ") {
            line(format!("sizeof({name}) == {}", number(rest)?))?;
            structs += 1;
        } else if let Some((member, rest)) = quoted(text, "[\"Offset of field: ") {
            let (name, field) = member.split_once("::").context("a member of a struct")?;
            // What bindgen calls a member whose name is a word of Rust's.
            line(format!("offsetof({name}, {}) == {}", field.trim_end_matches('_'), number(rest)?))?;
        } else if let Some((name, value)) = text.split_once("pub const ASIDE_").and_then(|(_, rest)| rest.split_once(':'))
            && let Some(value) = value.trim_start().strip_prefix("Type = ")
        {
            line(format!("ASIDE_{} == {value}", name.trim_end()))?;
            numbers += 1;
        }
    }
    let declared = fs::read_to_string("ffi/aside_abi.h")?.matches("typedef struct aside_").count();
    // Those that are declared only, and opaque.
    ensure!(structs + 3 == declared, "{structs} structs were found in what bindgen has made, {declared} in aside_abi.h");
    ensure!(numbers > 0, "no numbers were found in what bindgen has made");
    Ok(fs::write(to, checks)?)
}

/// What follows `before` up to the quotation mark, and the rest.
fn quoted<'a>(text: &'a str, before: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(before).and_then(|(_, rest)| rest.split_once('"'))
}

/// `.. - 16usize]`
fn number(rest: &str) -> Result<usize> {
    let digits = rest.rsplit_once("- ").and_then(|(_, number)| number.trim_end().strip_suffix("usize]"));
    Ok(digits.context("a number in a layout test of bindgen's")?.parse()?)
}
