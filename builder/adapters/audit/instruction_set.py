"""What each instruction of the decoder needs of a CPU, as the feature bits of the domain."""

from types import ModuleType

from iced_x86 import Code, CpuidFeature, Instruction, Mnemonic

from builder.domain.audit import features

# Never fault where the feature is absent (run as NOP, BSF or PREFETCH), or stand behind XGETBV's
# own check; TZCNT is what gcc makes of __builtin_ctz at plain x86-64.
_HARMLESS = {"TZCNT", "XTEST", "XGETBV"}
_ASKING = {"CPUID", "XGETBV"}
_NO_FEATURE_BUT = {"LAHF": "lahf_sahf", "SAHF": "lahf_sahf"}
_RENAMED = {
    "d3nowext": "d3now", "cyrix_d3now": "d3now", "monitor": "monitorx", "xsaveopt": "xsavec",
    "xsaves": "xsavec", "tsxldtrk": "rtm",
}  # fmt: skip


def _members(enumeration: ModuleType) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _feature_name(raw: str) -> str | None:
    name = raw.lower()
    if name in features.BITS:
        return name
    if name.startswith("avx512"):
        return "avx512_extra"
    if name.startswith("avx_vnni"):
        return "avx_vnni"
    if name.startswith("amx_"):
        return "amx"
    return _RENAMED.get(name)


def _code_table() -> dict[int, int]:
    feature_names, mnemonics = _members(CpuidFeature), _members(Mnemonic)
    table: dict[int, int] = {int(Code.INVALID): features.NOT_CODE}
    instruction = Instruction()
    for code in _members(Code):
        instruction.code = code  # type: ignore[assignment]  # its codes are plain integers
        mnemonic = mnemonics[instruction.mnemonic]
        bits = features.ASKS_CPU if mnemonic in _ASKING else 0
        if mnemonic in _NO_FEATURE_BUT:
            bits |= features.BITS[_NO_FEATURE_BUT[mnemonic]]
        elif mnemonic not in _HARMLESS:
            for feature in instruction.cpuid_features():
                name = _feature_name(feature_names[feature])
                bits |= features.BITS[name] if name else 0
        if bits:
            table[code] = table.get(code, 0) | bits
    return table


BITS_BY_CODE: dict[int, int] = _code_table()
NOTABLE_CODES = frozenset(BITS_BY_CODE)
