"""Statistics that stages share, and what describes and labels their results."""
