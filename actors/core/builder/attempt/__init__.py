"""One attempt in the hand of its builder's actor: prepared, followed, gathered, ended."""
