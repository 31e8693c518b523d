"""The authors' own BEVFormer where an image holds it, at the pinned commit: `--model upstream`."""
