"""A proof as JSON, as schemas/proof.schema.json describes it."""

from typing import cast

import cattrs

from builder.domain.proof import Proof

FORMAT = 1


def proof_document(proof: Proof) -> dict[str, object]:
    """Return the whole proof."""
    document = cast("dict[str, object]", cattrs.unstructure(proof))
    return {"format": FORMAT, "holds": proof.holds, **document}
