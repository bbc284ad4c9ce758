//! Generates the Rust side of ffi/aside_abi.h and compiles ffi/abi_check.c.
//! Needs libclang and a C compiler, no server.
use anyhow::{Context, Result};
use std::{env, path::PathBuf};

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=ffi/aside_abi.h");
    println!("cargo:rerun-if-changed=ffi/abi_check.c");
    let out = PathBuf::from(env::var("OUT_DIR").context("OUT_DIR is set by cargo")?);
    bindgen::Builder::default()
        .header("ffi/aside_abi.h")
        .allowlist_type("aside_.*")
        .allowlist_var("ASIDE_.*")
        .blocklist_function(".*")
        .blocklist_type("aside_pool|aside_registry|aside_coordinator")
        .raw_line("pub use super::memory::pool::aside_pool;")
        .raw_line("pub use super::exports::events::aside_coordinator;")
        .raw_line("pub use super::memory::registry::aside_registry;")
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .derive_default(true)
        .generate()
        .context("bindgen on ffi/aside_abi.h (is libclang installed?)")?
        .write_to_file(out.join("abi.rs"))?;
    cc::Build::new()
        .file("ffi/abi_check.c")
        .include("ffi")
        .warnings_into_errors(true)
        .try_compile("aside_abi_check")
        .context("ffi/abi_check.c")?;
    // The declarations of the exports, for `export!` to compare with.
    bindgen::Builder::default()
        .header("ffi/aside_abi.h")
        .allowlist_function("aside_.*")
        .blocklist_type(".*")
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .raw_line("use super::abi::*;")
        .generate()
        .context("bindgen on the exports of ffi/aside_abi.h")?
        .write_to_file(out.join("declared.rs"))?;
    Ok(())
}
