/// Exports a [`Filter`](crate::Filter) as this crate's plugin. In native builds it only checks the type.
#[macro_export]
macro_rules! export_filter {
    ($filter:ty) => {
        $crate::export_column_filter!($crate::Rows<$filter>);
    };
}

/// Exports a [`ColumnFilter`](crate::ColumnFilter) as this crate's plugin. In native builds it only checks the type.
#[macro_export]
macro_rules! export_column_filter {
    ($filter:ty) => {
        const _: () = $crate::check_column_filter::<$filter>();
        $crate::__export!(FILTER_PLUGIN, FilterOnly<$filter>, [filter]);
    };
}

/// Exports a [`Map`](crate::Map) as this crate's plugin. In native builds it only checks the type.
#[macro_export]
macro_rules! export_map {
    ($map:ty) => {
        const _: () = $crate::check_map::<$map>();
        $crate::__export!(MAP_PLUGIN, MapOnly<$map>, [mapping]);
    };
}

/// Exports a [`Filter`](crate::Filter) and a [`Map`](crate::Map) as this crate's plugin. Both get the same `config`
/// table. In native builds it only checks the types.
#[macro_export]
macro_rules! export_plugin {
    ($filter:ty, $map:ty) => {
        const _: () = $crate::check_column_filter::<$crate::Rows<$filter>>();
        const _: () = $crate::check_map::<$map>();
        $crate::__export!(PLUGIN, Both<$crate::Rows<$filter>, $map>, [filter, mapping]);
    };
}

#[doc(hidden)]
pub const fn check_column_filter<F: crate::ColumnFilter>() {}

#[doc(hidden)]
pub const fn check_map<M: crate::Map>() {}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($world:ident, $kind:ident<$($type:ty),*>, [$($interface:ident),*]) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated")]
        mod quotegate_exports {
            use super::*;

            // Here and not in the SDK: a component must export exactly what its world says.
            #[unsafe(link_section = concat!("component-type:quotegate:", stringify!($world)))]
            static WORLD: [u8; $crate::__private::$world.len()] = $crate::__private::$world;

            type State = $crate::__private::$kind<$($type),*>;

            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<Option<State>> = const { ::std::cell::RefCell::new(None) };
            }

            struct Exports;

            impl $crate::__private::lifecycle::Guest for Exports {
                fn configure(tenant: String, config: String) -> Result<$crate::__private::types::Manifest, String> {
                    $crate::__private::configure(&PLUGIN, &tenant, &config)
                }
            }
            $crate::__export_quotegate_plugin_lifecycle_0_1_0_cabi!(
                Exports with_types_in $crate::__private::lifecycle);

            $($crate::__export_interface!($interface);)*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    (filter) => {
        impl $crate::__private::filter::Guest for Exports {
            fn filter_quotes(quotes: $crate::__private::types::QuoteColumns) -> Vec<u8> {
                $crate::__private::filter_quotes(&PLUGIN, quotes)
            }
        }
        $crate::__export_quotegate_plugin_filter_0_1_0_cabi!(Exports with_types_in $crate::__private::filter);
    };
    (mapping) => {
        impl $crate::__private::mapping::Guest for Exports {
            fn map_quotes(
                quotes: Vec<$crate::__private::types::Quote>,
            ) -> Vec<Vec<$crate::__private::types::Document>> {
                $crate::__private::map_quotes(&PLUGIN, quotes)
            }
        }
        $crate::__export_quotegate_plugin_mapping_0_1_0_cabi!(Exports with_types_in $crate::__private::mapping);
    };
}
