"""What is shown: tables, times, states, progress, what happened; and JSON."""
