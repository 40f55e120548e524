"""This machine, as every program of ours meets it: who started us, where logs go, what is wrong with it."""
