//! What a component must be before the host spends time and memory on compiling it.

use crate::common;

use common::{FIELD_MAP, Parts, QUOTE_FILTER, engine, guest, guest_text, leb128};
use quotegate_plugin::{ComponentLimits, EngineSettings, PluginEngine, PluginError, PreparedPlugin, Sha256Hash};

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb128(content.len()).as_slice(), content].concat()
}

/// A component of one core module with these sections.
fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0", sections.concat().as_slice()].concat();
    [b"\0asm\x0d\0\x01\0", section(1, &module).as_slice()].concat()
}

/// A component with this many functions, each with this body.
fn functions(count: usize, body: &[u8]) -> Vec<u8> {
    let body = [leb128(body.len()).as_slice(), body].concat();
    module(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb128(count), vec![0; count]].concat()),
        section(10, &[leb128(count), body.repeat(count)].concat()),
    ])
}

fn rejected_with(limits: ComponentLimits, component: &[u8]) -> PluginError {
    let settings = EngineSettings { instances: 1, component_limits: limits, ..EngineSettings::default() };
    PreparedPlugin::new(&PluginEngine::new(&settings).unwrap(), "x", component, None).unwrap_err()
}

fn rejected(component: &[u8]) -> PluginError {
    rejected_with(ComponentLimits::default(), component)
}

/// Compiled, it would take half a minute and 1.6 GB.
#[test]
fn three_hundred_thousand_tiny_functions_are_rejected_before_they_are_compiled() {
    let component = functions(300_000, &[0, 0x41, 0, 0x1a, 0x0b]);
    let expected = PluginError::TooMuch { what: "functions", found: 300_000, limit: 50_000, key: "functions" };
    assert_eq!(rejected(&component), expected);
}

#[test]
fn whatever_takes_the_compiler_long_has_a_limit() {
    let locals = |count: usize| [&[1], leb128(count).as_slice(), &[0x7f, 0x0b]].concat();
    let nop = |count| [&[0], vec![1; count].as_slice(), &[0x0b]].concat();
    let tables = |count: usize| section(4, &[leb128(count), [0x70, 0, 1].repeat(count)].concat());
    let memories = |count: usize| section(5, &[leb128(count), [0, 1].repeat(count)].concat());
    let types = |count: usize| section(1, &[leb128(count), [0x60, 0, 0].repeat(count)].concat());
    let export = |at: usize| [&[4], format!("{at:04}").as_bytes(), &[2, 0]].concat();
    let exports: Vec<u8> = (0..1000).flat_map(export).collect();
    let exports = section(7, &[leb128(1000), exports].concat());
    let segments = section(11, &[leb128(1000), [1, 0].repeat(1000)].concat());
    let small = ComponentLimits {
        bytes: 20_000,
        functions: 10,
        code_bytes: 1000,
        function_bytes: 500,
        types: 10,
        declaration_bytes: 4096,
        tables: 2,
        memories: 1,
    };
    for (component, key) in [
        (functions(3, &nop(8000)), "size_mib"),
        (functions(11, &nop(1)), "functions"),
        (functions(3, &nop(400)), "code_kib"),
        (functions(1, &nop(600)), "function_kib"),
        // A few bytes, and each local variable costs the compiler as much as an instruction.
        (functions(1, &locals(501)), "function_kib"),
        (functions(3, &locals(400)), "code_kib"),
        (module(&[types(11)]), "types"),
        (module(&[memories(1), exports]), "declarations_kib"),
        (module(&[segments]), "declarations_kib"),
        (module(&[tables(3)]), "tables"),
        (module(&[memories(2)]), "memories"),
    ] {
        let error = rejected_with(small.clone(), &component);
        let PluginError::TooMuch { key: found, .. } = error else { panic!("{key}: {error}") };
        assert_eq!(found, key);
    }
    // The limits are those of the whole component, not of each module.
    let two = [&module(&[memories(1)])[..], &module(&[memories(1)])[8..]].concat();
    assert!(matches!(rejected_with(small, &two), PluginError::TooMuch { key: "memories", .. }));
}

#[test]
fn the_standard_plugins_are_far_below_the_limits() {
    let limits = ComponentLimits {
        bytes: 256 << 10,
        functions: 500,
        code_bytes: 256 << 10,
        function_bytes: 16 << 10,
        types: 100,
        declaration_bytes: 16 << 10,
        tables: 2,
        memories: 1,
    };
    let settings = EngineSettings { instances: 1, component_limits: limits, ..EngineSettings::default() };
    let engine = PluginEngine::new(&settings).unwrap();
    for component in [QUOTE_FILTER, FIELD_MAP] {
        PreparedPlugin::new(&engine, "standard", component, None).unwrap();
    }
}

#[test]
fn functions_of_another_type_are_rejected_with_both_types() {
    let engine = engine();
    let shape = |from: &str, to: &str| {
        let text = guest_text(Parts::default());
        assert!(text.contains(from), "{from}");
        let component = wat::parse_str(text.replace(from, to)).unwrap();
        match PreparedPlugin::new(&engine, "x", &component, None) {
            Err(PluginError::Shape(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    let verdicts = "(param \"quotes\" $quote-columns) (result (list u8))";
    let reason = shape(verdicts, &verdicts.replace("u8", "u16"));
    assert!(reason.starts_with("quotegate:plugin/filter@0.1.0, filter-quotes: "), "{reason}");
    assert!(reason.contains("expected primitive `u8` found primitive `u16`"), "{reason}");
    let reason = shape("(param \"delta\" u64)", "(param \"amount\" u64)");
    assert!(reason.starts_with("quotegate:plugin/host@0.1.0, count: "), "{reason}");
    assert!(reason.contains("expected parameter named `delta`, found `amount`"), "{reason}");
    // A field of a record that is named in another interface.
    let reason = shape("(field \"bid-price\" (option (list f64)))", "(field \"bid-price\" (option (list f32)))");
    assert!(reason.contains("expected primitive `f64` found primitive `f32`"), "{reason}");
    let reason = shape("(export \"gauge\" (func (", "(export \"clock\" (func)) (export \"gauge\" (func (");
    assert_eq!(reason, "quotegate:plugin/host@0.1.0 has no function clock");
    let reason = shape("(export \"map-quotes\" (func $map-quotes))", "(export \"map\" (func $map-quotes))");
    assert_eq!(reason, "quotegate:plugin/mapping@0.1.0 has no function map-quotes");
}

#[test]
fn the_cache_deletes_what_was_not_used_for_the_longest_time() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let engine = |cache_bytes| {
        let settings = EngineSettings { instances: 1, cache: Some(cache.clone()), cache_bytes, ..Default::default() };
        PluginEngine::new(&settings).unwrap()
    };
    let components =
        ["(nop)", "(nop) (nop)", "(nop) (nop) (nop)"].map(|configure| guest(Parts { configure, ..Parts::default() }));
    let prepare = |engine: &PluginEngine, at: usize| {
        PreparedPlugin::new(engine, "x", &components[at], None).unwrap().from_cache()
    };
    assert!(!prepare(&engine(u64::MAX), 0));
    let size = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>();
    // Room for two and a half.
    let engine = engine(size * 5 / 2);
    assert_eq!((prepare(&engine, 1), prepare(&engine, 0), prepare(&engine, 2)), (false, true, false));
    let kept = components.each_ref().map(|component| engine.has_compiled(&Sha256Hash::of(component)));
    assert_eq!(kept, [true, false, true], "the first was used after the second");
}
