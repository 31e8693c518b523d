"""A passport as lines for people."""

from collections.abc import Iterator

from builder.domain.gpu import DeviceCode
from builder.domain.passport import Library, Passport, Run
from builder.domain.sealed import GpuNeeds, Sealed

_WIDTH = 10


def lines(passport: Passport) -> Iterator[str]:
    """Yield the whole passport: what the image is, what it needs, what was proven and what not."""
    sealed = passport.sealed
    yield _row("image", f"{sealed.image}, variant {sealed.variant}, cell {sealed.cell}")
    yield _row("digest", passport.digest)
    size = f"{passport.size / 1e6:.1f} MB compressed" if passport.size else "unknown"
    yield _row("size", size)
    if sealed.stand_in:
        yield _row("stand-in", f"for {sealed.stand_in.cell}: {sealed.stand_in.reason}")
    yield _row("holds", _contents(sealed))
    if sealed.without:
        yield _row("without", f"the sources of {', '.join(sealed.without)}")
    yield _row("CPU", f"{sealed.isa} or later; {_proven(passport)}")
    if sealed.gpu:
        yield from _gpu(sealed.gpu)
    else:
        yield _row("GPU", "none needed, none used")
    for library in passport.libraries:
        yield _row("", _library(library))
    for run in passport.runs:
        yield _row("run", _run(run))
    for one in passport.verified:
        yield _row("verified", f"{one.level} on {one.device}, {one.date or 'without a date'}")
    for text in passport.unproven:
        yield _row("unproven", text)


def _row(name: str, text: str) -> str:
    return f"{name:<{_WIDTH}}{text}"


def _contents(sealed: Sealed) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in sealed.packages.items())
    parts = (f"{sealed.base} (glibc {sealed.glibc})", f"Python {sealed.python}")
    return ", ".join((*parts, f"torch {sealed.torch}", packages))


def _proven(passport: Passport) -> str:
    if passport.proven is None:
        return "proven at no level"
    return f"proven at {passport.proven} by {', '.join(passport.proofs)}"


def _gpu(gpu: GpuNeeds) -> Iterator[str]:
    yield _row("GPU", f"CUDA {gpu.cuda}; torch for {_archs(gpu.torch)}; ops for {_archs(gpu.ops)}")
    family, release = gpu.family, gpu.release
    yield _row("driver", f"{family.linux} or later (Windows with WSL: {family.windows})")
    if gpu.torch.ptx or gpu.ops.ptx:
        windows = f" (Windows with WSL: {release.windows})" if release.windows else ""
        yield _row("", f"for PTX {release.linux} or later{windows}")


def _archs(code: DeviceCode) -> str:
    native = ", ".join(str(arch) for arch in code.cubins) or "no GPU natively"
    jit = ", ".join(f"{arch} or later" for arch in code.ptx)
    return f"{native}, and by JIT {jit}" if jit else native


def _library(library: Library) -> str:
    held = {*library.cubins, *library.ptx}
    more = [name for name in (*library.cubins, *library.ptx) if name in held - {*library.own}]
    added = f"; linked in: {' '.join(more)}" if more else ""
    return f"{library.file}: {' '.join(library.own)}{added}"


def _run(run: Run) -> str:
    count = len(run.passed) + len(run.failed)
    told = f"{len(run.passed)} of {count} workloads passed on {run.cpu} ({run.how}, {run.level})"
    if run.entered or run.unentered:
        told += f"; {run.entered} of {run.entered + run.unentered} suspects entered"
    return f"{told}, {run.date or 'without a date'}"
