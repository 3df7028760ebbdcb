#!/usr/bin/env bash
# Builds the standard plugins' components into plugins/components/, with their SHA-256.
#
#   plugins/build.sh           builds with the rustup toolchain if it has the wasm target, else with Debian's compiler
#   plugins/build.sh --check   builds with Debian's compiler elsewhere and fails if a committed component differs;
#                              exits with 3 if it cannot tell, because that compiler is missing or has another version
#
# The committed components come from Debian's compiler, which builds the standard library from its source package, so
# that everyone gets the same bytes. Folder, user and registry make no difference; another compiler does.
set -euo pipefail
cd "$(dirname "$0")/.."

PLUGINS=(quote-filter field-map)
TARGET=wasm32-unknown-unknown
check=false
case "${1:-}" in
  "") ;;
  --check) check=true ;;
  *) echo "usage: plugins/build.sh [--check]" >&2; exit 2 ;;
esac

root=$PWD
sysroot=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
packages=()
for plugin in "${PLUGINS[@]}"; do packages+=(-p "quotegate-$plugin"); done
build=(cargo build --locked --profile guest --target "$TARGET" --target-dir target/guest --lib "${packages[@]}")
flags=(-Ctarget-feature=+simd128 "--remap-path-prefix=$root=/quotegate" "--remap-path-prefix=$cargo_home=/cargo")

# The folder that crates are unpacked in is named after the registry, which may be a mirror; a later prefix wins.
cargo fetch --locked --quiet
registries=()
for folder in "$cargo_home"/registry/src/*; do
  registries+=("$(basename "$folder")")
  flags+=("--remap-path-prefix=$folder=/crates")
done

if ! $check && [[ -d $sysroot/lib/rustlib/$TARGET ]]; then
  flags+=("--remap-path-prefix=$sysroot=/rust")
else
  if [[ ! -x /usr/bin/rustc || ! -d $(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library ]]; then
    sudo=(); [[ $(id -u) == 0 ]] || sudo=(sudo --non-interactive)
    if ! { "${sudo[@]}" apt-get update -qq \
      && "${sudo[@]}" apt-get install -y -qq --no-install-recommends rustc-web rust-web-src; }; then
      echo "Debian's compiler is not here and cannot be installed: install the packages rustc-web and rust-web-src." >&2
      exit 3
    fi
  fi
  flags+=("--remap-path-prefix=$(realpath "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust")=/rust-src")
  flags+=("--remap-path-prefix=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust=/rust-src")
  host=$(rustc -vV | sed -n 's/^host: //p')
  export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$sysroot/lib/rustlib/$host/bin/rust-lld"
  build+=(-Zbuild-std=std,panic_abort)
fi
compiler=$("${RUSTC:-rustc}" --version)
if $check && [[ $(head -n 1 plugins/components/SHA256SUMS) != "# $compiler" ]]; then
  echo "The components were built by another compiler than $compiler: see plugins/components/SHA256SUMS." >&2
  exit 3
fi

# The flags are separated by the character that this variable wants, because a path may have a blank in it.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}") "${build[@]}"
env -u RUSTC -u RUSTC_BOOTSTRAP cargo build --locked -q -p quotegate-componentize

out=plugins/components
if $check; then out=target/guest/components; fi
mkdir -p "$out"
for plugin in "${PLUGINS[@]}"; do
  module=target/guest/$TARGET/guest/quotegate_${plugin//-/_}.wasm
  target/debug/quotegate-componentize "$module" "$out/$plugin.wasm"
  # What everyone gets names neither the machine that built it nor where that machine takes its crates from.
  for name in "$root" "$HOME" "$cargo_home" "$sysroot" /usr/lib "${registries[@]}"; do
    if grep -aqF -e "$name" "$out/$plugin.wasm"; then
      echo "$out/$plugin.wasm has \"$name\" in it: add a --remap-path-prefix above." >&2
      exit 1
    fi
  done
done
(cd "$out" && { echo "# $compiler"; sha256sum "${PLUGINS[@]/%/.wasm}"; } > SHA256SUMS)

if $check; then
  if ! diff plugins/components/SHA256SUMS "$out/SHA256SUMS"; then
    echo "A component differs from what its source builds to: run plugins/build.sh with Debian's compiler and commit." >&2
    exit 1
  fi
  (cd plugins/components && sha256sum --check --quiet <(grep -v '^#' SHA256SUMS))
  echo "The components are what their sources build to."
fi
