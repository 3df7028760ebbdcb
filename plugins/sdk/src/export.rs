/// Makes a [`Filter`](crate::Filter) the plugin that this crate exports. Natively it only checks the type.
#[macro_export]
macro_rules! export_filter {
    ($filter:ty) => {
        $crate::export_column_filter!($crate::Rows<$filter>);
    };
}

/// Makes a [`ColumnFilter`](crate::ColumnFilter) the plugin that this crate exports. Natively it only checks the type.
#[macro_export]
macro_rules! export_column_filter {
    ($filter:ty) => {
        const _: () = $crate::check_column_filter::<$filter>();
        $crate::__export!("filter-plugin", FilterOnly<$filter>, [filter]);
    };
}

/// Makes a [`Map`](crate::Map) the plugin that this crate exports. Natively it only checks the type.
#[macro_export]
macro_rules! export_map {
    ($map:ty) => {
        const _: () = $crate::check_map::<$map>();
        $crate::__export!("map-plugin", MapOnly<$map>, [mapping]);
    };
}

/// Makes a [`Filter`](crate::Filter) and a [`Map`](crate::Map) the plugin that this crate exports. Both get the same
/// `config` table. Natively it only checks the types.
#[macro_export]
macro_rules! export_plugin {
    ($filter:ty, $map:ty) => {
        const _: () = $crate::check_column_filter::<$crate::Rows<$filter>>();
        const _: () = $crate::check_map::<$map>();
        $crate::__export!("plugin", Both<$crate::Rows<$filter>, $map>, [filter, mapping]);
    };
}

#[doc(hidden)]
pub const fn check_column_filter<F: crate::ColumnFilter>() {}

#[doc(hidden)]
pub const fn check_map<M: crate::Map>() {}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($world:tt, $kind:ident<$($type:ty),*>, [$($interface:ident),*]) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated")]
        mod quotegate_exports {
            use super::*;

            $crate::__generate!($world);

            type State = $crate::__private::$kind<$($type),*>;

            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<Option<State>> = const { ::std::cell::RefCell::new(None) };
            }

            struct Exports;

            impl exports::quotegate::plugin::lifecycle::Guest for Exports {
                fn configure(tenant: String, config: String) -> Result<$crate::__private::types::Manifest, String> {
                    $crate::__private::configure(&PLUGIN, &tenant, &config)
                }
            }

            $($crate::__export_interface!($interface);)*

            export!(Exports);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    (filter) => {
        impl exports::quotegate::plugin::filter::Guest for Exports {
            fn filter_quotes(quotes: $crate::__private::types::QuoteColumns) -> Vec<u8> {
                $crate::__private::filter_quotes(&PLUGIN, quotes)
            }
        }
    };
    (mapping) => {
        impl exports::quotegate::plugin::mapping::Guest for Exports {
            fn map_quotes(
                quotes: Vec<$crate::__private::types::Quote>,
            ) -> Vec<Vec<$crate::__private::types::Document>> {
                $crate::__private::map_quotes(&PLUGIN, quotes)
            }
        }
    };
}
