"""What is going to happen to a simulated farm, drawn by seed before it begins: plain values."""
