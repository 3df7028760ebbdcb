//! `quotegate precompile`, and a host that starts with its output.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Finished, HostSetup, Running, Sim, finish, guest, quotegate};

const SETTINGS: &str = r#"
    [plugins]
    cache_folder = "code"
    [tenants.acme]
    symbols = ["SPY"]
    [[tenants.acme.plugins]]
    path = "own.wasm"
    [[tenants.acme.plugins]]
    standard = "quote-filter"
"#;

fn precompile(setup: &HostSetup) -> Finished {
    let args = ["precompile", "--folder", "code", "--config", "quotegate.toml"];
    finish(quotegate(args).current_dir(setup.folder.path()))
}

/// Starts the host and returns for each plugin whether its code was precompiled.
fn prepared(setup: &HostSetup, sim: &Sim) -> Vec<bool> {
    let mut command = setup.command(sim);
    let mut host = Running::start(command.env("DRY_RUN", "1").env("QUOTEGATE_PLUGINS__CACHE", "true"));
    host.wait_for_event("startup");
    let lines = host.lines().into_iter().filter(|line| line["event_type"] == "plugin_prepared");
    let found = lines.map(|line| line["from_cache"].as_bool().unwrap()).collect();
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
    found
}

#[test]
fn a_host_uses_code_that_was_compiled_ahead_of_time() {
    let (setup, sim) = (HostSetup::new(SETTINGS), Sim::quiet());
    std::fs::write(setup.folder.path().join("own.wasm"), guest("")).unwrap();
    let made = precompile(&setup);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let names: Vec<_> = made.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
    // Both standard plugins are compiled, because other settings may need the other one.
    assert_eq!(names, ["own", "quote-filter", "field-map"]);
    assert_eq!(prepared(&setup, &sim), [true, true]);

    // Code that another user could have written is not used.
    for file in std::fs::read_dir(setup.folder.path().join("code")).unwrap() {
        std::fs::set_permissions(file.unwrap().path(), Permissions::from_mode(0o666)).unwrap();
    }
    assert_eq!(prepared(&setup, &sim), [false, false]);
}

#[test]
fn precompile_rejects_what_a_host_would_reject() {
    let setup = HostSetup::new(SETTINGS);
    let own = setup.folder.path().join("own.wasm");
    let refused = |what: &str, says: &str| {
        let ended = precompile(&setup);
        assert_eq!(ended.code, 2, "{what}");
        assert!(ended.stderr.contains(says), "{what}: {}", ended.stderr);
    };
    refused("a file that is not there", "tenants.acme.plugins: own: cannot read own.wasm");
    std::fs::write(&own, "text").unwrap();
    refused("a text", "tenants.acme.plugins: own (own.wasm) is not accepted. ");
    std::fs::write(&own, guest("")).unwrap();
    let pin = format!("path = \"own.wasm\"\nsha256 = \"{}\"", "0".repeat(64));
    let pinned = SETTINGS.replace("path = \"own.wasm\"", &pin);
    std::fs::write(setup.folder.path().join("quotegate.toml"), pinned).unwrap();
    refused("another file than the pinned one", "tenants.acme.plugins: own (own.wasm) is not accepted. ");
}
