"""Reading ELF files: code, its ISA level, fat binaries."""
