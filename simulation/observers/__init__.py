"""Who looks at a simulated farm, and changes nothing: the story, the sums, the invariants."""
