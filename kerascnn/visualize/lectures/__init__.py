"""Worked examples of a first course: linear classifiers that small steps fool, and twins of HOG descriptors."""
