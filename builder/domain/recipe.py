"""What one Dockerfile is made of: everything that a template needs, decided before rendering."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from packaging.version import Version

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.definition import ImageDefinition
from builder.domain.edits import Edit
from builder.domain.lockfile import Lock
from builder.domain.matrix import Cell, DebianBase
from builder.domain.resolve import Selection

TORCH = "torch"
_OWN_BDIST_WHEEL = Version("70.1")  # the first setuptools that makes wheels by itself
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A pull cannot resume inside a layer, so none should grow past 1 GiB compressed. Wheels are
# compressed already; a tenth is left for what the layer adds to them.
LAYER_LIMIT = (1 << 30) * 9 // 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Folders of the wheelhouse in the order of their installation, one image layer each."""

    torch: tuple[str, ...]
    runtime: tuple[str, ...]
    toolchain: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildStage:
    """What the stage of a wheel that is compiled anew has of its own."""

    wheels: str  # the folder of the wheelhouse that it installs
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One Dockerfile, as values: what the image is, and the settings that its steps run under."""

    image: ImageDefinition
    selection: Selection
    layers: Layers
    ops: tuple[str, ...]  # the sources that are compiled into op wheels, by name
    contexts: Mapping[str, str]  # named context -> what it holds
    environment: Mapping[str, str]  # of the image
    compiler_environment: Mapping[str, str]  # of the stage that compiles the ops
    labels: Mapping[str, str]
    devel_environment: Mapping[str, str] = field(default_factory=dict)  # of the devel image alone
    rebuilds: Mapping[str, RebuildStage] = field(default_factory=dict)  # by the name of the op
    passport: str = ""  # what the image needs of its host, as JSON in one line
    edits: tuple[Edit, ...] = ()  # of all sources, for all cells

    @property
    def cell(self) -> Cell:
        """Return the cell that the Dockerfile builds."""
        return self.selection.cell

    @property
    def annotations(self) -> Mapping[str, str]:
        """Return what a registry shows of the image without a pull: labels and passport."""
        return {**self.labels, "cellar.passport": self.passport}

    @property
    def assembled(self) -> bool:
        """Say whether the base is assembled from .debs (else it is a vendor's image)."""
        return isinstance(self.cell.base, DebianBase)

    @property
    def toolkit_in_wheels(self) -> bool:
        """Say whether the CUDA toolkit comes as wheels, which lack a few links."""
        toolkit = self.cell.toolkit
        return toolkit is not None and toolkit.channel == "package-index"

    @property
    def evaluator_needs_tools(self) -> bool:
        """Say whether the evaluator is built with the wheels of the toolchain beside torch's.

        A setuptools that the cell pins below 70.1 makes wheels with `wheel` alone.
        """
        pinned = self.cell.pins.get("setuptools")
        return pinned is not None and pinned < _OWN_BDIST_WHEEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """The host compiler of a cell's ops, with the flags that keep it to the ISA level."""

    gcc: int
    host_flags: tuple[str, ...]
    nvcc_flags: tuple[str, ...]


def recipe(
    image: ImageDefinition,
    selection: Selection,
    compiler: Compiler,
    lock: Lock | None,
    edits: tuple[Edit, ...] = (),
) -> Recipe:
    """Decide everything for one cell; without a lock each pip layer is one image layer."""
    cell = selection.cell
    return Recipe(
        image=image,
        selection=selection,
        layers=_layers(image, lock),
        ops=tuple(source.name for source in sources_of(cell, lock)) if lock else (),
        contexts=_contexts(cell),
        environment=_environment(image, cell),
        compiler_environment=_compiler_environment(selection, compiler),
        devel_environment=_devel_environment(cell, compiler, lock),
        labels=_labels(image, selection),
        rebuilds=_rebuilds(selection, lock),
        edits=edits,
    )


def groups(layer: str, artifacts: Sequence[Artifact]) -> Mapping[str, tuple[Artifact, ...]]:
    """Divide a pip layer into image layers of at most LAYER_LIMIT bytes of wheels, by name.

    A wheel above the limit has a layer of its own; a layer that needs no division keeps its name.
    """
    parts: list[list[Artifact]] = [[]]
    room = LAYER_LIMIT
    for artifact in sorted(artifacts, key=lambda artifact: artifact.filename):
        size = artifact.size or 0
        if parts[-1] and size > room:
            parts.append([])
            room = LAYER_LIMIT
        parts[-1].append(artifact)
        room -= size
    if len(parts) == 1:
        return {layer: tuple(parts[0])}
    return {f"{layer}-{number}": tuple(part) for number, part in enumerate(parts, start=1)}


def _layers(image: ImageDefinition, lock: Lock | None) -> Layers:
    named = {
        layer.name: tuple(groups(layer.name, lock.layer(layer.name).artifacts))
        if lock
        else (layer.name,)
        for layer in image.layers
    }
    toolchain = {layer.name for layer in image.layers if layer.stage == "toolchain"}
    runtime = [name for name in named if name != TORCH and name not in toolchain]
    return Layers(
        torch=named[TORCH],
        runtime=tuple(folder for name in runtime for folder in named[name]),
        toolchain=tuple(folder for name in sorted(toolchain) for folder in named[name]),
    )


def _rebuilds(selection: Selection, lock: Lock | None) -> Mapping[str, RebuildStage]:
    environment = {one.distribution: one.environment for one in selection.rebuilds}
    return {
        one.sdist.name: RebuildStage(wheels=one.layer.name, environment=environment[one.sdist.name])
        for one in (lock.rebuilds if lock else ())
    }


def _contexts(cell: Cell) -> Mapping[str, str]:
    base = cell.base
    return {
        **(
            {"bootstrap": f"the files of Debian {base.suite}'s essential packages, as an OCI image"}
            if isinstance(base, DebianBase)
            else {"vendor": f"{base.reference}, as an OCI image"}
        ),
        "debs": "the locked Debian packages, a folder for each group",
        "wheelhouse": "the locked wheels, a folder for each image layer; pip's own in pip/",
        "sources": "the sources of the ops, a folder for each, edits.yaml applied",
        "evaluator": "the evaluator's source tree",
        "rootfs": "files that the image holds as they are",
        "steps": "the scripts that the RUN lines call",
        "ops": "(in place of the stage) the op wheels, where the store has them",
    }


def _environment(image: ImageDefinition, cell: Cell) -> Mapping[str, str]:
    home = cuda_home(image, cell)
    gpu = {
        "CUDA_HOME": home,
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        # The vendor's own list refuses drivers that CUDA's minor-version compatibility admits.
        "NVIDIA_REQUIRE_CUDA": "",
    }
    front = [f"{image.prefix}/bin", *([f"{home}/bin"] if cell.cuda else [])]
    return {
        **(gpu if cell.cuda else {}),
        "PATH": ":".join([*front, SYSTEM_PATH]),
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        # A user without an entry in /etc/passwd has neither a home nor a name.
        "HOME": "/tmp",  # noqa: S108 - the one place that is writable under a read-only root
        "USER": "cellar",
    }


def cuda_home(image: ImageDefinition, cell: Cell) -> str:
    """Return where a cell's CUDA toolkit lies in its image; empty without CUDA."""
    channel = cell.toolkit.channel if cell.toolkit else ""
    site = f"{image.prefix}/lib/python{cell.python}/site-packages"
    places = {
        "registry": "/usr/local/cuda",
        "debian": "/usr",
        "package-index": f"{site}/nvidia/cu{cell.cuda.major if cell.cuda else ''}",
    }
    return places[channel] if channel else ""


def _compiler_environment(selection: Selection, compiler: Compiler) -> Mapping[str, str]:
    # No debug information, and no path of the build in the code or in what asserts print.
    flags = " ".join([*compiler.host_flags, "-g0", "-ffile-prefix-map=/build=."])
    gpu = {
        "FORCE_CUDA": "1",
        "TORCH_CUDA_ARCH_LIST": selection.arch_list,
        "NVCC_APPEND_FLAGS": " ".join(compiler.nvcc_flags),
    }
    return {
        "CC": f"gcc-{compiler.gcc}",
        "CXX": f"g++-{compiler.gcc}",
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        "MMCV_WITH_OPS": "1",
        **(gpu if selection.cell.cuda else {}),
    }


def _devel_environment(cell: Cell, compiler: Compiler, lock: Lock | None) -> Mapping[str, str]:
    """Name the cell's compiler where `gcc` is another one, or none; a vendor's base has its own."""
    if lock is None or not isinstance(cell.base, DebianBase):
        return {}
    versions = [deb.version for debs in lock.debs.values() for deb in debs if deb.name == "gcc"]
    if [_major(version) for version in versions] == [compiler.gcc]:
        return {}
    nvcc = {"NVCC_PREPEND_FLAGS": f"-ccbin gcc-{compiler.gcc}"}
    return {
        "CC": f"gcc-{compiler.gcc}",
        "CXX": f"g++-{compiler.gcc}",
        **(nvcc if cell.cuda else {}),
    }


def _major(version: str) -> int:
    """Return the first number of a Debian version, after its epoch."""
    return int(version.rpartition(":")[2].partition(".")[0])


def _labels(image: ImageDefinition, selection: Selection) -> Mapping[str, str]:
    cell = selection.cell
    return {
        "org.opencontainers.image.title": f"{image.title} {selection.variant}",
        "org.opencontainers.image.description": f"{image.description}; {cell.summary}",
        "org.opencontainers.image.authors": image.authors,
        "org.opencontainers.image.licenses": image.licences,
        "org.opencontainers.image.documentation": image.documentation,
        "org.opencontainers.image.version": selection.variant,
        "cellar.cell": cell.id,
        "cellar.isa": str(selection.isa),
        "cellar.gpu": selection.arch_list,
    }


def sources_of(cell: Cell, lock: Lock) -> tuple[Artifact, ...]:
    """Return the locked sources that are built into op wheels.

    They are those that the cell names, trees, and what is compiled anew for a lower ISA level.
    """
    named = {*cell.packages, *(one.sdist.name for one in lock.rebuilds)}
    return tuple(
        source
        for source in lock.sources
        if source.name in named or source.kind is ArtifactKind.SOURCE
    )
