;; The frame of every guest of the tests. The test fills the four places in braces; what it leaves out gets the
;; well-behaved text that `support/mod.rs` has. Memory: 0 to 64 KiB results, from there on parameters, which are
;; forgotten when a call returns.
(module
  (import "quotegate:plugin/host@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "quotegate:plugin/host@0.1.0" "count" (func $count (param i32 i32 i64)))
  (memory (export "memory") 64)
  (global $top (mut i32) (i32.const 65536))
  (global $calls (mut i32) (i32.const 0))
  (data (i32.const 8) "cheapSPYmid../x__x__a..b\1b[2J")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (local.get 3))))

  ;; Result at 256: tag, then columns (bid-price only) and one reason, "cheap", whose text is described at 280.
  (func (export "quotegate:plugin/lifecycle@0.1.0#configure") (param i32 i32 i32 i32) (result i32)
    {{configure}}
    (global.set $top (i32.const 65536))
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store16 (i32.const 260) (i32.const 1))
    (i32.store (i32.const 264) (i32.const 280))
    (i32.store (i32.const 268) (i32.const 1))
    (i32.store (i32.const 280) (i32.const 8))
    (i32.store (i32.const 284) (i32.const 5))
    (i32.const 256))

  ;; $c: the columns; $n: quotes; $bid: the bid prices. The verdicts are at 1024, described at 300.
  (func (export "quotegate:plugin/filter@0.1.0#filter-quotes") (param $c i32) (result i32)
    (local $n i32) (local $i i32) (local $bid i32)
    (local.set $n (i32.load offset=4 (local.get $c)))
    (local.set $bid (i32.load offset=16 (local.get $c)))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 300) (i32.const 1024))
    (i32.store (i32.const 304) (local.get $n))
    {{filter}}
    (global.set $top (i32.const 65536))
    (i32.const 300))

  ;; $n: quotes. The answer is described at 320; each quote's list is at 32768 on.
  (func (export "quotegate:plugin/mapping@0.1.0#map-quotes") (param $q i32) (param $n i32) (result i32)
    (local $i i32)
    (i32.store (i32.const 320) (i32.const 32768))
    (i32.store (i32.const 324) (local.get $n))
    {{map}}
    (global.set $top (i32.const 65536))
    (i32.const 320))

  (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
  {{start}}
)
