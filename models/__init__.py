"""The classifiers: features, training, evaluation and the registry of released models."""
