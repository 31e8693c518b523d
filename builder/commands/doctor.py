"""What a host is good for, as text for people and as JSON for programs."""

from collections.abc import Iterator
from typing import TypeAlias

from builder.domain.admission import Admission
from builder.domain.diagnosis import Diagnosis, Resources
from builder.domain.host import Host
from builder.domain.matrix import Cell
from builder.domain.sealed import Sealed
from builder.domain.verdict import Verdict

SCHEMA = 1
_GIB = 1024**3

JSON: TypeAlias = bool | int | str | list["JSON"] | dict[str, "JSON"] | None


def host_lines(host: Host, resources: Resources) -> Iterator[str]:
    """Yield what the host has, a line each."""
    memory = _size(resources.memory)
    yield f"CPU     {host.isa}, {resources.cpus} to use, {memory} memory"
    for gpu in host.gpus:
        yield f"GPU     {gpu}, {_size(gpu.memory)}"
    if not host.gpus:
        yield f"GPU     {'an NVIDIA GPU that no driver serves' if host.idle_gpu else 'none'}"
    where = " (Windows, through WSL)" if host.wsl else ""
    yield f"driver  {host.driver or 'none'}{where}"
    yield f"store   {_size(resources.store_free)} free"


def finding_lines(cell: Cell, diagnosis: Diagnosis) -> Iterator[str]:
    """Yield what stands against `cell` on this host with its remedies, or that it runs."""
    for finding in diagnosis.findings:
        unknown = " (unknown)" if finding.verdict is Verdict.UNKNOWN else ""
        yield f"{cell.id}{unknown}: {finding.text} [{finding.code}]"
        yield f"  remedy: {finding.remedy}"
    if not diagnosis.findings:
        yield f"{cell.id} runs here; next: make image CELL={cell.id}"


def document(cell: Cell, host: Host, resources: Resources, diagnosis: Diagnosis) -> JSON:
    """Return all of it under doctor.schema.json."""
    return {
        "schema": SCHEMA,
        "cell": cell.id,
        "verdict": diagnosis.verdict.value,
        "host": _host(host, resources),
        "findings": [
            {
                "code": finding.code,
                "verdict": finding.verdict.value,
                "text": finding.text,
                "remedy": finding.remedy,
            }
            for finding in diagnosis.findings
        ],
        "cells": [
            {"id": found.cell.id, "verdict": found.verdict.value, "reason": found.sentence}
            for found in diagnosis.cells
        ],
    }


def admission_document(
    digest: str, sealed: Sealed, host: Host, resources: Resources, found: Admission
) -> JSON:
    """Return an image held against a host, under admission.schema.json."""
    return {
        "schema": SCHEMA,
        "digest": digest,
        "cell": sealed.cell,
        "variant": sealed.variant,
        "answer": found.answer.value,
        "host": _host(host, resources),
        "reasons": [
            {"code": one.code, "verdict": one.verdict.value, "text": one.text}
            for one in found.reasons
        ],
        "instead": found.instead or None,
    }


def _host(host: Host, resources: Resources) -> JSON:
    return {
        "isa": str(host.isa),
        "cpus": resources.cpus,
        "memory": resources.memory,
        "store_free": resources.store_free,
        "driver": str(host.driver) if host.driver else None,
        "wsl": host.wsl,
        "gpu_containers": resources.gpu_containers,
        "gpus": [
            {
                "name": gpu.name,
                "capability": str(gpu.capability) if gpu.capability else None,
                "memory": gpu.memory,
            }
            for gpu in host.gpus
        ],
    }


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / _GIB:.1f} GiB"
