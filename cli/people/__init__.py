"""Who is known to the farm: people, teams, tokens."""
