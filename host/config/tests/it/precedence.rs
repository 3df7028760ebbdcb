//! Which layer wins, and that the report says so.

use crate::support;

use std::time::Duration;

use quotegate_config::{SinkKind, Source, SymbolChoice, WriteRate, render};
use secrecy::ExposeSecret;
use support::{Case, golden, row};

#[test]
fn the_defaults_are_those_of_the_old_job() {
    let loaded = Case::new().load();
    golden("report_of_defaults", &render(&loaded.rows));
    let tenant = &loaded.settings.tenants[0];
    assert_eq!(tenant.id.as_str(), "acme");
    assert_eq!(tenant.per_symbol_min_interval, Duration::from_secs(1));
    assert_eq!(tenant.rate, None);
    assert_eq!(loaded.settings.run.stop_after, None);
    assert!(matches!(loaded.settings.source, Source::Sim(_)));
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let key = "sink.batch_size";
    let case = Case::new();
    assert_eq!(row(&case.load(), key), "100 (default)");
    let case = case.file("[sink]\nbatch_size = 2\n");
    assert_eq!(case.tidy(&row(&case.load(), key)), "2 (config/quotegate.toml:2:14)");
    let case = case.env("QUOTEGATE_SINK__BATCH_SIZE", "3");
    assert_eq!(row(&case.load(), key), "3 (environment variable QUOTEGATE_SINK__BATCH_SIZE)");
    let case = case.flag(key, "4");
    let loaded = case.load();
    assert_eq!(row(&loaded, key), "4 (flag --batch-size)");
    assert_eq!(loaded.settings.sink.batch_size, 4);
}

#[test]
fn a_tenant_inherits_what_it_does_not_set() {
    let case = Case::new()
        .env("PER_SYMBOL_MIN_INTERVAL_MS", "250")
        .file("[tenant_defaults]\nwrites_per_second = 5\ncollection = \"q\"\n[tenants.acme]\nburst = 7\n")
        .beside("tenants/globex.toml", "symbols = [\"*\"]\nwrites_per_second = 0\n");
    let loaded = case.load();
    let [acme, globex] = &loaded.settings.tenants[..] else { panic!("two tenants") };
    assert_eq!(acme.rate, Some(WriteRate { per_second: 5.0, burst: 7 }));
    assert_eq!(
        (acme.collections[0].collection.as_str(), acme.per_symbol_min_interval),
        ("q", Duration::from_millis(250))
    );
    assert_eq!((globex.id.as_str(), &globex.symbols, globex.rate), ("globex", &SymbolChoice::All, None));
    golden("report_of_tenants", &case.tidy(&render(&loaded.rows)));
}

#[test]
fn a_tenants_own_section_decides_its_collections_whichever_key_it_uses() {
    let case = Case::new().env("FIRESTORE_LATEST_COLLECTION", "old").file(
        "[tenants.acme]\n[tenants.list]\ncollections = [\"a/b/c\", { path = \"d\", shape = \"streamer\" }]\n\
         [tenants.one]\ncollection = \"one\"\n",
    );
    let loaded = case.load();
    let shown = |tenant: &str, key: &str| case.tidy(&row(&loaded, &format!("tenants.{tenant}.{key}")));
    let inherited = "(tenant_defaults, environment variable FIRESTORE_LATEST_COLLECTION)";
    assert_eq!(shown("acme", "collections"), format!("[\"old\"] {inherited}"));
    assert_eq!(shown("acme", "collection"), format!("\"old\" {inherited}"));
    let own = "(config/quotegate.toml:3:15)";
    assert_eq!(shown("list", "collections"), format!("[\"a/b/c\", {{ path = \"d\", shape = \"streamer\" }}] {own}"));
    assert_eq!(shown("list", "collection"), "none (default)");
    assert_eq!(shown("one", "collections"), "[\"one\"] (config/quotegate.toml:5:14)");
    assert_eq!(
        row(&loaded, "tenant_defaults.collections"),
        "[\"old\"] (environment variable FIRESTORE_LATEST_COLLECTION)"
    );

    let case = Case::new()
        .env("QUOTEGATE_TENANT_DEFAULTS__COLLECTIONS", "a, b/c/d")
        .file("[tenants.acme]\n[tenants.one]\ncollection = \"one\"\n");
    let loaded = case.load();
    let paths =
        |at: usize| loaded.settings.tenants[at].collections.iter().map(|it| it.collection.as_str()).collect::<Vec<_>>();
    assert_eq!((paths(0), paths(1)), (vec!["a", "b/c/d"], vec!["one"]));
}

#[test]
fn a_row_has_changed_if_its_value_is_not_the_default() {
    let plugins = "plugins = [{ standard = \"quote-filter\", config = { min_price = 1 } }]";
    let text = format!("[sink]\nbatch_size = 100\nmax_in_flight = 9\n[tenant_defaults]\nburst = 7\n{plugins}\n");
    // The default of a tenant's plugins looks the same, but has another configuration.
    let loaded = Case::new().file(format!("{text}[tenants.acme]\nburst = 7\n{}\n", plugins.replace('1', "2"))).load();
    let changed: Vec<&str> = loaded.rows.iter().filter(|row| row.changed).map(|row| row.key.as_str()).collect();
    let expected = [
        "feed.source",
        "sink.kind",
        "sink.max_in_flight",
        "tenant_defaults.burst",
        "tenant_defaults.plugins",
        "tenants.acme.plugins",
    ];
    assert_eq!(changed, expected);
}

