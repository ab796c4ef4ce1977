"""Versions of the training data, and what is made from them: cutting, restoring, comparing. DVC is used only here."""
