"""Running an image under a chosen CPU model."""
