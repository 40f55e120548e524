"""Who gets which job, and why not."""
