"""The generator and the platform, face to face."""
