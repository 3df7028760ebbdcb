//! Every kind of bad input, and the error that a person reads: `tests/golden/*.txt`.

use crate::support;

use std::fs;
use std::path::PathBuf;

use toml_edit::DocumentMut;

use support::{Case, golden};

macro_rules! bad_inputs {
    ($($name:ident: $case:expr;)*) => {
        $(#[test]
        fn $name() {
            golden(stringify!($name), &$case.error());
        })*

        /// Every case again, by name.
        fn cases() -> Vec<(&'static str, Case)> {
            vec![$((stringify!($name), $case)),*]
        }
    };
}

bad_inputs! {
    broken_toml: Case::new().file("[sink]\nbatch_size = 1OO\n");
    broken_toml_with_a_secret: Case::new().file("[feed]\nsecret_key = \"hush\n");
    a_table_twice: Case::new().file("[tenants.acme]\nburst = 1\n\n[tenants.acme]\nburst = 2\n");
    a_key_twice: Case::new().file("[sink]\nbatch_size = 1\nmode = \"merge\"\nbatch_size = 2\n");
    not_utf8: Case::new().file(b"[sink]\n# \xff\n");
    no_such_file: {
        let mut case = Case::new();
        case.sources.file = Some(case.path("missing.toml"));
        case
    };
    a_folder_instead_of_a_file: {
        let mut case = Case::new();
        case.sources.file = Some(case.folder.path().to_owned());
        case
    };
    a_file_instead_of_the_tenants_folder: Case::new().file("").beside("tenants", "x");
    unknown_keys: Case::new().file(
        "[sink]\nbatchsize = 1\n[feed]\nbatch_size = 1\nvolume = 1\n[snik]\nx = 1\n[tenants.acme]\nsymbls = [\"SPY\"]\n",
    );
    unknown_variables: Case::new().env("QUOTEGATE_SINK__BATCHSIZE", "1").env("QUOTEGATE_SINK_BATCH_SIZE", "1").env("QUOTEGATE_X", "1").env("QUOTEGATE_TENANTS__ACM__PAUSED", "1");
    unknown_flag_keys: Case::new().flag("sink.batchsize", "1").flag("sink..x", "1");
    unknown_tenants_in_flags: Case::new().flag("tenants.acm.paused", "true").flag("tenants.a.b.paused", "true");
    wrong_kinds: Case::new().file(
        "sink = 5\n[pace]\nburst = \"40\"\nwrites_per_second = true\nflush_interval_ms = [1]\n[run]\ninstance = 1979-05-27\n\
         [feed.url]\nx = 1\n[log]\nlevel = 1\n",
    );
    numbers_out_of_range: Case::new().file(
        "[pace]\nwrites_per_second = 0\nburst = -1\nflush_interval_ms = 1e12\n[sink]\nbatch_size = 501\nmax_in_flight = 1.5\n\
         [feed]\nping_interval_s = nan\npong_timeout_s = inf\n[tenant_defaults]\nwrites_per_second = -0.5\n",
    );
    numbers_in_the_environment: Case::new()
        .env("GLOBAL_WRITES_PER_SEC", "twenty")
        .env("GLOBAL_BURST", "99999999999999999999")
        .env("FLUSH_INTERVAL_MS", "-1")
        .env("HEARTBEAT_INTERVAL_S", "NaN")
        .env("STOP_AFTER_SECONDS", "1e400");
    symbols_with_invalid_characters: Case::new().file(
        "[tenants.acme]\nsymbols = [\n  \"SPY\",\n  \"A APL\", # a blank\n  \"ÄPFEL\",\n  \"\",\n  7,\n]\n",
    );
    symbols_in_the_environment: Case::new().env("MONITORED_SYMBOLS", "SPY,AA$PL");
    a_star_among_symbols: Case::new().file("[tenant_defaults]\nsymbols = [\"SPY\", \"*\"]\n");
    no_symbols: Case::new().file("[tenant_defaults]\nsymbols = []\n");
    tenant_ids_that_are_not_valid: Case::empty().env("DRY_RUN", "1").env("TENANT_ID", "a/b").file("[tenants.\"__x__\"]\n[tenants.\"..\"]\n");
    plugins_with_many_errors: Case::new().file(
        "[[tenants.acme.plugins]]\nstandard = \"quotefilter\"\non_eror = \"drop\"\n\n\
         [[tenants.acme.plugins]]\npath = \"map.wasm\"\nsha256 = \"abc\"\ncollections = [\"a/b\", \"ops\"]\nconfig = { since = 1979-05-27 }\n\
         [tenants.acme.plugins.limits]\nmemory_mib = 0\n\n\
         [[tenants.acme.plugins]]\n",
    );
    plugins_with_the_same_name: Case::new().file(
        "[tenants.acme]\nplugins = [{ standard = \"field-map\" }, { standard = \"field-map\" }]\n",
    );
    plugins_that_are_not_a_list: Case::new().file("[tenants.acme.plugins]\nstandard = \"field-map\"\n");
    a_relay_in_a_dry_run: Case::new().env("QUOTEGATE_RELAY__URL", "nats://127.0.0.1:4222");
    a_relay_and_a_replay: Case::new()
        .file("[feed]\nsource = \"replay\"\nreplay.file = \"Cargo.toml\"\n[relay]\nurl = \"nats://127.0.0.1:4222\"\n");
    a_relay_with_mistakes: Case::new().env("DRY_RUN", "0").env("ALPACA_KEY_ID", "k").env("ALPACA_SECRET_KEY", "s").file(
        "[relay]\nurl = \"tls://nats.example:4222\"\nnkey_file = \"missing.nk\"\ncertificate_file = \"Cargo.toml\"\ncredentials_file = \"Cargo.toml\"\ntoken = \"hush\"\nshards = 0\n[run]\nrole = \"reeder\"\n",
    );
    a_broker_with_a_password: Case::new().env("QUOTEGATE_RELAY__URL", "nats://user:hush@host:4222");
    a_worker_without_a_relay: Case::new().file("[run]\nrole = \"worker\"\n");
    no_tenant: Case::empty().env("DRY_RUN", "1");
    a_tenant_in_two_places: Case::new()
        .file("[tenants.acme]\nburst = 1\n")
        .beside("tenants/acme.toml", "burst = 2\n")
        .beside("tenants/b.toml", "id = \"shared\"\n")
        .beside("tenants/c.toml", "burst = 1\nid = \"shared\"\n");
    a_bad_tenant_file: Case::new()
        .file("")
        .beside("tenants/a.toml", "id = 5\n")
        .beside("tenants/b.toml", "burts = 5\n")
        .beside("tenants/c.toml", "burst = \n");
    a_broken_tenant_file_hides_no_other_error: Case::empty().file("").beside("tenants/a.toml", "burst = \n");
    a_collection_that_ends_with_a_document: Case::new().env("FIRESTORE_LIVE_QUOTES_COLLECTION", "a/b");
    collections_with_many_errors: Case::new().file(
        "[tenant_defaults]\ncollections = []\n[tenants.acme]\n\
         collections = [\n  \"ops\",\n  \"a/__b__/c\",\n  { path = \"d\", shape = \"streamr\" },\n  { shape = \"standard\" },\n]\n",
    );
    a_collection_listed_twice: Case::new().env("QUOTEGATE_TENANT_DEFAULTS__COLLECTIONS", "a,b,a");
    one_collection_and_a_list: Case::new()
        .env("FIRESTORE_LATEST_COLLECTION", "latest")
        .file("[tenant_defaults]\ncollections = [\"live_quotes\"]\n[tenants.acme]\ncollection = \"a\"\ncollections = [\"a\", \"b\"]\n");
    a_mirror_of_nobody: Case::new().file("[sink]\nroot_mirror = \"globex\"\n[tenants.acme]\n");
    aliases_that_differ: Case::new()
        .env("FIRESTORE_TENANT_ID", "globex")
        .env("MONITORED_SYMBOLS", "SPY")
        .env("ALPACA_SYMBOLS", "QQQ")
        .env("GLOBAL_BURST", "1")
        .env("QUOTEGATE_PACE__BURST", "2")
        .env("ALPACA_KEY_ID", "hush")
        .env("APCA_API_KEY_ID", "hush hush")
        .env("ALPACA_SECRET_KEY", "hush");
    dry_run_neither_true_nor_false: Case::empty().env("TENANT_ID", "acme").env("DRY_RUN", "maybe");
    no_credentials: Case::empty().env("TENANT_ID", "acme");
    no_credentials_for_a_chosen_source: Case::new().env("QUOTEGATE_FEED__SOURCE", "alpaca");
    half_of_the_credentials: Case::new().env("ALPACA_KEY_ID", "hush");
    secrets_in_bad_files: {
        let case = Case::new().beside("empty", " \n");
        let (empty, missing) = (case.path("empty"), case.path("missing"));
        case.env("ALPACA_KEY_ID_FILE", empty.to_str().unwrap()).env("ALPACA_SECRET_KEY_FILE", missing.to_str().unwrap())
    };
    a_secret_given_twice: {
        let case = Case::new().beside("secret", "hush");
        let path = case.path("secret");
        case.env("ALPACA_KEY_ID", "hush").env("ALPACA_KEY_ID_FILE", path.to_str().unwrap()).env("ALPACA_SECRET_KEY", "hush")
    };
    a_secret_of_the_wrong_kind: Case::new().file("[feed]\nkey_id = 12345\nsecret_key = [\"hush\"]\n");
    feed_names_and_urls: Case::new().file("[feed]\nname = \"sipp\"\nurl = \"https://user:hush@example.com\"\nencoding = \"xml\"\n");
    options_in_json: Case::new().file("[feed]\nname = \"opra\"\nencoding = \"json\"\n");
    backoff_bounds_that_are_swapped: Case::new()
        .env("RECONNECT_BACKOFF_BASE_S", "90")
        .file("[sink]\nretry_base_ms = 2000\nretry_max_s = 1\n");
    a_replay_without_a_file: Case::new().file("[feed]\nsource = \"replay\"\n[feed.replay]\nspeed = 0\n");
    a_replay_that_cannot_be_read: Case::new().file("[feed]\nsource = \"replay\"\nreplay.file = \"no/such/recording.jsonl\"\n");
    credentials_that_cannot_be_read: Case::empty()
        .env("TENANT_ID", "acme")
        .env("QUOTEGATE_FEED__SOURCE", "sim")
        .env("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json");
    an_emulator_with_a_scheme: Case::new().env("FIRESTORE_EMULATOR_HOST", "http://localhost:8080");
    more_symbols_than_the_plan_allows: Case::new()
        .file("[feed]\nmax_symbols = 2\n[tenants.a]\nsymbols = [\"A\", \"B\"]\n[tenants.b]\nsymbols = [\"B\", \"C\"]\n");
    every_symbol_with_a_limit: Case::new().env("MONITORED_SYMBOLS", "*").env("QUOTEGATE_FEED__MAX_SYMBOLS", "30");
    a_misspelled_log_level: Case::new().file("[log]\nlevel = \"inof\"\nformat = \"yaml\"\n");
    simulator_and_speed: Case::new().file("[feed.sim]\nsymbols = 0\nrate = \"fast\"\nseed = -1\n[feed.replay]\nspeed = \"slow\"\n");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let mut case = Case::new();
    case.sources.environment.push(("GLOBAL_BURST".into(), std::ffi::OsString::from_vec(vec![0xff])));
    // This one is not a setting, so it is ignored.
    case.sources.environment.push(("LS_COLORS".into(), std::ffi::OsString::from_vec(vec![0xff])));
    golden("a_variable_that_is_not_utf8", &case.error());
}

