"""Who lives in a simulated farm: the master's actors, the slaves, the people, and what befalls them."""
