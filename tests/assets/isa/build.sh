#!/bin/sh
# Make the small ELF files that the audit is tested with: `tests/assets/isa/build.sh [FOLDER]`.
# They are committed, so that a test does not depend on the compiler of the day; this script and
# gcc 12 make the same files again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
into=${1:-$here}
cd "$here"

flags="-O1 -fPIC -fno-stack-protector -fcf-protection=full -fno-ident -ffreestanding -nostdlib"
link="-shared -Wl,--build-id=sha1 -Wl,-z,norelro -Wl,-z,noseparate-code -Wl,--hash-style=gnu"

library() { # NAME, then sources and options
    name=$1
    shift
    # shellcheck disable=SC2086 # both are lists
    gcc $flags $link -o "$into/$name.elf" "$@"
}

library clean clean.c
library init-fail constructor.c
library init-chain constructor.c -DCHAIN
library init-guarded constructor.c -DGUARDED
library module module.c
library ifunc ifunc.c
library variable variable.c
library variable-wrong variable.c -DWRONG
library handed handed.c
library handed-wrong handed.c -DWRONG
library queried queried.c
library queried-wrong queried.c -DWRONG
library table table.c
library named named.c
library named-asks named.c -DASKS
library named-lies named.c -DASKS -DLIES
library named-variants named.c -DASKS -DVARIANTS
library exported everything.c -march=x86-64-v3
library direct direct.c
library stripped direct.c -s
library lzcnt lzcnt.c
library assembly assembly.S -DSIZED
library assembly-bare assembly.S -s
library data data.S -DLABELLED
library data-bare data.S -s
library i386 clean.c -m32
library fatbin fatbin.S
library fatbin-broken fatbin.S -DBROKEN
library closed closed.c fatbin.S -fno-toplevel-reorder

for guard in "" -DGUARDED; do
    # shellcheck disable=SC2086 # the options are lists, and one may be empty
    gcc $flags $guard -c -o "$into/ordinary.o" leaked.c
    # shellcheck disable=SC2086
    gcc $flags -O3 -march=x86-64-v3 -c -o "$into/avx2.o" leaked.avx2.c
    library "leaked${guard:+-guarded}" "$into/ordinary.o" "$into/avx2.o"
    rm "$into/ordinary.o" "$into/avx2.o"
done

# shellcheck disable=SC2086 # a list
gcc $flags -static -Wl,--build-id=sha1 -Wl,-z,noseparate-code -o "$into/program.elf" program.c
# shellcheck disable=SC2086 # a list
gcc $flags -c -o "$into/object.elf" clean.c
