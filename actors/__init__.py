"""Who acts: the messages of the farm, thin Thespian shells over `actors.core`, and the wiring."""
