"""The Tollkeeper plugin for Kong: one usage record per request, quota verdicts from memory."""
