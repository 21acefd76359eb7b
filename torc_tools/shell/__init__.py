"""Everything that touches the world: streams, the store, processes."""
