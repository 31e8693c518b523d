"""The docker-bake file, whole."""

from builder.domain.bake import BakeTarget, bake_document

TARGET = BakeTarget(
    name="cu130",
    dockerfile="/b/Dockerfile",
    target="runtime",
    contexts={"steps": "/b/steps", "bootstrap": "oci-layout:///b/bootstrap@sha256:1"},
    empty="/b/empty",
    epoch=5,
    tag="cellar/x:cu130",
    annotations={"cellar.cell": "cu130"},
)


def test_the_document() -> None:
    assert bake_document([TARGET]) == {
        "group": {"default": {"targets": ["cu130"]}},
        "target": {
            "cu130": {
                "context": "/b/empty",
                "dockerfile": "/b/Dockerfile",
                "target": "runtime",
                "contexts": {
                    "bootstrap": "oci-layout:///b/bootstrap@sha256:1",
                    "steps": "/b/steps",
                },
                "args": {"SOURCE_DATE_EPOCH": "5"},
                "tags": ["cellar/x:cu130"],
                "annotations": ["cellar.cell=cu130"],
                "network": "none",
                "attest": ["type=provenance,disabled=true", "type=sbom,disabled=true"],
                "output": ["type=image,name=cellar/x:cu130,compression=zstd,oci-mediatypes=true"],
            }
        },
    }
