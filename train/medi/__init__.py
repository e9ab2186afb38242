"""Builds mixtures as MEDI was built (Su et al., arXiv 2212.09741, section 2.3): python -m train.medi build."""
