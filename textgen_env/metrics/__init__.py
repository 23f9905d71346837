"""BLEU, chrF, ROUGE, accuracy, and the statistics of their comparison."""