/// Cases whose files the JSON Schemas accept, and what the schemas cannot see.
const RIGHT_SHAPE: &[(&str, &str)] = &[
    ("a_file_instead_of_the_tenants_folder", "the file is empty; the folder beside it is wrong"),
    ("a_mirror_of_nobody", "which tenants there are"),
    ("a_relay_and_a_replay", "what one key forbids in another"),
    ("a_replay_that_cannot_be_read", "whether a file exists"),
    ("a_tenant_in_two_places", "what other files define"),
    ("a_worker_without_a_relay", "what one key needs of another"),
    ("backoff_bounds_that_are_swapped", "how the values of two keys compare"),
    ("more_symbols_than_the_plan_allows", "how many different symbols the tenants have in total"),
    ("options_in_json", "that the feed restricts the encoding"),
    ("plugins_with_the_same_name", "names that plugins get from their code"),
];

#[test]
fn the_schema_rejects_every_file_that_is_bad_by_shape() {
    let is_toml = |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| text.parse::<DocumentMut>().is_ok());
    let mut accepted = Vec::new();
    for (name, case) in cases() {
        let files = case.sources.files();
        // A file that is not TOML has no shape.
        if !files.is_empty() && files.iter().all(is_toml) && case.schema_errors().is_empty() {
            accepted.push(name);
        }
    }
    let mut exempt: Vec<_> = RIGHT_SHAPE.iter().map(|(name, _)| *name).collect();
    exempt.sort_unstable();
    accepted.sort_unstable();
    assert_eq!(accepted, exempt);
}
