;; The frame of every guest of the tests. The test fills the four places in braces; what it leaves out gets the
;; well-behaved text that `support/mod.rs` has. Memory: 0 to 64 KiB results, from there on parameters, which are
;; forgotten when a call returns.
(component
  (import "quotegate:plugin/types@0.1.0" (instance $types
    (type $a (enum "debug" "info" "warn" "error"))
    (export "level" (type (eq $a)))
    (type $b (flags "bid-price" "bid-size" "ask-price" "ask-size" "bid-exchange" "ask-exchange" "tape" "conditions"
      "event-time" "received-time"))
    (export "columns" (type $columns (eq $b)))
    (type $c (record (field "symbol" (list u32)) (field "new-symbols" (option (list string)))
      (field "bid-price" (option (list f64))) (field "bid-size" (option (list f64)))
      (field "ask-price" (option (list f64))) (field "ask-size" (option (list f64)))
      (field "bid-exchange" (option (list u8))) (field "ask-exchange" (option (list u8)))
      (field "tape" (option (list u8))) (field "conditions" (option (list u32)))
      (field "event-time" (option (list s64))) (field "received-time" (option (list s64)))))
    (export "quote-columns" (type (eq $c)))
    (type $d (record (field "columns" $columns) (field "reasons" (list string))))
    (export "manifest" (type (eq $d)))
    (type $e (variant (case "null") (case "boolean" bool) (case "integer" s64) (case "double" f64)
      (case "text" string) (case "timestamp" s64) (case "bytes" (list u8)) (case "doubles" (list f64))
      (case "texts" (list string))))
    (export "value" (type $value (eq $e)))
    (type $f (record (field "path" string) (field "value" $value)))
    (export "field" (type $field (eq $f)))
    (type $g (record (field "collection" (option string)) (field "id" (option string)) (field "fields" (list $field))))
    (export "document" (type $document (eq $g)))
    (type $h (record (field "symbol" string) (field "bid-price" f64) (field "bid-size" f64) (field "ask-price" f64)
      (field "ask-size" f64) (field "bid-exchange" (option char)) (field "ask-exchange" (option char))
      (field "tape" (option char)) (field "conditions" string) (field "event-time" s64) (field "received-time" s64)
      (field "earlier" (option (list $document)))))
    (export "quote" (type (eq $h)))))
  (alias export $types "level" (type $level))
  (alias export $types "quote-columns" (type $quote-columns))
  (alias export $types "manifest" (type $manifest))
  (alias export $types "quote" (type $quote))
  (alias export $types "document" (type $document))
  (import "quotegate:plugin/host@0.1.0" (instance $host
    (alias outer 1 $level (type $outer))
    (export "level" (type $level (eq $outer)))
    (export "log" (func (param "level" $level) (param "text" string)))
    (export "count" (func (param "name" string) (param "delta" u64)))
    (export "gauge" (func (param "name" string) (param "value" f64)))))

  (core module $memory
    (memory (export "memory") 64)
    (global $top (export "top") (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.get $top)
      (global.set $top (i32.add (global.get $top) (local.get 3)))))
  (core instance $memory (instantiate $memory))
  (core func $log (canon lower (func $host "log") (memory (core memory $memory "memory"))))
  (core func $count (canon lower (func $host "count") (memory (core memory $memory "memory"))))
  (core func $gauge (canon lower (func $host "gauge") (memory (core memory $memory "memory"))))

(core module $guest
  (import "host" "log" (func $log (param i32 i32 i32)))
  (import "host" "count" (func $count (param i32 i32 i64)))
  (import "host" "gauge" (func $gauge (param i32 i32 f64)))
  (import "memory" "memory" (memory 1))
  (import "memory" "top" (global $top (mut i32)))
  (global $calls (mut i32) (i32.const 0))
  (data (i32.const 8) "cheapSPYmid../x__x__a..b\1b[2J")
  ;; Result at 256: tag, then columns (bid-price only) and one reason, "cheap", whose text is described at 280.
  (func (export "configure") (param i32 i32 i32 i32) (result i32)
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
  (func (export "filter-quotes") (param $c i32) (result i32)
    (local $n i32) (local $i i32) (local $bid i32)
    (local.set $n (i32.load offset=4 (local.get $c)))
    (local.set $bid (i32.load offset=24 (local.get $c)))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 300) (i32.const 1024))
    (i32.store (i32.const 304) (local.get $n))
    {{filter}}
    (global.set $top (i32.const 65536))
    (i32.const 300))

  ;; $n: quotes. The answer is described at 320; each quote's list is at 32768 on.
  (func (export "map-quotes") (param $q i32) (param $n i32) (result i32)
    (local $i i32)
    (i32.store (i32.const 320) (i32.const 32768))
    (i32.store (i32.const 324) (local.get $n))
    {{map}}
    (global.set $top (i32.const 65536))
    (i32.const 320))

  (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
  {{start}}
)
  (core instance $guest (instantiate $guest
    (with "host" (instance
      (export "log" (func $log)) (export "count" (func $count)) (export "gauge" (func $gauge))))
    (with "memory" (instance $memory))))

  (func $configure (param "tenant" string) (param "config" string) (result (result $manifest (error string)))
    (canon lift (core func $guest "configure") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (func $filter-quotes (param "quotes" $quote-columns) (result (list u8))
    (canon lift (core func $guest "filter-quotes") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (func $map-quotes (param "quotes" (list $quote)) (result (list (list $document)))
    (canon lift (core func $guest "map-quotes") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (instance $lifecycle (export "configure" (func $configure)))
  (instance $filter (export "filter-quotes" (func $filter-quotes)))
  (instance $mapping (export "map-quotes" (func $map-quotes)))
  (export "quotegate:plugin/lifecycle@0.1.0" (instance $lifecycle))
  (export "quotegate:plugin/filter@0.1.0" (instance $filter))
  (export "quotegate:plugin/mapping@0.1.0" (instance $mapping))
)
