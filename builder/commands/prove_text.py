"""A proof as lines for a terminal."""

from collections.abc import Callable, Iterator

from builder.domain.proof import Ending, FaultSite, Outcome, Proof


def lines(proof: Proof, demangle: Callable[[str], str]) -> Iterator[str]:
    """Yield the whole report."""
    level = f"{proof.level} as " if proof.level else ""
    yield f"target    {proof.target}"
    if proof.digest:
        yield f"digest    {proof.digest}"
    yield f"CPU       {level}{proof.model}, {proof.emulator or 'natively'}"
    passed = sum(outcome.ending is Ending.PASSED for outcome in proof.outcomes)
    known = sum(outcome.ending is Ending.KNOWN for outcome in proof.outcomes)
    crashed = f", {known} ended in SIGILL as is known" if known else ""
    yield f"workloads {passed} of {len(proof.outcomes)} passed{crashed}"
    yield ""
    for outcome in proof.outcomes:
        yield from _outcome(outcome, demangle)
    yield from _suspects(proof, demangle)
    if proof.unproven:
        yield ""
        yield "unproven: not observed to fail in these workloads, which is all that a run can say"
        for entry in proof.unproven:
            counts = [f"{count} {verdict}" for verdict, count in entry.functions.items()]
            if entry.silent:
                counts.append(f"{entry.silent} with LZCNT, which qemu runs wrongly in silence")
            yield f"  {entry.file}: {', '.join(counts)}"


def _suspects(proof: Proof, demangle: Callable[[str], str]) -> Iterator[str]:
    if not proof.suspects:
        return
    entered = proof.harmless
    yield ""
    refused = sum(bool(suspect.entered_by) for suspect in proof.suspects) - len(entered)
    crashed = f"; in {refused} of them it refused an instruction, above" if refused else ""
    yield (
        f"suspects: {len(entered)} of {len(proof.suspects)} were entered, and did not reach what"
        f" this CPU lacks{crashed}; of the others no workload tells anything"
    )
    for suspect in entered:
        name = demangle(suspect.function) if suspect.function else hex(suspect.address)
        yield f"  entered by {suspect.entered_by}: {name} in {suspect.file}"


def _outcome(outcome: Outcome, demangle: Callable[[str], str]) -> Iterator[str]:
    covers = f": {outcome.workload.covers}" if outcome.workload.covers else ""
    yield f"{outcome.ending.value:<8} {outcome.seconds:7.1f} s  {outcome.workload.name}{covers}"
    for site in outcome.sites:
        yield from _site(site, demangle)
    if outcome.ending is Ending.KNOWN and outcome.workload.known:
        yield f"            known: {outcome.workload.known.reason}"
    if outcome.ending in (Ending.FAILED, Ending.TIMEOUT):
        for line in outcome.tail.splitlines()[-5:]:
            yield f"            {line}"


def _site(site: FaultSite, demangle: Callable[[str], str]) -> Iterator[str]:
    where = site.library or "the program"
    name = demangle(site.function) if site.function else "unnamed code"
    yield f"            {where}+{site.address:#x}: {site.instruction}"
    yield f"            in {name}"
    for line in site.python[:3]:
        yield f"            from {line}"
