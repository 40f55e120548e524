"""The farm as a whole: started, paused, examined, watched, simulated."""
