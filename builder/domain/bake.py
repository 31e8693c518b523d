"""The docker-bake file of a matrix: every image as a target that any buildx builder can build."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeTarget:
    """One image: `contexts` maps each named context to a folder, or to `oci-layout://...`.

    `empty` is the folder that stands for the unnamed context, which no step reads.
    """

    name: str
    dockerfile: str
    target: str
    contexts: Mapping[str, str]
    empty: str
    epoch: int
    tag: str
    annotations: Mapping[str, str]


def bake_document(targets: Sequence[BakeTarget]) -> Mapping[str, object]:
    """Return the file as JSON values; the group `default` builds everything.

    No target has a network, and none asks for attestations, which would change its digest.
    """
    return {
        "group": {"default": {"targets": [target.name for target in targets]}},
        "target": {target.name: _target(target) for target in targets},
    }


def _target(target: BakeTarget) -> Mapping[str, object]:
    return {
        "context": target.empty,
        "dockerfile": target.dockerfile,
        "target": target.target,
        "contexts": dict(sorted(target.contexts.items())),
        "args": {"SOURCE_DATE_EPOCH": str(target.epoch)},
        "tags": [target.tag],
        "annotations": [f"{name}={value}" for name, value in sorted(target.annotations.items())],
        "network": "none",
        "attest": ["type=provenance,disabled=true", "type=sbom,disabled=true"],
        "output": [f"type=image,name={target.tag},compression=zstd,oci-mediatypes=true"],
    }
