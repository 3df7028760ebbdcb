//! Makes a component of a core module that was built with wit-bindgen: `quotegate-componentize module.wasm out.wasm`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use wit_component::ComponentEncoder;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("Give two files: the core module and the component to write.");
    };
    let module = std::fs::read(&from).with_context(|| format!("{} cannot be read", from.display()))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .with_context(|| format!("{} does not export what its world asks for", from.display()))?;
    std::fs::write(&to, component).with_context(|| format!("{} cannot be written", to.display()))
}