#[test]
fn a_tenant_file_can_give_its_own_id() {
    let loaded = Case::new().file("").beside("tenants/x.toml", "id = \"a.b\"\nburst = 3\n").load();
    let ids: Vec<_> = loaded.settings.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(ids, ["a.b", "acme"]);
    assert!(row(&loaded, "tenants.\"a.b\".burst").starts_with("3 ("));
}

#[test]
fn hidden_files_and_other_file_types_are_not_tenants() {
    let case = Case::new().file("").beside("tenants/.a.toml", "x").beside("tenants/a.toml~", "x");
    assert_eq!(case.load().settings.tenants.len(), 1);
}

#[test]
fn an_empty_section_is_a_tenant() {
    let loaded = Case::empty().env("DRY_RUN", "1").file("[tenants.globex]\n").load();
    assert_eq!(loaded.settings.tenants[0].id.as_str(), "globex");
}

#[test]
fn a_flag_can_add_a_tenant() {
    let loaded = Case::empty().flag("sink.kind", "dry-run").flag("tenants.\"a.b\".symbols", "qqq spy").load();
    assert_eq!(loaded.settings.tenants[0].id.as_str(), "a.b");
    assert_eq!(row(&loaded, "tenants.\"a.b\".symbols"), r#"["QQQ", "SPY"] (flag --symbols)"#);
}

#[test]
fn a_dry_run_without_credentials_simulates_unless_something_asks_for_alpaca() {
    let simulated = Case::new().load();
    assert_eq!(row(&simulated, "feed.source"), "\"sim\" (default: dry run without credentials)");
    let asks = [
        Case::new().env("QUOTEGATE_FEED__SOURCE", "alpaca"),
        Case::new().env("QUOTEGATE_FEED__URL", "ws://127.0.0.1:1"),
        Case::new().env("ALPACA_SECRET_KEY", "x"),
        Case::new().env("DRY_RUN", "0").env("TENANT_ID", "acme"),
    ];
    for case in asks {
        assert!(case.error().contains("ALPACA_KEY_ID"));
    }
}

#[test]
fn with_credentials_a_dry_run_connects() {
    let loaded = Case::new().env("ALPACA_KEY_ID", "id").env("ALPACA_SECRET_KEY", " hush ").load();
    let Source::Alpaca(credentials) = &loaded.settings.source else { panic!("not Alpaca") };
    assert_eq!((credentials.key_id.expose_secret(), credentials.secret_key.expose_secret()), ("id", "hush"));
    assert_eq!(loaded.settings.sink.kind, SinkKind::DryRun);
    assert_eq!(row(&loaded, "feed.secret_key"), "set (environment variable ALPACA_SECRET_KEY)");
}

#[test]
fn a_secret_can_be_in_a_file_and_the_later_layer_wins() {
    let case = Case::new().beside("id", "from file\n").env("ALPACA_SECRET_KEY", "x");
    let path = case.path("id");
    let text = format!("[feed]\nkey_id_file = {:?}\n", path.to_str().unwrap());
    let case = case.file(text);
    let key_id = |case: &Case| match case.load().settings.source {
        Source::Alpaca(credentials) => credentials.key_id.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(key_id(&case), "from file");
    assert_eq!(case.tidy(&row(&case.load(), "feed.key_id")), "set (config/quotegate.toml:2:15)");
    let case = case.env("ALPACA_KEY_ID", "from environment");
    assert_eq!(key_id(&case), "from environment");
    let case = case.flag("feed.key_id_file", path.to_str().unwrap());
    assert_eq!(key_id(&case), "from file");
}

#[test]
fn an_emulator_without_a_project_uses_one_that_exists_only_in_emulators() {
    let case = Case::new().env("FIRESTORE_EMULATOR_HOST", "127.0.0.1:8080");
    assert_eq!(row(&case.load(), "sink.project_id"), "\"demo-quotegate\" (default: emulator)");
    let case = case.env("FIRESTORE_PROJECT_ID", "p");
    assert_eq!(case.load().settings.sink.project_id.as_deref(), Some("p"));
}

#[test]
fn overridden_values_are_checked_too() {
    let case = Case::new().file("[sink]\nbatch_size = 0\n").env("QUOTEGATE_SINK__BATCH_SIZE", "5");
    assert!(case.error().contains("config/quotegate.toml:2:14: sink.batch_size = 0"));
}

#[test]
fn a_worker_needs_no_credentials_and_a_reader_does() {
    let case = |role| {
        let case = Case::empty().env("TENANT_ID", "acme").env("FIRESTORE_EMULATOR_HOST", "127.0.0.1:8080");
        case.env("QUOTEGATE_RELAY__URL", "nats://127.0.0.1:4222").env("QUOTEGATE_RUN__ROLE", role)
    };
    let worker = case("worker").load().settings;
    assert!(matches!(worker.source, Source::Relay { simulated: false }) && worker.relay.is_some());
    for role in ["reader", "all"] {
        assert!(case(role).error().contains("feed.key_id"), "{role}");
    }
}
