"""Pretraining of VideoPrism: what is minimised (objectives), by what loop (trainer), judged how (evaluators).

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Usable alone, as the encoder is: a trainer takes any
iterable of batches and a list of evaluators; where batches come from is not known here.

Importing this package does not load torch.
"""
