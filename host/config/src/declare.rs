/// Declares a struct of settings together with the keys that fill it.
///
/// A field's doc comment is also the text of `config/quotegate.toml` and of the JSON Schema, so it is written for the
/// people who set the key. After the field's type come the key's name with its unit, the environment variables of the
/// old job that set it too (the preferred one first), the kind of value, and one of
///
/// - `default VALUE`: what the key is if it is not set; a tenant takes the value of `[tenant_defaults]` instead;
/// - `example "TOML"`: the key has no default, and this is what a value looks like;
/// - `secret`: the same for a secret, which can also be in a file: this declares the key `…_file` too;
/// - `table`: a table of keys, in a struct that reads from a `TableReader`.
///
/// Declaring the field is all it takes: the file, the environment, flags, `quotegate check`, `config/quotegate.toml` and the
/// JSON Schema follow from it.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident from $reader:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $key:literal $([$($variable:literal),+])?, $kind:expr, $how:ident $($value:expr)?;
            )+
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[doc = $doc])+ $vis $field: $type,)+
        }

        impl $name {
            /// Reads the keys from the reader's section.
            pub(crate) fn read(from: &mut $reader<'_>) -> Self {
                Self::read_over(from, None)
            }

            /// Reads the keys; `inherited` takes the place of the defaults.
            pub(crate) fn read_over(from: &mut $reader<'_>, inherited: Option<&Self>) -> Self {
                let _ = inherited;
                Self {
                    $($field: settings!(
                        @$how from, inherited, $field, $key, [$($($variable),+)?], concat!($($doc),+), $kind $(, $value)?
                    ),)+
                }
            }
        }
    };
    (@default $from:ident, $inherited:ident, $field:ident, $key:literal, [$($variable:literal),*], $doc:expr, $kind:expr, $value:expr) => {{
        let default = match $inherited {
            Some(inherited) => inherited.$field.clone(),
            None => $value,
        };
        $from.read($crate::key::Key { name: $key, doc: $doc, kind: $kind, variables: &[$($variable),*] }, default)
    }};
    (@example $from:ident, $inherited:ident, $field:ident, $key:literal, [$($variable:literal),*], $doc:expr, $kind:expr, $value:expr) => {
        $from.read_optional($crate::key::Key { name: $key, doc: $doc, kind: $kind, variables: &[$($variable),*] }, $value)
    };
    (@secret $from:ident, $inherited:ident, $field:ident, $key:literal, [$($variable:literal),*], $doc:expr, $kind:expr) => {
        $from.read_secret(
            $crate::key::Key { name: $key, doc: $doc, kind: $kind, variables: &[$($variable),*] },
            $crate::key::Key {
                name: concat!($key, "_file"),
                doc: concat!("The path of a file that holds ", $key, ". Use this instead of ", $key, "."),
                kind: $crate::kind::FilePath,
                variables: &[$(concat!($variable, "_FILE")),*],
            },
        )
    };
    (@table $from:ident, $inherited:ident, $field:ident, $key:literal, [], $doc:expr, $kind:expr) => {
        $from.read_table($crate::key::Key { name: $key, doc: $doc, kind: $kind, variables: &[] })
    };
}

pub(crate) use settings;
