//! Puts the WIT into a macro, so that a plugin's own crate can generate its exports without having the files.
//!
//! Exports are generated there and not here because a component must export exactly its world: bindings for filters and
//! maps in one library would ask every plugin for both.

use std::path::Path;
use std::{env, fs, io};

const WIT: &str = "../../wit/0.1.0";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={WIT}");
    let types = fs::read_to_string(format!("{WIT}/types.wit"))?;
    let world = fs::read_to_string(format!("{WIT}/world.wit"))?.replace("package quotegate:plugin@0.1.0;", "");
    let rules: String = ["filter-plugin", "map-plugin", "plugin"].map(|name| rule(name, &types, &world)).concat();
    let text = format!("#[doc(hidden)]\n#[macro_export]\nmacro_rules! __generate {{\n{rules}}}\n");
    let folder = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("Cargo gave no OUT_DIR"))?;
    fs::write(Path::new(&folder).join("generate.rs"), text)
}

fn rule(name: &str, types: &str, world: &str) -> String {
    format!(
        r###"    ("{name}") => {{
        $crate::__private::wit_bindgen::generate!({{
            inline: r##"{types}{world}"##,
            world: "{name}",
            with: {{
                "quotegate:plugin/types@0.1.0": ::quotegate_plugin_sdk::__private::types,
                "quotegate:plugin/host@0.1.0": ::quotegate_plugin_sdk::__private::host,
            }},
            runtime_path: "::quotegate_plugin_sdk::__private::wit_bindgen::rt",
            bitflags_path: "::quotegate_plugin_sdk::__private::wit_bindgen::bitflags",
        }});
    }};
"###
    )
}
