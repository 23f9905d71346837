"""Text generation as a gymnasium environment."""
