//! What `wit_bindgen::generate!` would make of the WIT is committed in the SDK, so that no author waits for the macro.
//!
//! After a change of the WIT or of wit-bindgen, `QUOTEGATE_TEST_UPDATE=1 cargo test -p quotegate-componentize` writes it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, a panic is the message

use std::path::Path;
use std::{env, fs};

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::Opts;
use wit_component::{StringEncoding, metadata};

const WIT: &str = "../../wit/0.1.0";
const BINDINGS: &str = "../sdk/src/bindings.rs";

/// Of this world, since it has every interface; a component exports those of its own.
const WHOLE: &str = "plugin";
const WORLDS: [&str; 3] = ["filter-plugin", "map-plugin", "plugin"];

fn bindings() -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(WIT).unwrap();
    let worlds = WORLDS.map(|name| (name, resolve.select_world(&[package], Some(name)).unwrap()));
    let types = worlds.map(|(name, world)| {
        let bytes = metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
        let (constant, length) = (name.to_uppercase().replace('-', "_"), bytes.len());
        let text = bytes.escape_ascii();
        format!("/// World `{name}`, for the linker.\npub const {constant}: [u8; {length}] = *b\"{text}\";\n")
    });

    let options = Opts {
        format: true,
        generate_unused_types: true,
        pub_export_macro: true,
        runtime_path: Some("::wit_bindgen::rt".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    let whole = resolve.select_world(&[package], Some(WHOLE)).unwrap();
    options.build().generate(&mut resolve, whole, &mut files).unwrap();
    let (_, code) = files.iter().next().unwrap();
    format!(
        "// The test of plugins/componentize writes this file; see there.\n\n{}\n{}",
        str::from_utf8(code).unwrap(),
        types.concat()
    )
}

#[test]
fn the_bindings_of_the_sdk_are_what_the_wit_makes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(BINDINGS);
    let bindings = bindings();
    if env::var_os("QUOTEGATE_TEST_UPDATE").is_some() {
        fs::write(&file, &bindings).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap();
    assert!(committed == bindings, "{BINDINGS} is old: QUOTEGATE_TEST_UPDATE=1 cargo test -p quotegate-componentize");
}
