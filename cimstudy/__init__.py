"""cimstudy: what happens to a transformer when its matrix products run inside memory."""
