//! `config/quotegate.toml` and the JSON Schemas are what the declarations say.

use crate::support;

use std::collections::BTreeMap;
use std::path::Path;

use quotegate_config::{documented_settings, render, settings_schema, tenant_schema};
use support::{Case, same_as_file};

/// Section and key of every commented-out setting, with its text.
fn documented() -> BTreeMap<String, Vec<String>> {
    let (mut section, mut keys) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    for line in documented_settings().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
        let setting = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = "));
        if let Some((name, value)) =
            setting.filter(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        {
            keys.entry(format!("{section}.{name}")).or_default().push(value.to_owned());
        }
    }
    keys
}

#[test]
fn the_files_are_what_the_declarations_say() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    same_as_file(&config.join("quotegate.toml"), &documented_settings());
    same_as_file(&config.join("quotegate.schema.json"), &settings_schema());
    same_as_file(&config.join("tenant.schema.json"), &tenant_schema());
}

#[test]
fn every_key_is_there_once_with_its_default() {
    let documented = documented();
    // The source is the one default that depends on others.
    let loaded = Case::new().env("QUOTEGATE_FEED__SOURCE", "sim").load();
    let rows = loaded.rows.iter().filter(|row| !row.key.starts_with("tenants."));
    let mut count = 0;
    for row in rows {
        let values = documented.get(&row.key).unwrap_or_else(|| panic!("{} is not documented", row.key));
        assert_eq!(values.len(), 1, "{}", row.key);
        match row.key.as_str() {
            "feed.source" => assert_eq!(values[0], "\"alpaca\""),
            "sink.kind" => assert_eq!(values[0], "\"firestore\""),
            _ if matches!(row.value.as_str(), "none" | "unset") => {}
            _ => assert_eq!(values[0], row.value, "{}", row.key),
        }
        count += 1;
    }
    assert_eq!(count, documented.len(), "the file documents a key that does not exist");
}

#[test]
fn the_file_loads_as_it_is_and_with_every_default_written_out() {
    let case = || Case::empty().env("DRY_RUN", "1");
    let plain = case().file(documented_settings()).load();
    assert_eq!(plain.settings.tenants.len(), 2);

    let is_setting = |line: &str| {
        let name = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")).map(|(name, _)| name);
        name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let (mut text, mut is_example) = (String::new(), false);
    for line in documented_settings().lines() {
        let active = is_setting(line) && !is_example && !line.starts_with("# source");
        text.push_str(if active { &line[2..] } else { line });
        text.push('\n');
        is_example = line.ends_with("Example:");
    }
    let written_out = case().file(text).load();
    let values = |rows: &[quotegate_config::Row]| {
        rows.iter().map(|row| (row.key.clone(), row.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&written_out.rows), values(&plain.rows));
    assert!(render(&written_out.rows).contains("quotegate.toml:"));
}

#[test]
fn the_schema_accepts_every_spelling_that_the_loader_accepts() {
    let plugin = "standard = \"field-map\"\nname = \"a-1\"\nchain = true\non_error = \"pass\"\ncollections = [\"a.b\"]\n\
                  config = { at = [1, \"x\"] }\nlimits = { share_of_time = 1, calls_per_instance = 5 }\n";
    Case::empty()
        .file(format!(
            "feed.url = \"ws://[::1]:80/?x#y\"\nfeed.source = \"sim\"\nfeed.sim = {{ symbols = [\"a\", \"BRK.B\"], rate = \"max\" }}\n\
             feed.replay.speed = 0.5\nsink.kind = \"dry-run\"\nsink.emulator_host = \"[::1]:8080\"\nops.address = \"::1\"\n\
             ops.token = \" x \"\nlog.level = \"Info, quotegate_feed=DEBUG\"\nrun.instance = \"ä\"\nrun.stop_after_s = 0.0\n\
             [tenant_defaults]\nsymbols = \"spy, btc/usd\"\nwrites_per_second = 0\n\
             [tenants.\"a b\"]\nsymbols = [\"*\"]\ncollection = \"__x\"\n[[tenants.\"a b\".plugins]]\n{plugin}"
        ))
        .beside("tenants/x.toml", format!("id = \"y.z\"\nsymbols = [\"spy\"]\n[[plugins]]\n{plugin}"))
        .load();
}
