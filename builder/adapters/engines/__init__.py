"""Docker and buildah, and what a build hands them."""
