"""Events in: accept each once, keep it for ever, count it; meters turn events into numbers."""
