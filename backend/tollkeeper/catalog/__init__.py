"""What we sell: features, and plans in versions that never change once they are published."""
